/**
 * The guard: the whole path of a request in one file. Read, decide and claim in one
 * transaction, sign, verify, record, release. A key is never asked before the claim is on the disk,
 * and no signature leaves before it is verified and stored (architecture sections 3 and 4).
 */
import { createHash } from "node:crypto";
import { fromHex } from "../policies/bitcoin/hash.ts";
import { type Psbt, readPsbt, writePsbt } from "../policies/bitcoin/psbt.ts";
import { field, GLOBAL, IN, valueOf, withFields } from "../policies/bitcoin/psbt-fields.ts";
import { outpoint } from "../policies/bitcoin/transaction.ts";
import { concat } from "../policies/bitcoin/wire.ts";
import type { ChainView } from "../policies/chain-view.ts";
import { claimContent } from "../policies/claim.ts";
import {
  type Approval,
  type Decision,
  decide,
  judge as judgeCase,
  ruleIds,
  type Verdict,
  type Violation,
} from "../policies/decide.ts";
import type { Policy } from "../policies/document/policy.ts";
import {
  type Evidence,
  type EvidenceFacts,
  NO_EVIDENCE,
  readEvidence,
} from "../policies/evidence.ts";
import type { SpendFacts } from "../policies/facts.ts";
import { historyQuery } from "../policies/history.ts";
import { readIntent, type SpendIntent } from "../policies/intent.ts";
import { accountsUsed, watchedVaults } from "../policies/proven.ts";
import type { Case } from "../policies/rules/rule.ts";
import type { Vault, VaultDocument } from "../policies/vault.ts";
import { CurveError, type CurvePool } from "./curve.ts";
import type { Journal } from "./journal.ts";
import { KeyError } from "./key-error.ts";
import { BitcoindError } from "./node/bitcoind-error.ts";
import type { Chain, ChainQuery } from "./node/chain.ts";
import type { Key, Signer, SignOutcome, SignRequest } from "./signer.ts";
import { openTurns } from "./turns.ts";
import type { Vaults } from "./vaults.ts";

export interface GuardParts {
  readonly name: string;
  /** The policy in force; read anew for each spend, for an amendment may have come into force. */
  readonly policy: Policy;
  readonly key: Key;
  readonly journal: Journal;
  readonly vaults: Vaults;
  readonly chain: Chain;
  readonly curve: CurvePool;
  /** Wall clock in milliseconds; the journal makes it monotone. */
  readonly now: () => number;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Told how long each stage of a request took, in milliseconds. */
  readonly stage?: (stage: Stage, ms: number) => void;
}

export type Stage = "parse" | "law" | "claim" | "token" | "verify";

/** What the law would say of a request now, and what its facts are; nothing is claimed or signed. */
export interface Review {
  readonly verdict: Verdict;
  /** Everything that the judgement rests on. */
  readonly spend: Case;
}

/** A signer of our own process: a person can look at a request before it is signed. */
export interface Guard extends Signer {
  readonly review: (request: SignRequest) => Promise<Review>;
}

