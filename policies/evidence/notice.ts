/**
 * Notices: what the holder of a vault's key tells the signers outside of any spend. Each is a line
 * signed by the vault's user key at `/0/0` (a recovery of a lost user by the recovery key at `/0/0`),
 * kept by every signer in its journal with the height at which it was heard (architecture section 3).
 */
import { z } from "zod";
import { type AccountKey, childOf } from "../bitcoin/account-key.ts";
import { hex, taggedHash } from "../bitcoin/hash.ts";
import { signsText } from "../bitcoin/message.ts";
import type { Network } from "../bitcoin/network.ts";
import { RECEIVE, type Vault } from "../vault.ts";
import { LINE_BYTES_MAX, readLine, writeLine } from "./line.ts";
import { publicKey, vaultId } from "./scalar.ts";

const count = (max: number) =>
  z
    .string()
    .regex(/^(?:0|[1-9][0-9]{0,15})$/)
    .transform(Number)
    .refine((value) => value <= max, { message: `is more than ${max}` });
const amount = z
  .string()
  .regex(/^(?:0|[1-9][0-9]{0,15})$/)
  .transform(BigInt);
const number = count(1_000_000_000);
const height = count(100_000_000);

/** Purposes that a mandate allows by name; the others by their caps. */
export const MANDATED = ["collect", "top-up", "consolidation", "cancel"] as const;
export type Mandated = (typeof MANDATED)[number];

const may = z.string().transform((text, context): readonly Mandated[] => {
  const words = text === "none" ? [] : text.split(",");
  const known = MANDATED.filter((word) => words.includes(word));
  if (known.join() === words.join()) return known;
  context.addIssue({ code: "custom", message: `is not some of ${MANDATED.join()} in this order` });
  return z.NEVER;
});

const recovery = z
  .string()
  .regex(/^(?:none|[0-9a-f]{40})$/)
  .transform((text) => (text === "none" ? null : text));

/** Fields in the order in which they stand in the line. */
const forms = {
  /** What LSP and trustee may do without the user. */
  mandate: z.strictObject({
    vault: vaultId,
    no: number,
    may,
    /** Sats that may leave the vault in 30 days without the user. */
    sats30d: amount,
    /** Fees that the vault may bear in 30 days without the user. */
    fees30d: amount,
    /** Sats by which the fee of a payment may be raised without the user. */
    bump: amount,
    /** Refreshes a year, each coin counted. */
    refresh: count(1_000),
    /** Fee on the claim, in basis points a year. */
    claimbps: count(10_000),
    treasury: vaultId,
    /** Hash of the key that may recover the coins of a lost user. */
    recovery,
    /** Last height at which it holds. */
    until: height,
  }),
  /** Ends the mandate of this number, and every lower one. */
  revoke: z.strictObject({ vault: vaultId, no: number }),
  /** The Lightning node that the user runs. */
  node: z.strictObject({ vault: vaultId, no: number, node: publicKey }),
  /** A key that may sign operations of the account, up to `sats` each. */
  delegate: z.strictObject({
    vault: vaultId,
    no: number,
    key: publicKey,
    sats: amount,
    until: height,
  }),
  /** The LSP is gone: user and trustee will spend without it. */
  "lsp-gone": z.strictObject({ vault: vaultId, no: number }),
  /** The user is lost: LSP and trustee will move the coins to the vault of the recovery key. */
  "user-lost": z.strictObject({ vault: vaultId, no: number, to: vaultId }),
  /** Stops every recovery that was announced. */
  stop: z.strictObject({ vault: vaultId, no: number }),
} as const;

type Forms = typeof forms;
export type NoticeKind = keyof Forms;
export const NOTICE_KINDS = Object.keys(forms) as [NoticeKind, ...NoticeKind[]];
type NoticeOf<Kind extends NoticeKind> = z.output<Forms[Kind]> & {
  readonly kind: Kind;
  readonly network: Network;
};
export type Notice = { [Kind in NoticeKind]: NoticeOf<Kind> }[NoticeKind];
export type Mandate = NoticeOf<"mandate">;

const isKind = (kind: string): kind is NoticeKind => Object.hasOwn(forms, kind);

/** Reads a notice's line; null for a text that is none, or is not written in its one form. */
export function readNotice(text: string): Notice | null {
  if (text.length > LINE_BYTES_MAX) return null;
  const line = readLine(text);
  if (line === null || !isKind(line.kind)) return null;
  const form = forms[line.kind];
  const ordered = Object.keys(form.shape).join() === Object.keys(line.fields).join();
  const parsed = form.safeParse(line.fields);
  // Written back it must be the same, so that one meaning has one text.
  if (!ordered || !parsed.success || writeLine(line) !== text) return null;
  return { kind: line.kind, network: line.network, ...parsed.data } as Notice;
}

/** Whether the one who may give this notice has signed it. `to` is the vault that a recovery names. */
export function signsNotice(
  notice: Notice,
  { text, signature }: { readonly text: string; readonly signature: Uint8Array },
  { vault, to }: { readonly vault: Vault; readonly to: Vault | null },
): boolean {
  const signing = notice.kind === "user-lost" ? to : vault;
  const key = signing === null ? null : messageKey(signing);
  return key !== null && signsText(text, signature, key);
}

/** The key that signs messages for a vault: the user's account at `/0/0`, 33 bytes; null without user. */
export function messageKey(vault: Vault): Uint8Array | null {
  const user = vault.holders.find(({ role }) => role === "user");
  return user === undefined ? null : childOf(childOf(user.key, RECEIVE), 0).publicKey;
}

/** How a mandate names the key that may recover: 20 bytes in hex over the key's own text. */
export function recoveryHash({ text }: Pick<AccountKey, "text">): string {
  return hex(taggedHash("ballast/recovery@1", new TextEncoder().encode(text)).subarray(0, 20));
}

export function writeNotice(
  kind: NoticeKind,
  network: Network,
  fields: Readonly<Record<string, string | number | bigint>>,
): string {
  const texts = Object.entries(fields).map(([key, value]) => [key, String(value)]);
  return writeLine({ kind, network, fields: Object.fromEntries(texts) });
}
