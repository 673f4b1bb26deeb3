/**
 * A thousand requests at once through one guard, all of them honest alone and in each other's way:
 * for the same coins, and for what a window has left. Each spend is asked in both PSBT versions, which
 * are two requests for one transaction.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { IN } from "../../policies/bitcoin/psbt-fields.ts";
import { verifyAudit } from "../../signer/audit.ts";
import { openCurvePool } from "../../signer/curve.ts";
import type { SignOutcome } from "../../signer/signer.ts";
import { openRoom, type RoomOptions, requestOf, type SignerRoom } from "../support/signer-room.ts";
import {
  type CoinPlan,
  honest,
  POLICY,
  recipient,
  type Spend,
  type SpendOptions,
} from "../support/spend.ts";

const SPENDS = 500;
const REQUESTS = 2 * SPENDS;
const LONG_MS = 300_000;

const curve = openCurvePool(2);
let folder = "";
let room: SignerRoom | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-crowd-"));
});
afterEach(async () => {
  await room?.close();
  room = null;
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => curve.close());

/** The n-th withdrawal, to a payee of its own, in both encodings. */
function bothWays(n: number, options: SpendOptions): readonly Spend[] {
  const payments = [{ script: recipient(n), sats: 2_000_000n }];
  const bend = { intent: named(`withdrawal ${n}`) };
  return ([0, 2] as const).map((psbtVersion) =>
    honest({ ...options, payments, bend, psbtVersion }),
  );
}

function named(reference: string): NonNullable<NonNullable<SpendOptions["bend"]>["intent"]> {
  return (content) => ({ ...content, reference });
}

interface Asked {
  readonly at: SignerRoom;
  readonly answers: readonly { readonly spend: Spend; readonly outcome: SignOutcome }[];
}

/** Asks all at once; every request has exactly one answer, and no fault. */
async function askAtOnce(
  spends: readonly Spend[],
  options: Partial<RoomOptions> = {},
): Promise<Asked> {
  const at = await openRoom({ folder, curve, ...options });
  room = at;
  at.chain.show(...spends);
  const answers = await Promise.all(
    spends.map(async (spend) => ({ spend, outcome: await at.signer.sign(requestOf(spend)) })),
  );
  expect(answers).toHaveLength(REQUESTS);
  return { at, answers };
}

function signedIn({
  answers,
}: Asked): readonly { readonly spend: Spend; readonly psbt: Uint8Array }[] {
  return answers.flatMap(({ spend, outcome }) =>
    outcome.kind === "signed" ? [{ spend, psbt: outcome.psbt }] : [],
  );
}

/** The rules that spoke against the others. */
function objections({ answers }: Asked): readonly string[] {
  const rules = answers.flatMap(({ outcome }) =>
    outcome.kind === "signed" ? [] : outcome.violations.map(({ rule }) => rule),
  );
  return [...new Set(rules)];
}

/** One transaction has one set of signatures, in whatever encoding it was asked. */
function expectOneSignatureEach(asked: Asked): void {
  const made = new Map<string, Set<string>>();
  for (const { spend, psbt } of signedIn(asked)) {
    const signatures = readPsbt(psbt).inputs.map((map) =>
      map
        .filter(({ type }) => type === IN.TAP_SCRIPT_SIG)
        .map(({ keyData, value }) => `${hex(keyData)} ${hex(value)}`)
        .sort()
        .join(" "),
    );
    const known = made.get(spend.facts.txid) ?? new Set();
    made.set(spend.facts.txid, known.add(signatures.join("\n")));
  }
  expect([...made.values()].filter(({ size }) => size !== 1)).toEqual([]);
  expect(asked.at.key.signed()).toBe(made.size);
  expect(asked.at.journal.counts()).toMatchObject({ claims: made.size, decisions: REQUESTS });
  const log = verifyAudit(asked.at.journal.auditLog(), { key: null });
  expect(log).toMatchObject({ kind: "intact", records: REQUESTS });
}

/**
 * Five coins that every spend takes one of, and five that every other spend takes one of besides.
 * A coin of the first five that nobody got would have been refused to a spend of it alone.
 */
it(
  "gives each coin to one transaction when 500 intents want ten coins",
  async () => {
    const coin = (index: number): CoinPlan => ({ branch: 0, index, sats: 3_000_000n });
    const spends = Array.from({ length: SPENDS }, (_, n) => {
      const first = coin(n % 5);
      return n % 2 === 0
        ? bothWays(n, { coins: [first], change: 998_200n })
        : bothWays(n, { coins: [first, coin(5 + ((n % 7) % 5))], change: 3_997_600n });
    }).flat();
    const wanted = new Set(spends.flatMap(({ facts }) => facts.inputs.map((i) => i.outpoint)));
    expect(wanted.size).toBe(10);

    const asked = await askAtOnce(spends);
    const txids = new Map<string, Set<string>>();
    for (const { spend } of signedIn(asked)) {
      for (const { outpoint } of spend.facts.inputs) {
        const known = txids.get(outpoint) ?? new Set();
        txids.set(outpoint, known.add(spend.facts.txid));
      }
    }
    expect([...txids.values()].every(({ size }) => size === 1)).toBe(true);
    const firsts = new Set(spends.map(({ facts }) => facts.inputs[0]?.outpoint ?? ""));
    expect([...firsts].filter((outpoint) => !txids.has(outpoint))).toEqual([]);
    // Five transactions, each in both encodings.
    expect(signedIn(asked)).toHaveLength(10);
    expect(objections(asked)).toEqual(["coins-unclaimed"]);
    expectOneSignatureEach(asked);
  },
  LONG_MS,
);

it.each([
  ["to the sat", 100n * 2_001_800n, 100],
  ["with one sat too few for the last", 100n * 2_001_800n - 1n, 99],
] as const)(
  "fills a window %s when 500 intents want it",
  async (_, sats, fit) => {
    const { withdrawal } = POLICY.purposes;
    const windows = [{ hours: 24, sats: Number(sats) }];
    const policy = { ...POLICY, purposes: { withdrawal: { ...withdrawal, windows } } };
    const spends = Array.from({ length: SPENDS }, (__, n) =>
      bothWays(n, { coins: [{ branch: 0, index: n }] }),
    ).flat();
    const asked = await askAtOnce(spends, { policy });
    const left = new Map(
      signedIn(asked).map(({ spend: { facts } }) => [
        facts.txid,
        facts.externalSats + (facts.feeSats ?? 0n),
      ]),
    );
    const total = [...left.values()].reduce((sum, charge) => sum + charge, 0n);
    expect([left.size, total]).toEqual([fit, BigInt(fit) * 2_001_800n]);
    // Whoever got a place got it in both encodings.
    expect(signedIn(asked)).toHaveLength(2 * fit);
    expect(objections(asked)).toEqual(["window-limit"]);
    expectOneSignatureEach(asked);
  },
  LONG_MS,
);
