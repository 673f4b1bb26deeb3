/**
 * Ceremonies: spends that people agree to. The document says who takes part in what, and by when; all
 * that happens afterwards is a chain of events (transcript.ts), each a line of text. What a person
 * does is signed by the key of their *station*, which is no key of any vault. Stations and the
 * orchestrator share these formats, and neither believes the other.
 */
import * as ecc from "tiny-secp256k1";
import { z } from "zod";
import { fromHex, hex, taggedHash } from "./bitcoin/hash.ts";
import { NETWORKS, type Network } from "./bitcoin/network.ts";
import { canonical } from "./document/policy.ts";
import { readLine, writeLine } from "./evidence/line.ts";
import { hash, name, whole } from "./evidence/scalar.ts";

/** What a participant is there for. */
export const PARTS = ["initiator", "verifier", "trustee", "second-trustee", "witness"] as const;
export type Part = (typeof PARTS)[number];

/** Parts that a quorum may ask for, and the act by which each agrees. */
export const ASSENTS = {
  verifier: "verified",
  witness: "witnessed",
  trustee: "approve",
  "second-trustee": "approve",
} as const;
export type QuorumPart = keyof typeof ASSENTS;
const QUORUM_PARTS = Object.keys(ASSENTS) as [QuorumPart, ...QuorumPart[]];

/** Whether this part signs the spend itself, with a key of the vault. */
export function holdsKey(part: Part): part is "trustee" | "second-trustee" {
  return part === "trustee" || part === "second-trustee";
}

/** Whose events bear no signature: the orchestrator only tells what it saw. */
export const ORCHESTRATOR = "orchestrator";

/** UTC to the millisecond: two of them compare as texts do. */
export const instant = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const moment = z.strictObject({ height: whole, time: instant });

const participant = z.strictObject({
  name: name.refine((text) => text !== ORCHESTRATOR, { message: "is the orchestrator's own" }),
  role: z.enum(PARTS),
  /** The station's key, x-only. */
  key: hash.refine((text) => ecc.isXOnlyPoint(fromHex(text)), { message: "is no key" }),
});

/** The ceremony document, format `ballast/ceremony@1`. */
export const ceremonySchema = z.strictObject({
  format: z.literal("ballast/ceremony@1"),
  network: z.enum(NETWORKS),
  intent: hash,
  /** The transaction to be signed; see SpendFacts. */
  spend: z.strictObject({ hash, txid: hash }),
  participants: z.array(participant).min(1).max(20),
  /** Somebody of each of these parts must agree, those who hold keys of the vault last. */
  quorum: z.strictObject({ approvals: z.array(z.enum(QUORUM_PARTS)).min(1).max(4) }),
  opened: moment,
  /** Whichever comes first. */
  deadline: moment,
  /** Shares of the time from opening to deadline after which people are reminded, in basis points. */
  reminders: z.array(z.int().min(1).max(9_999)).max(10),
});

export type CeremonyDocument = z.output<typeof ceremonySchema>;
export type Participant = CeremonyDocument["participants"][number];

export interface Ceremony {
  /** 32 bytes in hex: the tagged hash of the document. */
  readonly id: string;
  readonly document: CeremonyDocument;
}

export class CeremonyError extends Error {
  override readonly name = "CeremonyError";
  readonly reasons: readonly string[];
  constructor(reasons: readonly string[]) {
    super(`not a ceremony: ${reasons.join("; ")}`);
    this.reasons = reasons;
  }
}

/** Reads a ceremony document; throws a CeremonyError that lists every reason. */
export function readCeremony(value: unknown): Ceremony {
  const parsed = ceremonySchema.safeParse(value);
  if (!parsed.success) {
    throw new CeremonyError(
      parsed.error.issues.map((issue) => `${issue.path.join(".") || "document"}: ${issue.message}`),
    );
  }
  const reasons = incoherent(parsed.data);
  if (reasons.length > 0) throw new CeremonyError(reasons);
  return { id: ceremonyId(parsed.data), document: parsed.data };
}

function ceremonyId(document: CeremonyDocument): string {
  return hex(taggedHash("ballast/ceremony@1", new TextEncoder().encode(canonical(document))));
}

function incoherent(document: CeremonyDocument): readonly string[] {
  const { participants, quorum, opened, deadline, reminders } = document;
  const { approvals } = quorum;
  const twice = (list: readonly unknown[]) => new Set(list).size !== list.length;
  return [
    ...(twice(participants.map((one) => one.name)) ? ["participants: a name stands twice"] : []),
    ...(twice(participants.map(({ key }) => key)) ? ["participants: a key stands twice"] : []),
    ...(twice(approvals) ? ["quorum.approvals: a part stands twice"] : []),
    ...(approvals.some(holdsKey) ? [] : ["quorum.approvals: nobody in it signs the spend"]),
    ...approvals
      .filter((part) => !participants.some(({ role }) => role === part))
      .map((part) => `quorum.approvals: nobody takes part as ${part}`),
    ...(deadline.time > opened.time && deadline.height > opened.height
      ? []
      : ["deadline: is not after the opening"]),
    ...(reminders.every((part, i) => i === 0 || part > (reminders[i - 1] ?? 0))
      ? []
      : ["reminders: do not ascend"]),
  ];
}

/** Most characters that a reason takes inside a line. */
const ENCODED_CHARACTERS_MAX = 600;
const encoded = z
  .string()
  .min(1)
  .max(ENCODED_CHARACTERS_MAX)
  .refine(isEncoded, { message: "is not encoded" });

