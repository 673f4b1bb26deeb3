/** The facts and charges that no rule's verdict shows, and that others build on. */
import { describe, expect, it } from "vitest";
import { field, IN } from "../../policies/bitcoin/psbt-fields.ts";
import { concat, sized, u64 } from "../../policies/bitcoin/wire.ts";
import { NO_EVIDENCE } from "../../policies/evidence.ts";
import { finishedVbytes, joinFacts, type SpendFacts, spendFacts } from "../../policies/facts.ts";
import { purposesOf } from "../../policies/purpose.ts";
import { rules } from "../../policies/rules.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import { chargesOf } from "../../policies/velocity.ts";
import {
  honest,
  OTHER_VAULT,
  onInput,
  recipient,
  type Spend,
  USER_VAULT,
} from "../support/spend.ts";
import { withdrawal } from "./bends.ts";

const scripts = [USER_VAULT.scripts];

describe("the hash that approvals are bound to", () => {
  const signed = honest({ coins: 2 });

  it("is the same whoever has signed", () => {
    for (const roles of [[], ["lsp"], ["user", "trustee"]] as const) {
      expect(honest({ coins: 2, signed: roles }).facts.spendHash).toBe(signed.facts.spendHash);
    }
    expect(signed.facts.spendHash).toMatch(/^[0-9a-f]{64}$/);
  });

  it("is another for another transaction, amount or script of a coin, and for a missing one", () => {
    const utxo = (sats: bigint, script: Uint8Array) =>
      field(IN.WITNESS_UTXO, concat([u64(sats), sized(script)]));
    const [first] = signed.spent;
    if (first === undefined) throw new Error("the honest spend spends nothing");
    const said = (maps: Spend["psbt"]) => spendFacts(maps, scripts).spendHash;
    const bent = (value: ReturnType<typeof utxo>) =>
      said({ ...signed.psbt, ...onInput(signed.psbt, 0, [value]) });
    const hashes = [
      signed.facts.spendHash,
      honest({ coins: 2, feeSats: 5_000n }).facts.spendHash,
      bent(utxo(first.sats + 1n, first.script)),
      bent(utxo(first.sats, recipient(1))),
      said({ ...signed.psbt, inputs: [[], ...signed.psbt.inputs.slice(1)] }),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(bent(utxo(first.sats, first.script))).toBe(signed.facts.spendHash);
  });
});

describe("facts of parts", () => {
  const { psbt, facts } = honest({ coins: 4 });
  const part = (first: number, end: number) => ({
    first,
    end,
    facts: spendFacts(psbt, scripts, { first, end }),
  });

  it("verify the signatures of their own inputs and of no other", () => {
    const valid = part(1, 3).facts.inputs.map(({ signatures }) => signatures[0]?.valid);
    expect(valid).toEqual([false, true, true, false]);
  });

  it("joined are the facts of the whole", () => {
    expect(joinFacts([part(0, 2), part(2, 4)])).toEqual(facts);
    expect(joinFacts([part(2, Number.POSITIVE_INFINITY), part(0, 2)])).toEqual(facts);
  });

  it("do not join when an input lies in none", () => {
    expect(() => joinFacts([])).toThrow(/no parts/);
    expect(() => joinFacts([part(0, 2), part(3, 4)])).toThrow(/no part holds input 2/);
  });
});

describe("what leaves", () => {
  const payments = [1, 2].map((n) => ({ script: recipient(n), sats: 1_000_000n }));

  it("is every output but the vault's own", () => {
    expect(honest({ payments }).facts.externalSats).toBe(2_000_000n);
    expect(honest({ payments, change: null }).facts.externalSats).toBe(2_000_000n);
  });

  it("is charged to purpose, vault and destinations, the fee to fees", () => {
    const { facts, intent } = honest({ payments, feeSats: 2_000n });
    const accounts = chargesOf(facts, intent).map(({ account, sats }) => [account, sats]);
    expect(accounts).toEqual([
      ["purpose withdrawal", 2_002_000n],
      [`vault ${USER_VAULT.vault.id} withdrawal`, 2_002_000n],
      ...facts.outputs
        .slice(0, 2)
        .map(({ script }) => [
          `destination ${Buffer.from(script).toString("hex")} withdrawal`,
          1_000_000n,
        ]),
      ["fees", 2_000n],
      [`drawn ${USER_VAULT.vault.id}`, 2_002_000n],
    ]);
  });

  it("charges no fee where there is none, and none below it", () => {
    const { facts, intent } = honest({ payments });
    for (const feeSats of [null, 0n, -1n]) {
      const charges = chargesOf({ ...facts, feeSats }, intent);
      const fee = charges.find(({ account }) => account === "fees");
      expect([charges[0]?.sats, fee?.sats]).toEqual([2_000_000n, 0n]);
    }
  });
});

describe("a migration", () => {
  const change = (vault: typeof USER_VAULT) => ({
    script: vault.scripts.at(CHANGE, 0).script,
    sats: 2_000_000n,
  });

  it("goes to another vault", () => {
    const spend = honest({ payments: [change(OTHER_VAULT)], change: null });
    const known = [USER_VAULT.scripts, OTHER_VAULT.scripts];
    expect(fits(spendFacts(spend.psbt, known))).toContain("migration");
  });

  it("does not go back to the same vault, or to nobody", () => {
    const { facts } = honest({ payments: [change(USER_VAULT)], change: null });
    expect(facts.outputs.map(({ coin }) => coin?.vault)).toEqual([USER_VAULT.vault.id]);
    expect(fits(facts)).not.toContain("migration");
    expect(fits({ ...facts, outputs: [] })).not.toContain("migration");
  });
});

it.each([
  [0xfc, 0],
  [0xfd, 2],
])("a finished spend of %i inputs counts them in the right size", (inputs, more) => {
  const { script } = USER_VAULT.scripts.at(RECEIVE, 0);
  const each = 41 * 4 + 1 + 2 * 65 + 1 + 105 + 34;
  const base = (8 + 1 + 1 + 8 + 1 + script.length + more) * 4;
  expect(finishedVbytes(inputs, [{ script }])).toBe(Math.ceil((base + 2 + inputs * each) / 4));
});

describe("a locktime", () => {
  const { case: spend } = honest();
  const objections = (locktime: number, locktimeDetermined = true, chain = spend.chain) =>
    rules["locktime-recent"].check({
      ...spend,
      facts: { ...spend.facts, locktime, locktimeDetermined },
      chain,
      history: { ...spend.history, height: chain === null ? 0 : spend.history.height },
    }).length;

  it("that the inputs do not agree on is refused, whatever is put in its place", () => {
    expect(objections(spend.facts.locktime)).toBe(0);
    expect(objections(spend.facts.locktime, false)).toBe(1);
  });

  it.each([
    [5_000_000, 0],
    [5_000_001, 1],
    [499_999_999, 1],
    [500_000_000, 1],
  ])("of %i without any height has %i objections", (locktime, expected) => {
    expect(objections(locktime, true, null)).toBe(expected);
  });
});

it("a destination that is listed twice may be paid by each of the two vaults", () => {
  const [output] = honest().facts.outputs;
  const address = output?.address ?? "";
  const listed = [OTHER_VAULT, USER_VAULT].map(({ vault }) => ({ address, vault: vault.id }));
  const { case: spend } = honest(withdrawal({ destinations: listed }));
  expect(rules["destination-allowed"].check(spend)).toEqual([]);
});

function fits(facts: SpendFacts): readonly string[] {
  return purposesOf({ facts, evidence: NO_EVIDENCE });
}
