/** What stations answer to a request: signatures, or no. */
import { base64 } from "@scure/base";
import { decodeReason, holdsKey, psbtHash } from "../../policies/ceremony.ts";
import type { CeremonyEvent } from "../../policies/ceremony-events.ts";
import type { Role } from "../../policies/vault.ts";
import type { Db } from "../io/store.ts";
import { findIntent, type IntentRow, keepPartial, move, settled } from "../spend/intents.ts";
import { abandon, cancel } from "../spend/reserve.ts";
import { acceptUserPsbt, checkPartial, type SignParts } from "../spend/sign.ts";
import { firstSigner } from "../spend/signers.ts";
import { ceremoniesOf, type LoadedCeremony } from "./ceremonies.ts";
import {
  type AnswerOutcome,
  appendWith,
  nameOf,
  readSigned,
  type SignedLine,
  UnmeantError,
  unheard,
} from "./heard.ts";
import type { StationRow } from "./stations.ts";

export type AnswerParts = Omit<SignParts, "signer">;

export interface SignedAnswer {
  readonly intent: string;
  /** Base64. */
  readonly psbt: string;
  /** The approval of a ceremony; null from a user. */
  readonly event: SignedLine | null;
}

/** A user's signatures, or a trustee's with the event that approves; null: not this station's. */
export async function answerSigned(
  parts: AnswerParts,
  station: StationRow,
  { intent: id, psbt, event: signed }: SignedAnswer,
): Promise<AnswerOutcome | null> {
  const intent = await findIntent(parts.store.db, id);
  if (intent === null) return null;
  if (station.role === "user") {
    if (intent.account !== station.account) return null;
    const outcome = await acceptUserPsbt(parts, { id, text: psbt });
    if (outcome === null) return null;
    if (outcome.kind === "accepted") return { kind: "heard", fresh: outcome.fresh, standing: null };
    return unheard(outcome.code === "state" ? "conflict" : "content", ...outcome.reasons);
  }
  const loaded = await ceremonyOf(parts.store.db, station, id);
  if (loaded === null) return null;
  if (signed === null) return unheard("content", "event: an approval is an event, too");
  const read = readSigned(parts, { loaded, station, signed, acts: ["approve"] });
  if (read.kind !== "event") return read;
  return await approve(parts, { intent, loaded, event: read.event, text: psbt });
}

interface Approval {
  readonly intent: IntentRow;
  readonly loaded: LoadedCeremony;
  readonly event: CeremonyEvent;
  readonly text: string;
}

async function approve(
  parts: AnswerParts,
  { intent, loaded, event, text }: Approval,
): Promise<AnswerOutcome> {
  const { ceremony } = loaded;
  const by = keyHolder(loaded, event);
  if (by === null) return unheard("content", `event: ${event.by} holds no key of the vault`);
  const checked = await checkPartial(parts, { intent, text, by });
  if (checked.kind === "refused") {
    return unheard(checked.code === "state" ? "conflict" : "content", ...checked.reasons);
  }
  if (event.detail["psbt"] !== psbtHash(base64.decode(text))) {
    return unheard("content", "event: it approves another PSBT than this");
  }
  const { psbt, signedBy } = checked;
  const first = firstSigner(intent.purpose);
  if (first === null || !signedBy.includes(first)) {
    return unheard("conflict", `the ${first} has not signed yet, and signs first`);
  }
  const outcome = await appendWith(parts, { id: ceremony.id, event }, async (db, { state }) => {
    const { id } = intent;
    const detail = `${event.by} agreed in ceremony ${ceremony.id}`;
    const set = { ...settled, psbt };
    const at = parts.clock();
    const kept =
      state === "approved"
        ? await move(db, { id, from: ["user-signed", "lsp-signed"], to: "signed", at, detail, set })
        : await keepPartial(db, { id, psbt });
    if (!kept) throw new UnmeantError("the intent does not wait for this signature any more");
  });
  if (outcome.kind === "heard" && outcome.fresh) {
    parts.log.info({ ceremony: ceremony.id, intent: intent.id, by: event.by }, "spend approved");
  }
  return outcome;
}

function keyHolder({ ceremony }: LoadedCeremony, { by }: CeremonyEvent): Role | null {
  const part = ceremony.document.participants.find(({ name }) => name === by)?.role;
  return part !== undefined && holdsKey(part) ? part : null;
}

export interface DeclinedAnswer {
  readonly intent: string;
  readonly reason: string;
  readonly event: SignedLine | null;
}

/** Somebody says no; null: it is not this station's to say. */
export async function answerDeclined(
  parts: AnswerParts,
  station: StationRow,
  { intent: id, reason, event: signed }: DeclinedAnswer,
): Promise<AnswerOutcome | null> {
  const { store, clock, log } = parts;
  const intent = await findIntent(store.db, id);
  if (intent === null) return null;
  if (station.role === "user") {
    if (intent.account !== station.account) return null;
    const fresh = await cancel(parts, id, `declined by the user: ${reason}`);
    const now = await findIntent(store.db, id);
    if (now?.state === "cancelled") return { kind: "heard", fresh, standing: null };
    return unheard("conflict", `the intent is ${now?.state}: only before the first signature`);
  }
  const loaded = await ceremonyOf(store.db, station, id);
  if (loaded === null) return null;
  if (signed === null) return unheard("content", "event: a refusal is an event, too");
  const read = readSigned(parts, { loaded, station, signed, acts: ["decline"] });
  if (read.kind !== "event") return read;
  const { event } = read;
  if (decodeReason(event.detail["reason"] ?? "") !== reason.normalize("NFC")) {
    return unheard("content", "event: it gives another reason");
  }
  const outcome = await appendWith(parts, { id: loaded.ceremony.id, event }, async (db) => {
    const objection = { rule: "ceremony", detail: `declined by ${event.by}: ${reason}` };
    await abandon(db, { id, objection, at: clock() });
  });
  if (outcome.kind === "heard" && outcome.fresh) {
    log.warn({ ceremony: loaded.ceremony.id, by: event.by, reason }, "ceremony declined");
  }
  return outcome;
}

/** The ceremony of the intent in which the station takes part: the one that is open, or the last. */
async function ceremonyOf(
  db: Db,
  station: StationRow,
  intent: string,
): Promise<LoadedCeremony | null> {
  const own = (await ceremoniesOf(db, intent)).filter((loaded) => nameOf(loaded, station) !== null);
  return own.find(({ standing }) => standing.state === "open") ?? own[0] ?? null;
}
