/**
 * What a person says outside of any spend, or about one: composed from a few figures, shown in words,
 * signed on the device as one line that it shows whole, and verified before it goes anywhere.
 */
import type { AccountKey } from "../../policies/bitcoin/account-key.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { signsText } from "../../policies/bitcoin/message.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { type ApprovalDocument, approvalText } from "../../policies/evidence/approval.ts";
import { LINE_BYTES_MAX } from "../../policies/evidence/line.ts";
import {
  messageKey,
  type Notice,
  type NoticeKind,
  readNotice,
  writeNotice,
} from "../../policies/evidence/notice.ts";
import type { Vault } from "../../policies/vault.ts";
import { KeyError } from "../key-error.ts";
import { signsLine } from "../signed-line.ts";
import type { Key, Words } from "../signer.ts";
import type { Sight } from "./sight.ts";

export interface Speech {
  readonly notice: Notice;
  /** The line that is signed. */
  readonly text: string;
}

/** Fields of each kind in their order, with what is meant where a person says nothing. */
const FIELDS: Readonly<Record<NoticeKind, readonly (readonly [string, string | null])[]>> = {
  mandate: [
    ["may", "collect,top-up,consolidation,cancel"],
    ["sats30d", null],
    ["fees30d", null],
    ["bump", "0"],
    ["refresh", "0"],
    ["claimbps", "0"],
    ["treasury", null],
    ["recovery", "none"],
    ["until", null],
  ],
  revoke: [],
  node: [["node", null]],
  delegate: [
    ["key", null],
    ["sats", null],
    ["until", null],
  ],
  "lsp-gone": [],
  "user-lost": [["to", null]],
  stop: [],
};

export interface SpeechParts {
  readonly kind: NoticeKind;
  readonly network: Network;
  readonly vault: string;
  /** A higher one replaces a lower one. */
  readonly number: number;
  /** By name, as the person gave them. */
  readonly fields: Readonly<Record<string, string>>;
}

/** The speech, or what is missing or wrong in it. */
export function compose({ kind, network, vault, number, fields }: SpeechParts): Speech | string[] {
  const known = FIELDS[kind];
  const foreign = Object.keys(fields).filter((name) => !known.some(([own]) => own === name));
  const missing = known.filter(([name, usual]) => fields[name] === undefined && usual === null);
  const reasons = [
    ...foreign.map((name) => `a ${kind} has no "${name}"`),
    ...missing.map(([name]) => `a ${kind} needs "${name}"`),
  ];
  if (reasons.length > 0) return reasons;
  const said = known.map(([name, usual]) => [name, fields[name] ?? usual ?? ""] as const);
  const text = writeNotice(kind, network, { vault, no: number, ...Object.fromEntries(said) });
  const notice = readNotice(text);
  if (notice !== null) return { notice, text };
  return text.length > LINE_BYTES_MAX
    ? [`it would have ${text.length} characters, a device shows ${LINE_BYTES_MAX}`]
    : [
        `a value is not written as it must be: ${written({ vault, number, ...Object.fromEntries(said) })}`,
      ];
}

function written(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map((pair) => pair.join("="))
    .join(" ");
}

/** What a notice means, for a person to read before signing it. */
export function inWords(notice: Notice): readonly string[] {
  const about = `  for vault ${notice.vault} on ${notice.network}, number ${notice.no}`;
  switch (notice.kind) {
    case "mandate": {
      const { may, sats30d, fees30d, bump, refresh, claimbps, treasury, recovery, until } = notice;
      return [
        "A mandate: LSP and trustee together may, without asking you,",
        `  ${may.length === 0 ? "do nothing by name" : may.join(", ")}`,
        about,
        `  move at most ${sats30d} sat and spend at most ${fees30d} sat of fees in 30 days`,
        `  raise the fee of what you have signed by at most ${bump} sat`,
        `  refresh at most ${refresh} coins a year, and charge ${claimbps} bps a year`,
        `  only with the treasury ${treasury}`,
        recovery === null
          ? "  Nobody can recover your coins if you are lost."
          : `  If you are lost, the coins go to the recovery key with hash ${recovery}.`,
        `  until block ${until}; a mandate of a higher number, or revoke, replaces it.`,
      ];
    }
    case "revoke":
      return ["Your mandates end: nothing is moved without you any more.", about];
    case "node":
      return [`Your Lightning node is ${notice.node}.`, about];
    case "delegate":
      return [
        `The key ${notice.key} may sign pool operations for you,`,
        `  at most ${notice.sats} sat each, until block ${notice.until}, to your own vault only`,
        about,
      ];
    case "lsp-gone":
      return [
        "You announce that the LSP is gone: after the trustee's delay you and the trustee",
        "  can spend without it. Your next signatures with the LSP go on to count.",
        about,
      ];
    case "user-lost":
      return [
        `The recovery key's holder announces that the user is lost: all coins go to ${notice.to},`,
        "  a month from now, unless the user says a single word meanwhile.",
        about,
      ];
    case "stop":
      return ["Every announced recovery of your vault stops.", about];
  }
}

/**
 * Signed by the vault's user key on the device, and verified under it: of the vault that the notice
 * is about, or for a lost user of the vault that the coins go to.
 */
export async function say(key: Key, { notice, text }: Speech, vault: Vault): Promise<Words> {
  const speaking = notice.kind === "user-lost" ? notice.to : notice.vault;
  if (vault.id !== speaking) {
    const detail = `a ${notice.kind} is said by the user of vault ${speaking}, not of ${vault.id}`;
    throw new KeyError("unsupported", detail);
  }
  const holder = vault.holders.find(({ role }) => role === "user");
  const wanted = messageKey(vault);
  if (holder === undefined || wanted === null) {
    throw new KeyError(
      "unsupported",
      `vault ${vault.id} has no user who could say a ${notice.kind}`,
    );
  }
  const signature = await signed(key, hex(holder.key.publicKey), text);
  if (!signsText(text, signature, wanted)) {
    throw new KeyError("unverified", `${key.name} signed the words with another key`);
  }
  return { text, signature: hex(signature) };
}

export interface Agreement {
  readonly person: string;
  /** Its child 0/0 is the key that the policy names. */
  readonly account: Pick<AccountKey, "publicKey" | "chainCode">;
  readonly lifts: readonly string[];
  readonly until: number;
  /** Hash of the policy under which it counts. */
  readonly policy: string;
  readonly network: Network;
}

/** A person's approval of the spend that they have seen, as evidence for every signer. */
export async function agree(
  key: Key,
  { intent, spendHash }: Pick<Sight, "intent" | "spendHash">,
  { person, account, lifts, until, policy, network }: Agreement,
): Promise<Omit<ApprovalDocument, "signature"> & { readonly signature: string }> {
  const text = approvalText({ network, intent, spendHash, policy }, { lifts: [...lifts], until });
  const signature = await signed(key, hex(account.publicKey), text);
  if (!signsLine(account, text, signature)) {
    throw new KeyError("unverified", `${key.name} signed the words with another key`);
  }
  return { person, lifts: [...lifts], until, signature: hex(signature) };
}

async function signed(key: Key, account: string, text: string): Promise<Uint8Array> {
  if (key.signLine !== undefined) return await key.signLine(account, text);
  throw new KeyError("unsupported", `${key.name} signs no words`);
}
