/**
 * The pool's vectors of the seeds: each is run by the rule of its kind, chosen by its name; a case
 * without a rule fails, and so does a system of which nothing was run.
 */
import { expect, it } from "vitest";
import {
  type Account,
  accountBytes,
  accountId,
  accountIdText,
  accountSchema,
} from "../../orchestrator/operations/account.ts";
import { addDeposit, drain, noDeposits } from "../../orchestrator/pool/deposits.ts";
import { centsOfMsats, centsOfMsatsRoundtrip, msatsOfCents } from "../../orchestrator/pool/fiat.ts";
import {
  averageFeePpb,
  centsOfSatsNearest,
  depositBounds,
  FEE_CYCLES_SHOWN,
  fiatText,
  isWithin,
  satsText,
  withdrawalBounds,
} from "../../orchestrator/pool/form.ts";
import {
  collateralMissing,
  kept,
  neededForSeeks,
  protectedFall,
  seeksCovered,
} from "../../orchestrator/pool/formula.ts";
import { upperMedian } from "../../orchestrator/pool/votes.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { cents, price, satsOfCentsFloor } from "../../policies/money.ts";
import { ppmModule, run, type Vector } from "../support/pool-vectors.ts";
import { describeVectors } from "../support/vectors.ts";

const SYSTEMS = ["fedi_pool_v1", "fedi_pool_v2", "fedi_pool_2023", "fedi_ui"];

type Rule = (vector: Vector, all: readonly Vector[]) => void;

const big = (value: unknown) => BigInt(value as number);

function ratioOf({ input }: Vector) {
  return { provider: big(input["coll_p"]), seeker: big(input["coll_s"]) };
}

const rules: readonly (readonly [RegExp, Rule])[] = [
  [
    /^worked_example\.t60_settle$/,
    ({ input, expected }) => {
      const [seek, provide] = [big(input["locked_seeks"][0]), big(input["locked_provides"][0])];
      const [start, now] = [big(input["start_price_cents"]), big(input["new_price_cents"])];
      const needed = neededForSeeks(seek, { start, price: now });
      expect({
        msat_needed_for_seeks: Number(needed),
        seeks_pool: Number(needed),
        provides_pool: Number(seek + provide - needed),
      }).toEqual(expected);
    },
  ],
  [/^(worked_example|scenario|isolated|v2|BUG)\./, run],
  [
    /^R\./,
    (vector) => {
      const { input, expected } = vector;
      const there = {
        seeksMsats: big(input["seeks_sum"]),
        providesMsats: big(input["included_provides_sum"]),
      };
      const terms = kept(big(input["fee_rate_ppb"]), "gross");
      expect(collateralMissing(there, terms, ratioOf(vector))).toBe(big(expected));
    },
  ],
  [
    /^S\./,
    (vector) => {
      const { input, expected } = vector;
      const terms = kept(big(input["fee_rate_ppb"]), "gross");
      const provided = big(input["included_provides_sum"]);
      expect(seeksCovered(provided, terms, ratioOf(vector))).toBe(big(expected));
    },
  ],
  [/^drain_in_reverse\./, drainRule],
  [
    /^from_btc\.|^amount_to_cents\./,
    ({ input, expected }) => {
      expect(centsOfMsats(big(input["msats"]), big(input["price_cents"]))).toBe(big(expected));
    },
  ],
  [
    /^from_btc_roundtrip_safe\./,
    ({ input, expected }) => {
      const [msats, at] = [big(input["msats"]), big(input["price_cents"])];
      expect({
        floor: Number(centsOfMsats(msats, at)),
        roundtrip_safe: Number(centsOfMsatsRoundtrip(msats, at)),
      }).toEqual(expected);
    },
  ],
  [
    /^to_btc\./,
    ({ input, expected }) => {
      const at = big(input["price_cents"]);
      const msats = msatsOfCents(big(input["fiat_cents"]), at);
      expect({ msats: Number(msats), back: Number(centsOfMsatsRoundtrip(msats, at)) }).toEqual(
        expected,
      );
    },
  ],
  [
    /^median_vote\./,
    ({ input, expected }) => {
      expect(upperMedian(input["votes"].map(big))).toBe(big(expected));
    },
  ],
  [/^account_id\./, accountRule],
  [
    /^protection_threshold\./,
    ({ input, expected }) => {
      const ratio = { provider: big(input["provider"]), seeker: big(input["seeker"]) };
      expect(protectedFall(ratio)).toBeCloseTo(expected, 12);
    },
  ],
  [/^format_balances$/, balancesRule],
  [
    /^average_fee_rate_called_with_10_cycles$/,
    ({ expected }) => {
      expect(FEE_CYCLES_SHOWN).toBe(expected["num_cycles"]);
      const fees = Array.from({ length: 12 }, (_, i) => BigInt(i));
      expect(averageFeePpb(fees, FEE_CYCLES_SHOWN)).toBe(6n);
    },
  ],
  [/^spv[12]_min_max$/, withdrawRule],
  [/^deposit_min_max$/, depositRule],
];

