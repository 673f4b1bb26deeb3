/** A stopwatch around the parts that a guard is given: where the time of one `sign` goes. */

import type { CurvePool } from "../../signer/curve.ts";
import type { Journal } from "../../signer/journal.ts";
import type { Chain } from "../../signer/node/chain.ts";

export const STAGES = ["facts", "chain", "decide", "claim", "sign", "verify", "record"] as const;
export type Stage = (typeof STAGES)[number];

/** Milliseconds by stage. */
export type StageTimes = Readonly<Record<Stage, number>>;

export interface Stopwatch {
  readonly curve: (curve: CurvePool) => CurvePool;
  readonly journal: (journal: Journal) => Journal;
  readonly chain: (chain: Chain) => Chain;
  /** The times since the last call. */
  readonly take: () => StageTimes;
}

export function stopwatch(): Stopwatch {
  let times = nothing();

  async function waited<Value>(stage: Stage, work: () => Promise<Value>): Promise<Value> {
    const start = performance.now();
    try {
      return await work();
    } finally {
      times[stage] += performance.now() - start;
    }
  }

  function done<Value>(stage: Stage, work: () => Value): Value {
    const start = performance.now();
    try {
      return work();
    } finally {
      times[stage] += performance.now() - start;
    }
  }

  return {
    curve: (curve) => ({
      facts: (psbt, vaults, signed) => waited("facts", () => curve.facts(psbt, vaults, signed)),
      evidence: (evidence, vaults, context) =>
        waited("facts", () => curve.evidence(evidence, vaults, context)),
      sign: (jobs) => waited("sign", () => curve.sign(jobs)),
      verify: (jobs) => waited("verify", () => curve.verify(jobs)),
      close: curve.close,
    }),
    journal: (journal) => ({
      ...journal,
      claimSoon: async (request, decide) => {
        const before = times.decide;
        const decision = await waited("claim", () =>
          journal.claimSoon(request, (history) => done("decide", () => decide(history))),
        );
        // The decision is taken inside the claim's transaction; each counts once.
        times.claim -= times.decide - before;
        return decision;
      },
      recordSoon: (answer) => waited("record", () => journal.recordSoon(answer)),
    }),
    chain: (chain) => ({
      view: (query) => waited("chain", () => chain.view(query)),
      close: chain.close,
    }),
    take: () => {
      const taken = times;
      times = nothing();
      return taken;
    },
  };
}

function nothing(): Record<Stage, number> {
  return { chain: 0, facts: 0, decide: 0, claim: 0, sign: 0, verify: 0, record: 0 };
}
