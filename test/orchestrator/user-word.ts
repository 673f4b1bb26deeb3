/** What a resident of the orchestrator's tests says about their vault. */
import * as ecc from "tiny-secp256k1";
import { hex } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import { writeNotice } from "../../policies/evidence/notice.ts";
import { possessionKey } from "../../policies/possession.ts";
import type { Words } from "../../signer/signer.ts";
import type { Resident } from "./world.ts";

/** Signed by the vault's message key. */
export function userWord(resident: Resident, kind: "lsp-gone" | "stop", no: number): Words {
  const { vault } = resident.vault;
  const text = writeNotice(kind, "regtest", { vault: vault.id, no });
  const account = vault.holders.find(({ role }) => role === "user");
  if (account === undefined) throw new Error("a vault without its user");
  const secret = ecc.privateAdd(resident.user.secret, possessionKey(account.key).tweak);
  if (secret === null) throw new Error("tweak cancels the key");
  return { text, signature: hex(ecc.signSchnorr(textHash(text), secret)) };
}