function drainRule({ input, expected }: Vector): void {
  const deposits = noDeposits();
  for (const [sequence, msats] of input["items"]) {
    addDeposit(deposits, { owner: 0, sequence, feePpb: 0n, staged: big(msats), locked: 0n });
  }
  const drained = drain(deposits, { owner: 0, part: "staged", msats: big(input["drain"]) });
  const remaining = [...deposits.staged.slice(0, deposits.rows)]
    .map((msats, row) => [deposits.sequence[row], Number(msats)])
    .filter(([, msats]) => msats !== 0);
  expect({
    remaining,
    drained: drained.map(({ sequence, msats }) => [sequence, Number(msats)]),
  }).toEqual(expected);
}

const KINDS = { Seeker: "seeker", Provider: "provider", BtcDepositor: "btc-depositor" } as const;

function accountRule({ input, expected }: Vector): void {
  const kind = KINDS[input["acc_type"] as keyof typeof KINDS];
  const keys = [...input["pub_keys"]].sort();
  const account: Account = accountSchema.parse({ kind, keys, threshold: input["threshold"] });
  const id = accountIdText(accountId(account));
  if (typeof expected === "string") expect(id).toBe(expected);
  else expect({ preimage: hex(accountBytes(account)), account_id: id }).toEqual(expected);
}

function balancesRule({ input, expected }: Vector): void {
  const locked = big(input["locked_fiat_cents"]);
  const at = price(big(input["currCycleStartPrice_cents"]));
  expect({
    formattedStableBalance: fiatText(locked, "USD"),
    formattedStableBalancePending: fiatText(big(input["staged_fiat_cents"]), "USD"),
    formattedStableBalanceSats: satsText(satsOfCentsFloor(cents(locked), at)),
  }).toEqual(expected);
}

function validity(bounds: ReturnType<typeof depositBounds>, valid: Record<string, boolean>) {
  return Object.fromEntries(
    Object.keys(valid).map((sats) => [sats, isWithin(BigInt(sats), bounds)]),
  );
}

function withdrawRule({ case: name, input, expected }: Vector): void {
  const at = price(big(input["price_cents"]));
  const locked = cents(big(input["locked_fiat_cents"]));
  const bounds = withdrawalBounds(name === "spv1_min_max" ? "v1" : "v2", {
    cents: locked,
    price: at,
  });
  const centsFor = Object.keys(expected["cents_for"]).map((sats) => [
    sats,
    Number(centsOfSatsNearest(BigInt(sats), at)),
  ]);
  expect({
    minimum_sats: Number(bounds.leastSats),
    maximum_sats: Number(bounds.mostSats),
    valid: validity(bounds, expected["valid"]),
    cents_for: Object.fromEntries(centsFor),
    ...("maximumFiat" in expected ? { maximumFiat: fiatText(locked, "USD") } : {}),
  }).toEqual(expected);
}

/** The seed's mock federation has 2,000 sats. */
const MOCK_BALANCE_MSATS = 2_000_000n;

function depositRule({ input, expected }: Vector): void {
  const bounds = depositBounds({
    minSeekMsats: big(input["min_allowed_seek_msat"]),
    balanceMsats: MOCK_BALANCE_MSATS,
    liquidityMsats: big(input["available_liquidity_msat"]),
  });
  expect({
    minimum_sats: Number(bounds.leastSats),
    maximum_sats: Number(bounds.mostSats),
    valid: validity(bounds, expected["valid"]),
  }).toEqual(expected);
}

describeVectors("the stability pools of Fedi", "seeds.json", (text) => {
  const all: readonly Vector[] = JSON.parse(text);
  const ours = all.filter(({ system }) => SYSTEMS.includes(system));
  const covered = new Map<string, string[]>(SYSTEMS.map((system) => [system, []]));

  for (const vector of ours) {
    it(`${vector.system}: ${vector.case}`, () => {
      const rule =
        vector.system === "fedi_pool_2023" && !vector.case.startsWith("protection")
          ? ppmModule
          : rules.find(([pattern]) => pattern.test(vector.case))?.[1];
      expect(rule, "no rule for this case").toBeDefined();
      rule?.(vector, ours);
      covered.get(vector.system)?.push(vector.case);
    });
  }

  it("are all covered, each system with each of its cases", () => {
    for (const system of SYSTEMS) {
      const cases = ours.filter((vector) => vector.system === system).map((vector) => vector.case);
      expect(cases.length, system).toBeGreaterThan(0);
      expect(covered.get(system), system).toEqual(cases);
    }
  });
});
