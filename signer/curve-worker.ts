/** One thread of the curve pool; see curve.ts. */
import { randomFillSync } from "node:crypto";
import { parentPort } from "node:worker_threads";
import * as ecc from "tiny-secp256k1";
import { readPsbt } from "../policies/bitcoin/psbt.ts";
import { verifies } from "../policies/bitcoin/schnorr.ts";
import { evidenceFacts } from "../policies/evidence.ts";
import { spendFacts } from "../policies/facts.ts";
import { readVault, type VaultDocument } from "../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../policies/vault-scripts.ts";
import type { CurveAnswer, CurveRequest, SignJob, VerifyJob } from "./curve.ts";

/** Vaults whose scripts are remembered; the oldest gives way. */
const VAULTS_MAX = 100;

const vaults = new Map<string, VaultScripts>();

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

function sign(jobs: readonly SignJob[]): readonly Uint8Array[] {
  const aux = new Uint8Array(32);
  return jobs.map(({ secret, tweak, message }) => {
    const key = ecc.privateAdd(secret, tweak);
    if (key === null) throw new RangeError("the tweak cancels the key");
    randomFillSync(aux);
    const signature = ecc.signSchnorr(message, key, aux);
    key.fill(0);
    return signature;
  });
}

function verify(jobs: readonly VerifyJob[]): boolean {
  return jobs.every(verifies);
}

function work(request: CurveRequest): unknown {
  switch (request.kind) {
    case "facts":
      return spendFacts(readPsbt(request.psbt), request.vaults.map(scriptsOf), request.part);
    case "evidence":
      return evidenceFacts(request.evidence, request.vaults.map(scriptsOf), request.context);
    case "sign":
      return sign(request.jobs);
    case "verify":
      return verify(request.jobs);
    default:
      return request satisfies never;
  }
}

parentPort?.on("message", ({ id, request }: { id: number; request: CurveRequest }) => {
  let answer: CurveAnswer;
  try {
    answer = { id, value: work(request) };
  } catch (error) {
    answer = { id, fault: error instanceof Error ? error.message : String(error) };
  } finally {
    if (request.kind === "sign") for (const { secret } of request.jobs) secret.fill(0);
  }
  parentPort?.postMessage(answer);
});
