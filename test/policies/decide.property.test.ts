import fc from "fast-check";
import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { sha256 } from "../../policies/bitcoin/hash.ts";
import { PsbtFault } from "../../policies/bitcoin/psbt.ts";
import { concat, u8 } from "../../policies/bitcoin/wire.ts";
import { type Approval, decide, ruleIds } from "../../policies/decide.ts";
import { finishedVbytes } from "../../policies/facts.ts";
import { CHANGE, RECEIVE, type Role } from "../../policies/vault.ts";
import { consensusObjection, scureSighash } from "../support/second-opinion.ts";
import {
  type Bend,
  CHANGE_AT,
  type CoinPlan,
  finished,
  honest,
  PAYMENTS,
  recipient,
  type Spend,
  type SpendOptions,
  signatureOf,
  signTweaked,
} from "../support/spend.ts";
import { bends, policy } from "./bends.ts";

/** Any honest withdrawal: coins of both branches, several payees, with change or without. */
function anySpend(inputsMax: number): fc.Arbitrary<SpendOptions> {
  const script = fc.oneof(
    fc.nat({ max: 1_000 }).map(recipient),
    fc.nat({ max: 255 }).map((n) => concat([Uint8Array.of(0x00, 0x20), sha256(u8(n))])),
    fc.nat({ max: 254 }).map((n) => concat([Uint8Array.of(0x51, 0x20), keyNumber(n + 1)])),
  );
  const payment = fc.record({ script, sats: fc.bigInt({ min: 500_000n, max: 10_000_000n }) });
  const place = { branch: fc.constantFrom(RECEIVE, CHANGE), index: fc.nat({ max: 60 }) };
  return fc
    .record({
      coins: fc.uniqueArray(fc.record(place), {
        minLength: 1,
        maxLength: inputsMax,
        selector: ({ branch, index }) => `${branch}/${index}`,
      }),
      payments: fc.array(payment, { minLength: 1, maxLength: 4 }),
      change: fc.option(fc.bigInt({ min: 330n, max: 1_000_000_000n })),
      // No coin lies there, so change never returns to an address that is being spent from.
      changeAt: fc.constant({ branch: CHANGE, index: 0 } as const),
      psbtVersion: fc.constantFrom(0 as const, 2 as const),
      previous: fc.boolean(),
    })
    .map(({ coins, ...rest }) => ({
      ...rest,
      coins: coins.map(({ branch, index }) => ({
        branch,
        index: branch === CHANGE ? index + 1 : index,
      })),
    }));
}