/** A Signer that judges every request by its own law before its key is asked. */
export function guard(parts: GuardParts): Guard {
  const { name, journal, vaults, curve } = parts;
  /** The same request at the same time is one request, and the same hashes are signed once. */
  const requests = new Map<string, Promise<SignOutcome>>();
  const turns = openTurns(TURNS);
  const signings = new Map<string, Promise<readonly Uint8Array[]>>();

  function registered(ids: readonly string[]): readonly Vault[] {
    return ids.flatMap((id) => vaults.byId(id) ?? []);
  }

  /** The registered ones of the vaults that an intent names: what else it says is foreign. */
  function documentsOf(intent: SpendIntent): readonly VaultDocument[] {
    return registered([intent.vault, ...intent.parties]).map(({ document }) => document);
  }

  /** Signatures and paths are verified off the main thread; a request without any asks for none. */
  async function proofsOf(
    { intent, evidence }: Asked,
    { spendHash }: SpendFacts,
    policy: Policy,
  ): Promise<EvidenceFacts> {
    if (evidence === null) return NO_EVIDENCE;
    const others = evidence.operations.map((operation) => operation.vault);
    const known = registered([...new Set([intent.vault, ...intent.parties, ...others])]);
    return await curve.evidence(
      evidence,
      known.map(({ document }) => document),
      {
        network: policy.network,
        vault: intent.vault,
        intent: intent.id,
        spendHash,
        policy: policy.hash,
        guardians: policy.guardians?.people ?? [],
        people: policy.quorum?.people ?? [],
      },
    );
  }

  /** All that a judgement rests on but the history, and the question that brings it. */
  async function caseOf(asked: Asked) {
    const { intent, psbt, bytes } = asked;
    const { policy } = parts;
    const signedInputs = psbt.inputs.filter(
      (map) => valueOf(map, IN.TAP_SCRIPT_SIG) !== undefined,
    ).length;
    const facts = await curve.facts(bytes, documentsOf(intent), { inputs: signedInputs });
    const evidence = await proofsOf(asked, facts, policy);
    const spend = {
      ...{ facts, intent, policy, evidence },
      vault: vaults.byId(intent.vault),
      parties: registered(intent.parties),
    };
    // Asked last, so that nothing but this one answer stands between the chain and the claim.
    const statement = asked.evidence?.statement;
    const chain = await chainView(parts, {
      outpoints: psbt.tx.inputs.map(outpoint),
      vaults: registered(watchedVaults(spend)),
      burials: asked.evidence?.burials ?? [],
      blocks: statement === undefined ? [] : [statement.header.height],
    });
    const asking = {
      query: historyQuery({ ...spend, chain }),
      wall: parts.now(),
      height: chain?.height ?? 0,
      medianTimeMs: (chain?.medianTime ?? 0) * 1000,
    };
    return { spend: { ...spend, chain }, asking };
  }

  async function judge(asked: Asked): Promise<Judged> {
    const { spend, asking } = await caseOf(asked);
    const { facts, policy } = spend;
    const request = {
      ...asking,
      content: claimContent(spend),
      accounts: accountsUsed(spend),
      policy: policy.hash,
    };
    const claiming = performance.now();
    const decision = await journal
      .claimSoon(request, (history) => {
        if (parts.policy.hash !== policy.hash) throw new StaleLaw();
        return decide({ ...spend, history });
      })
      .catch((error: unknown) => {
        if (error instanceof StaleLaw) return null;
        throw error;
      });
    parts.stage?.("claim", performance.now() - claiming);
    return decision === null ? await judge(asked) : { facts, decision };
  }

  async function signAndRecord(
    request: string,
    approval: Approval,
  ): Promise<readonly Uint8Array[]> {
    const digest = sha256(concat(approval.inputs.map(({ sighash }) => sighash)));
    const signatures =
      journal.signatures(digest) ??
      (await once(signings, digest, () => signClaimed(parts, approval)));
    const { intent, txid } = approval;
    return await journal.recordSoon({ request, digest, intent, txid, signatures });
  }

  /** The answer given before to this very request, or null. */
  async function repeated(request: string, { intent, bytes }: Asked) {
    const digest = journal.answered(request);
    const signatures = digest === null ? null : journal.signatures(digest);
    if (signatures === null) return null;
    const facts = await curve.facts(bytes, documentsOf(intent));
    return { facts, signatures };
  }

  async function answer(request: string, asked: Asked): Promise<SignOutcome> {
    const { intent, psbt } = asked;
    const before = await repeated(request, asked);
    if (before !== null) return release(psbt, before.facts, before.signatures);
    const { facts, decision } = await timed(parts, "law", () => judge(asked));
    if (decision.kind !== "approved") {
      const rules = [...new Set(decision.violations.map(({ rule }) => rule))];
      parts.log(`spend ${decision.kind}`, { intent: intent.id, txid: facts.txid, rules });
      return { kind: decision.kind, violations: decision.violations };
    }
    const signatures = await signAndRecord(request, decision.approval);
    parts.log("spend signed", {
      intent: intent.id,
      purpose: intent.purpose,
      txid: facts.txid,
      sats: String(facts.externalSats),
      feeSats: String(facts.feeSats),
    });
    return release(psbt, facts, signatures);
  }

  /** The last look before anything leaves: a pause stops what was under way, too. */
  function release(psbt: Psbt, facts: SpendFacts, signatures: readonly Uint8Array[]): SignOutcome {
    if (!journal.paused()) return signed(psbt, facts, parts.policy, signatures);
    return { kind: "held", violations: [PAUSED] };
  }

  return {
    name,
    role: parts.policy.role,
    review: async (request) => {
      const { spend: facts, asking } = await caseOf(readRequest(request));
      const spend = { ...facts, history: journal.look(asking) };
      return { verdict: judgeCase(spend), spend };
    },
    sign: async (request) => {
      const start = performance.now();
      const asked = readRequest(request);
      const id = sha256(concat([fromHex(asked.intent.id), asked.bytes]));
      parts.stage?.("parse", performance.now() - start);
      return await once(requests, id, () => {
        const turn = turns.take(() => answer(id, asked));
        if (turn !== null) return turn;
        throw new CurveError("too many requests wait for their turn; ask again later");
      });
    },
  };
}

/**
 * Each request at work holds facts of some megabytes; each that waits, a PSBT of the largest size at
 * most.
 */
const TURNS = { atOnce: 16, waiting: 1_000 } as const;

async function timed<Value>(
  { stage }: Pick<GuardParts, "stage">,
  name: Stage,
  work: () => Promise<Value>,
): Promise<Value> {
  const start = performance.now();
  const value = await work();
  stage?.(name, performance.now() - start);
  return value;
}

