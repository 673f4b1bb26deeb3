/** Curve work on the calling thread: for processes that live for a tenth of a second. */
import { randomFillSync } from "node:crypto";
import * as ecc from "tiny-secp256k1";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { verifies } from "../../policies/bitcoin/schnorr.ts";
import { evidenceFacts } from "../../policies/evidence.ts";
import { spendFacts } from "../../policies/facts.ts";
import { readVault, type VaultDocument } from "../../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import type { CurvePool } from "../../signer/curve.ts";

/** Answers as the workers of `openCurvePool` do: who signs twice makes two signatures. */
export function inlineCurve(): CurvePool {
  const known = new Map<string, VaultScripts>();
  const scriptsOf = (document: VaultDocument) => {
    const id = JSON.stringify(document);
    const found = known.get(id) ?? vaultScripts(readVault(document));
    known.set(id, found);
    return found;
  };
  return {
    facts: async (psbt, vaults) => spendFacts(readPsbt(psbt), vaults.map(scriptsOf)),
    evidence: async (evidence, vaults, context) =>
      evidenceFacts(evidence, vaults.map(scriptsOf), context),
    sign: async (jobs) =>
      jobs.map(({ secret, tweak, message }) => {
        const key = ecc.privateAdd(secret, tweak);
        if (key === null) throw new RangeError("the tweak cancels the key");
        return ecc.signSchnorr(message, key, randomFillSync(new Uint8Array(32)));
      }),
    verify: async (jobs) => jobs.every(verifies),
    close: async () => undefined,
  };
}