/** What each act says besides who does it, the fields in their order. */
const forms = {
  open: z.strictObject({}),
  /** `part` in basis points; `to`: who is waited for, by name. */
  remind: z.strictObject({
    part: z.string().regex(/^[1-9][0-9]{0,3}$/),
    to: z.string().regex(/^[a-z0-9.,-]{1,400}$/),
  }),
  seen: z.strictObject({}),
  /** Judged by the station's own law, whose hash is `policy`; "none" where it has none. */
  verified: z.strictObject({ spend: hash, policy: z.union([hash, z.literal("none")]) }),
  witnessed: z.strictObject({ spend: hash }),
  /** `psbt`: see psbtHash, over the very bytes that are handed over. */
  approve: z.strictObject({ psbt: hash, spend: hash }),
  decline: z.strictObject({ reason: encoded }),
  expire: z.strictObject({ height: z.string().regex(/^(?:0|[1-9][0-9]{0,8})$/) }),
  supersede: z.strictObject({ reason: encoded }),
  broadcast: z.strictObject({ txid: hash }),
  confirmed: z.strictObject({ txid: hash, height: z.string().regex(/^(?:0|[1-9][0-9]{0,8})$/) }),
  complete: z.strictObject({}),
  close: z.strictObject({}),
} as const;

export type Act = keyof typeof forms;
export const ACTS = Object.keys(forms) as [Act, ...Act[]];
const isAct = (text: string): text is Act => Object.hasOwn(forms, text);

/** One event without its place in time: what its line says. */
export interface EventContent {
  /** Counted from 0. */
  readonly sequence: number;
  /** Hash of the event before; of the first, the ceremony's id. */
  readonly previous: string;
  /** A participant's name, or the orchestrator. */
  readonly by: string;
  readonly do: Act;
  readonly detail: Readonly<Record<string, string>>;
}

/** The line that a station signs. */
export function eventLine(network: Network, ceremony: string, event: EventContent): string {
  const { sequence, previous, by, do: act, detail } = event;
  const head = { id: ceremony, seq: String(sequence), prev: previous, by, do: act };
  return writeLine({ kind: "ceremony", network, fields: { ...head, ...detail } });
}

/** Longer than what a device shows: stations sign it, and no device of a vault ever does. */
const EVENT_CHARACTERS_MAX = 1_200;

/** Reads an event's line; null for a text that is none, or is not written in its one form. */
export function readEventLine(
  text: string,
): { readonly network: Network; readonly ceremony: string; readonly event: EventContent } | null {
  const line = text.length > EVENT_CHARACTERS_MAX ? null : readLine(text);
  if (line === null || line.kind !== "ceremony") return null;
  const { id = "", seq = "", prev = "", by = "", do: act = "", ...detail } = line.fields;
  if (!isAct(act) || !isDetail(act, detail) || !/^(?:0|[1-9][0-9]{0,5})$/.test(seq)) return null;
  if (!hash.safeParse(id).success || !hash.safeParse(prev).success) return null;
  if (!name.safeParse(by).success) return null;
  const event: EventContent = { sequence: Number(seq), previous: prev, by, do: act, detail };
  return eventLine(line.network, id, event) === text
    ? { network: line.network, ceremony: id, event }
    : null;
}

/** Whether these are the act's own fields, in their order. */
export function isDetail(act: Act, detail: Readonly<Record<string, string>>): boolean {
  const form = forms[act];
  return (
    Object.keys(form.shape).join() === Object.keys(detail).join() && form.safeParse(detail).success
  );
}

/** The hash that the next event names: over the line, the time, and the signature if it has one. */
export function eventHash(line: string, { at, signature }: Sealing): string {
  const text = [line, at, signature ?? ""].join("\n");
  return hex(taggedHash("ballast/ceremony-event@1", new TextEncoder().encode(text)));
}

export interface Sealing {
  readonly at: string;
  /** 64 bytes in hex; null for the orchestrator's. */
  readonly signature: string | null;
}

/** How an approval names the partial PSBT that came with it: over its bytes as they are handed over. */
export function psbtHash(psbt: Uint8Array): string {
  return hex(taggedHash("ballast/psbt@1", psbt));
}

/** The line by which a participant attests that a transcript ended so. */
export function attestLine(
  { network, ceremony }: { readonly network: Network; readonly ceremony: string },
  { by, sequence, head }: { readonly by: string; readonly sequence: number; readonly head: string },
): string {
  const fields = { id: ceremony, seq: String(sequence), head, by };
  return writeLine({ kind: "attest", network, fields });
}

/** Most that a person writes as a reason. */
export const REASON_CHARACTERS_MAX = 200;

/** As many of a person's words as a line takes, whole signs only: their no is heard in any script. */
export function fittingReason(words: string): string {
  let reason = "";
  for (const sign of words.normalize("NFC").replace(/\p{Cs}/gu, "?")) {
    const more = reason + sign;
    if (more.length > REASON_CHARACTERS_MAX) break;
    if (encodeReason(more).length > ENCODED_CHARACTERS_MAX) break;
    reason = more;
  }
  return reason;
}

/** A person's words inside a line, which has no blanks: percent-encoded, one text one writing. */
export function encodeReason(words: string): string {
  return encodeURIComponent(words.normalize("NFC"));
}

export function decodeReason(text: string): string {
  return decodeURIComponent(text);
}

function isEncoded(text: string): boolean {
  try {
    return encodeReason(decodeURIComponent(text)) === text;
  } catch {
    return false;
  }
}