describe("an honest spend", () => {
  it("is approved, and finished it is what consensus takes", () => {
    fc.assert(
      fc.property(anySpend(20), fc.constantFrom<Role>("lsp", "trustee"), (options, role) => {
        const spend = honest({ ...options, ...policy({ role }) });
        const approval = approvalOf(spend);
        const raw = finished(spend, (input) => signed(spend, approval, input));
        expect(consensusObjection(raw, spend.spent)).toBeNull();
        expect(Math.ceil(weightOf(raw, spend) / 4)).toBe(spend.facts.vbytes);
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  it("has the sighashes that @scure/btc-signer computes", () => {
    fc.assert(
      fc.property(anySpend(4), (options) => {
        const spend = honest(options);
        const { tx, spent, coins } = spend;
        for (const { input, sighash } of approvalOf(spend).inputs) {
          const leaf = coins[input]?.script.leaf ?? u8(0);
          expect(scureSighash({ tx, spent, input, leaf })).toEqual(sighash);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("is refused by consensus with anything of its witness changed", () => {
    const spend = honest({ coins: 2 });
    const approval = approvalOf(spend);
    const both = (input: number) => signed(spend, approval, input);
    expect(consensusObjection(finished(spend, both), spend.spent)).toBeNull();
    const swapped = (input: number) => both(1 - input);
    expect(consensusObjection(finished(spend, swapped), spend.spent)).not.toBeNull();
    const alone = (input: number) => new Map([...both(input)].slice(0, 1));
    expect(consensusObjection(finished(spend, alone), spend.spent)).not.toBeNull();
    const dearer = spend.spent.map((output) => ({ ...output, sats: output.sats + 1n }));
    expect(consensusObjection(finished(spend, both), dearer)).not.toBeNull();
  });
});

describe("a bent spend", () => {
  const every = ruleIds.flatMap((rule) => bends[rule].map((bend) => ({ rule, ...bend })));
  /** Those whose figures belong to no certain payment, fee or number of coins. */
  const general = every.filter(
    ({ beyond }) =>
      Object.keys(beyond).every((part) => part === "bend" || part === "signed") &&
      Object.keys(beyond.bend ?? {}).every((part) => GENERAL_PARTS.has(part)),
  );

  it("is never approved, whatever honest spend it was bent from", () => {
    fc.assert(
      fc.property(anySpend(4), fc.constantFrom(...general), (options, { rule, beyond, what }) => {
        const payments = (options.payments ?? PAYMENTS).slice(0, 1);
        const spend = { ...options, payments, change: options.change ?? 400n, changeAt: CHANGE_AT };
        const coins = [{ branch: RECEIVE, index: 70 } as const, ...coinsOffChange(options)];
        // An internal key beside a Taproot payment is the payee's own business, and no lie.
        fc.pre(rule !== "internal-key" || payments[0]?.script[0] !== 0x51);
        expect(verdict({ ...spend, coins })).toBe("approved");
        expect(verdict({ ...spend, coins, ...beyond }), `${rule}: ${what}`).not.toBe("approved");
      }),
      { numRuns: 400 },
    );
  });

  it("is never approved when two things are bent at once", () => {
    // General ones only: two figures may cancel each other out.
    const pick = fc.constantFrom(...general.filter(({ rule }) => !rule.startsWith("has-inputs")));
    fc.assert(
      fc.property(pick, pick, (one, other) => {
        const both = { ...one.beyond.bend, ...other.beyond.bend };
        const said = verdict({ ...one.beyond, ...other.beyond, bend: both });
        expect(said, `${one.what}; ${other.what}`).not.toBe("approved");
      }),
      { numRuns: 400 },
    );
  });

  it("is never approved when the user signed another transaction", () => {
    const change = fc.constantFrom("locktime", "payee", "amount", "sequence", "outpoint", "spent");
    fc.assert(
      fc.property(anySpend(3), change, (options, what) => {
        const before = honest(options);
        const after = honest({ ...options, signed: [], bend: otherThan(what, before) });
        expect(decide(after.case).kind, what).toBe("refused");
      }),
      { numRuns: 60 },
    );
  });
});

it("the size of a finished spend is known before it is finished", () => {
  // A real node says so of one coin paid to one P2TR output.
  expect(finishedVbytes(1, [{ script: concat([Uint8Array.of(0x51, 0x20), keyNumber(1)]) }])).toBe(
    163,
  );
});

const GENERAL_PARTS: ReadonlySet<string> = new Set(["tx", "maps", "spent", "chain", "vault"]);

/** The coins, without the one that lies where the change goes. */
function coinsOffChange({ coins }: SpendOptions): readonly CoinPlan[] {
  if (coins === undefined || typeof coins === "number") return [];
  return coins.filter(({ branch, index }) => branch !== CHANGE || index !== CHANGE_AT.index);
}

/** What becomes of a spend; some bends do not even pass the gate. */
function verdict(options: SpendOptions): string {
  try {
    return decide(honest(options).case).kind;
  } catch (error) {
    if (error instanceof PsbtFault) return error.code;
    throw error;
  }
}

/** The user's signatures of `before`, in a transaction that differs in one thing. */
function otherThan(what: string, before: Spend): Bend {
  const signatures = before.psbt.inputs.map((map) => map.filter(({ type }) => type === 0x14));
  const first = <T>(list: readonly T[], change: (item: T) => T) =>
    list.map((item, i) => (i === 0 ? change(item) : item));
  return {
    tx: (tx) => {
      switch (what) {
        case "locktime":
          return { ...tx, locktime: tx.locktime - 1 };
        case "payee":
          return { ...tx, outputs: first(tx.outputs, (o) => ({ ...o, script: recipient(5_000) })) };
        case "amount":
          return { ...tx, outputs: first(tx.outputs, (o) => ({ ...o, sats: o.sats - 1n })) };
        case "sequence":
          return { ...tx, inputs: first(tx.inputs, (i) => ({ ...i, sequence: 0xfffffffc })) };
        case "outpoint":
          return { ...tx, inputs: first(tx.inputs, (i) => ({ ...i, vout: 0 })) };
        default:
          return tx;
      }
    },
    spent: (spent) =>
      what === "spent" ? first(spent, (o) => ({ ...o, sats: o.sats + 1n })) : spent,
    intent: (content) => {
      if (what !== "payee" && what !== "amount") return content;
      const [paid, ...rest] = content.outputs;
      const script = what === "payee" ? recipient(5_000) : paid?.script;
      const sats = what === "amount" ? (paid?.sats ?? 0n) - 1n : paid?.sats;
      return { ...content, outputs: [{ script, sats }, ...rest] as typeof content.outputs };
    },
    maps: (maps) => ({
      ...maps,
      inputs: maps.inputs.map((map, i) => [
        ...map.filter(({ type }) => type !== 0x00),
        ...(signatures[i] ?? []),
      ]),
    }),
  };
}

function approvalOf(spend: Spend): Approval {
  const decision = decide(spend.case);
  if (decision.kind !== "approved") throw new Error(JSON.stringify(decision.violations));
  return decision.approval;
}

/** The user's signature and the one that the approval allows. */
function signed(spend: Spend, approval: Approval, input: number): ReadonlyMap<Role, Uint8Array> {
  const allowed = approval.inputs[input];
  const party = spend.vault.parties.get(approval.role);
  if (allowed === undefined || party === undefined) throw new Error(`no input ${input}`);
  expect(Buffer.from(party.account.publicKey ?? []).toString("hex")).toBe(allowed.account);
  return new Map([
    ["user", signatureOf(spend, input, "user")],
    [approval.role, signTweaked(party, allowed.tweak, allowed.sighash)],
  ]);
}

/** BIP141: the bytes without witness count four times. */
function weightOf(raw: Uint8Array, { psbt }: Spend): number {
  const { inputs, outputs } = psbt.tx;
  const scripts = outputs.reduce((sum, { script }) => sum + 9 + script.length, 0);
  const base = 8 + 1 + 1 + 41 * inputs.length + scripts;
  return base * 3 + raw.length;
}

function keyNumber(n: number): Uint8Array {
  const secret = new Uint8Array(32);
  secret[31] = n;
  const key = ecc.pointFromScalar(secret, true);
  if (key === null) throw new Error(`${n} is no secret`);
  return key.slice(1);
}
