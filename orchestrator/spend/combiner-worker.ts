/** The combining thread; see combiner.ts. */
import { parentPort } from "node:worker_threads";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { readVault, type VaultDocument } from "../../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import { combine, finalise } from "./combine.ts";
import type { CombinedBytes, CombinerAnswer, CombinerRequest } from "./combiner.ts";

/** Vaults whose scripts are remembered; the oldest gives way. */
const VAULTS_MAX = 500;

const vaults = new Map<string, VaultScripts>();

parentPort?.on("message", ({ id, request }: { id: number; request: CombinerRequest }) => {
  parentPort?.postMessage(answerOf(id, request));
});

function answerOf(id: number, request: CombinerRequest): CombinerAnswer {
  try {
    return { id, value: work(request) };
  } catch (error) {
    return { id, fault: error instanceof Error ? error.message : String(error) };
  }
}

function work(request: CombinerRequest): CombinedBytes | Uint8Array {
  switch (request.kind) {
    case "combine": {
      const { unsigned, partials, only, vault } = request.body;
      const { psbt, signedBy, rejected } = combine({
        unsigned: readPsbt(unsigned),
        partials: partials.map((partial) => readPsbt(partial)),
        ...(only !== undefined && { only }),
        vaults: [scriptsOf(vault)],
      });
      return { psbt: writePsbt(psbt), signedBy, rejected };
    }
    case "finalise":
      return finalise(readPsbt(request.body.psbt), [scriptsOf(request.body.vault)]).rawTx;
    default:
      return request satisfies never;
  }
}

function scriptsOf(document: VaultDocument): VaultScripts {
  const key = JSON.stringify(document);
  const known = vaults.get(key);
  if (known !== undefined) return known;
  const scripts = vaultScripts(readVault(document));
  const oldest = vaults.size >= VAULTS_MAX ? vaults.keys().next().value : undefined;
  if (oldest !== undefined) vaults.delete(oldest);
  vaults.set(key, scripts);
  return scripts;
}
