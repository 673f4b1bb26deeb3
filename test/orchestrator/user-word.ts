/** What a resident of the orchestrator's tests says about their vault. */
import * as ecc from "tiny-secp256k1";
import { hex } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import { type NoticeKind, writeNotice } from "../../policies/evidence/notice.ts";
import { possessionKey } from "../../policies/possession.ts";
import type { Vault } from "../../policies/vault.ts";
import type { Words } from "../../signer/signer.ts";
import type { Holder } from "./holders.ts";
import type { Resident } from "./world.ts";

/** Signed by the vault's message key. */
export function userWord(resident: Resident, kind: "lsp-gone" | "stop", no: number): Words {
  const { vault } = resident.vault;
  return wordOf({ speaker: vault, by: resident.user }, kind, { vault: vault.id, no });
}

export interface Speaker {
  /** Whose user's key at `/0/0` signs. */
  readonly speaker: Vault;
  readonly by: Holder;
}

export function wordOf(
  { speaker, by }: Speaker,
  kind: NoticeKind,
  fields: Readonly<Record<string, string | number | bigint>>,
): Words {
  const text = writeNotice(kind, "regtest", fields);
  const account = speaker.holders.find(({ role }) => role === "user");
  if (account === undefined) throw new Error("a vault without its user");
  const secret = ecc.privateAdd(by.secret, possessionKey(account.key).tweak);
  if (secret === null) throw new Error("tweak cancels the key");
  return { text, signature: hex(ecc.signSchnorr(textHash(text), secret)) };
}

/** A mandate that names who may recover, and little else. */
export function mandateFields(vault: Vault, no: number, recovery: string) {
  return {
    ...{ vault: vault.id, no, may: "none", sats30d: 0, fees30d: 0, bump: 0, refresh: 0 },
    ...{ claimbps: 0, treasury: "00".repeat(20), recovery, until: 20_000 },
  };
}