/** Work under way for a key is shared by all who ask for it meanwhile. */
async function once<Value>(
  running: Map<string, Promise<Value>>,
  key: string,
  start: () => Promise<Value>,
): Promise<Value> {
  const known = running.get(key);
  if (known !== undefined) return await known;
  const started = (async () => await start())().finally(() => running.delete(key));
  running.set(key, started);
  return await started;
}

/** What the rule not-paused says, for a pause that came after the decision. */
const PAUSED: Violation = {
  rule: "not-paused",
  detail: "this signer was paused before the signature left",
  retry: "after the quorum resumes it",
};

/** An amendment came into force meanwhile: what was verified was for another law. */
class StaleLaw extends Error {
  override readonly name = "StaleLaw";
}

/** Private copies: what was judged is what is signed, whoever still holds the buffer. */
function readRequest({ intent, psbt, evidence }: SignRequest): Asked {
  const bytes = Uint8Array.from(psbt);
  return {
    intent: readIntent(intent),
    psbt: readPsbt(bytes),
    bytes,
    evidence: evidence === undefined ? null : readEvidence(evidence),
  };
}

/** A request, read. */
interface Asked {
  readonly intent: SpendIntent;
  readonly psbt: Psbt;
  readonly bytes: Uint8Array;
  readonly evidence: Evidence | null;
}

interface Judged {
  readonly facts: SpendFacts;
  readonly decision: Decision;
}

/** Null when the signer's node does not answer: a rule holds the spend then. */
async function chainView({ chain, log }: GuardParts, query: ChainQuery): Promise<ChainView | null> {
  try {
    return await chain.view(query);
  } catch (error) {
    if (!(error instanceof BitcoindError)) throw error;
    log("chain view missing", { code: error.code, detail: error.message });
    return null;
  }
}

/**
 * A person who says no on the device has signed nothing: the claim is freed, so that the coins are
 * (invariant 3). Unplugging, time-out and crash are no such word.
 */
async function signClaimed(parts: GuardParts, approval: Approval): Promise<readonly Uint8Array[]> {
  const { journal, log, name } = parts;
  // Another request for the same hashes may just have been rejected, and its claim with it.
  if (!journal.claimed(approval)) {
    throw new KeyError("unavailable", `${name}: this spend was just rejected; ask again`, {
      passing: true,
    });
  }
  try {
    return await signVerified(parts, approval);
  } catch (error) {
    if (error instanceof KeyError && error.code === "rejected") {
      const freed = journal.free(approval);
      log("spend rejected", { intent: approval.intent, txid: approval.txid, freed });
    }
    throw error;
  }
}

/** Signatures of the key, every one verified under the registered key and our own hash. */
async function signVerified(parts: GuardParts, approval: Approval): Promise<readonly Uint8Array[]> {
  const { key, curve, log, name } = parts;
  // Copies from before the key is asked: what a key does to the approval changes no check.
  const wanted = approval.inputs.map(({ input, sighash, xOnly }) => ({
    input,
    message: Uint8Array.from(sighash),
    xOnly: Uint8Array.from(xOnly),
  }));
  const made = await timed(parts, "token", () => key.sign(approval));
  const jobs = wanted.map(({ input, message, xOnly }) => {
    const signature = made.find((candidate) => candidate.input === input)?.signature;
    return { message, xOnly, signature: Uint8Array.from(signature ?? []) };
  });
  const good =
    made.length === jobs.length && (await timed(parts, "verify", () => curve.verify(jobs)));
  if (!good) {
    log("ALARM unverified signature", { key: key.name, txid: approval.txid });
    throw new KeyError("unverified", `${name}: the key returned a signature that does not verify`);
  }
  return jobs.map(({ signature }) => signature);
}

function signed(
  psbt: Psbt,
  facts: SpendFacts,
  policy: Policy,
  signatures: readonly Uint8Array[],
): SignOutcome {
  const inputs = psbt.inputs.map((map, i) => {
    const signing = facts.inputs[i]?.signing;
    const key = signing?.keys.find(({ role }) => role === policy.role);
    const signature = signatures[i];
    if (signing === undefined || signing === null || key === undefined || signature === undefined) {
      throw new Error(`BUG: no signature for input ${i}`);
    }
    const keyData = concat([key.xOnly, signing.leafHash]);
    return withFields(map, [field(IN.TAP_SCRIPT_SIG, signature, keyData)]);
  });
  // BIP370: what SIGHASH_DEFAULT has signed may not be modified any more.
  const global = psbt.global.map((entry) =>
    entry.type === GLOBAL.TX_MODIFIABLE ? field(GLOBAL.TX_MODIFIABLE, Uint8Array.of(0)) : entry,
  );
  return { kind: "signed", psbt: writePsbt({ ...psbt, global, inputs }), rules: [...ruleIds] };
}

function sha256(bytes: Uint8Array<ArrayBuffer>): string {
  return createHash("sha256").update(bytes).digest("hex");
}
