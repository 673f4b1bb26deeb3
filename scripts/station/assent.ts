/**
 * `station verify`: the word of a verifier or a witness in a ceremony. They hold no key of the vault,
 * so nothing is opened but the request: it is explained by the policy that they were given.
 */
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { readSignedPolicy } from "../../policies/document/signed-policy.ts";
import { readEvidence } from "../../policies/evidence.ts";
import { type Explanation, explain } from "../../policies/explain.ts";
import { spendHash } from "../../policies/facts.ts";
import { readIntent } from "../../policies/intent.ts";
import { readVault } from "../../policies/vault.ts";
import { readDocument } from "../../signer/config.ts";
import { readIdentity, readSecret } from "../../signer/station/config.ts";
import { identityOf } from "../../signer/station/identity.ts";
import { httpRequests } from "../../signer/station/orchestrator.ts";
import { plain } from "../../signer/station/plain.ts";
import type { Requests, StationRequest } from "../../signer/station/requests.ts";
import { InputError } from "../input.ts";
import { type Common, inTheWay, stationConfig } from "./room.ts";

export interface AssentOptions extends Common {
  readonly agree?: string;
}

export async function assent(id: string, options: AssentOptions): Promise<number> {
  try {
    return await spoken(id, options);
  } catch (error) {
    return inTheWay(error, options.json === true);
  }
}

async function spoken(id: string, options: AssentOptions): Promise<number> {
  const config = stationConfig(options);
  const { orchestrator } = config;
  if (orchestrator === undefined) throw new InputError("config", "no orchestrator is configured");
  const identity = identityOf(readIdentity(config.identity));
  const token = readSecret(orchestrator.token);
  const requests = httpRequests({ url: orchestrator.url, token, identity });
  const request = (await requests.list()).find((known) => known.id === id);
  const own = request?.ceremony?.document.participants.find(
    ({ key }) => key === identity.publicKey,
  );
  if (request === undefined || own === undefined) {
    throw new InputError("request", `nothing of the id ${id} waits for this station`);
  }
  const { policy } = readSignedPolicy(readDocument(config.policy));
  const explanation = explained(request, policy);
  const spend = spendHash(readPsbt(request.request.psbt));
  if (options.agree === undefined) return show(explanation, spend, options.json === true);
  if (options.agree !== spend) {
    throw new InputError("agree", "the request is not the one that you agreed to: show it again");
  }
  await say({ requests, request, role: own.role, spend, policy: policy.hash });
  const done = { kind: own.role === "witness" ? "witnessed" : "verified", id };
  console.log(options.json === true ? JSON.stringify(done) : `You are heard: ${done.kind}.`);
  return 0;
}

function explained(
  { request, vaults }: StationRequest,
  policy: Parameters<typeof explain>[0]["policy"],
): Explanation {
  const { intent, psbt, evidence } = request;
  return explain({
    ...{ policy, history: null, chain: null, now: Date.now() },
    psbt: readPsbt(psbt),
    vaults: vaults.map(({ vault }) => readVault(vault)),
    intent: readIntent(intent),
    evidence: evidence === undefined ? null : readEvidence(evidence),
  });
}

function show({ facts, violations }: Explanation, spend: string, json: boolean): number {
  if (json) {
    console.log(JSON.stringify({ spend, facts, violations }));
    return violations.length === 0 ? 0 : 3;
  }
  const lines = [
    `Purpose ${facts.purpose ?? "none that is known"}, fee ${facts.feeSats ?? "unknown"} sat`,
    ...facts.outputs.map(
      ({ sats, address, script, coin }) =>
        `  ${sats} sat to ${address ?? script}${coin === null ? "" : ` (vault ${coin.vault})`}`,
    ),
    ...violations.map(({ rule, detail }) => `  ${rule}: ${detail}`),
    "Judged without a node and without a memory: whether the coins exist was not asked.",
    `You would agree to ${spend}: say it with --agree ${spend}`,
  ];
  console.log(lines.map(plain).join("\n"));
  return violations.length === 0 ? 0 : 3;
}

interface Saying {
  readonly requests: Requests;
  readonly request: StationRequest;
  readonly role: string;
  readonly spend: string;
  readonly policy: string;
}

async function say({ requests, request, role, spend, policy }: Saying): Promise<void> {
  const word =
    role === "witness"
      ? ({ do: "witnessed", spendHash: spend } as const)
      : ({ do: "verified", spendHash: spend, policy } as const);
  await requests.assent(request, word);
}
