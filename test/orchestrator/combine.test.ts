import { Psbt as BitcoinjsPsbt } from "bitcoinjs-lib";
import fc from "fast-check";
import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { type BuildRequest, buildPsbt } from "../../orchestrator/spend/build.ts";
import { combine, finalise, UnfinishedError } from "../../orchestrator/spend/combine.ts";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { type Psbt, psbtOf, readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { fieldsOf, IN, type PsbtField } from "../../policies/bitcoin/psbt-fields.ts";
import { writeSignedTx } from "../../policies/bitcoin/transaction.ts";
import { compare, concat } from "../../policies/bitcoin/wire.ts";
import { spendFacts } from "../../policies/facts.ts";
import { sats } from "../../policies/money.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import { consensusObjection } from "../support/second-opinion.ts";
import { household, signWith } from "./holders.ts";

/** Words whose keys the interpreter can read, see support/second-opinion.ts. */
const home = household("combine 2");
const OUT = fromHex(`5120${"77".repeat(32)}`);

interface Shape {
  readonly inputs: number;
  readonly payments?: number;
  readonly change?: boolean;
}

function spendOf({ inputs, payments = 1, change = true }: Shape): BuildRequest {
  return {
    vault: home.vault,
    coins: Array.from({ length: inputs }, (_, i) => ({
      outpoint: `${(0xa0 - i).toString(16).padStart(2, "0").repeat(32)}:${i % 3}`,
      sats: sats(50_000n + BigInt(i)),
      branch: i % 2 === 0 ? RECEIVE : CHANGE,
      index: i,
    })),
    payments: Array.from({ length: payments }, (_, i) => ({
      script: OUT,
      sats: sats(10_000n + BigInt(i)),
    })),
    change: change ? { sats: sats(20_000n), branch: CHANGE, index: 30 } : null,
    locktime: 120,
  };
}

const built = (shape: Shape = { inputs: 2 }) => readPsbt(writePsbt(buildPsbt(spendOf(shape))));
const signed = (psbt: Psbt, ...who: ("user" | "lsp" | "trustee")[]) =>
  who.reduce((signing, role) => signWith(signing, home.vault, home[role]), psbt);

function spentBy(psbt: Psbt) {
  return spendFacts(psbt, [home.vault]).inputs.map(({ sats: amount, script }) => {
    if (amount === null || script === null) throw new Error("no utxo");
    return { sats: amount, script };
  });
}

describe("a built PSBT", () => {
  it("shows the law all it wants to know, and no lie", () => {
    const shapes = fc.record({
      inputs: fc.integer({ min: 1, max: 20 }),
      payments: fc.integer({ min: 1, max: 4 }),
      change: fc.boolean(),
    });
    fc.assert(
      fc.property(shapes, (shape) => {
        const facts = spendFacts(built(shape), [home.vault]);
        expect(facts.version).toBe(2);
        expect(facts.locktime).toBe(120);
        expect(facts.inputs).toHaveLength(shape.inputs);
        for (const input of facts.inputs) {
          expect(input.lies).toEqual([]);
          expect(input.burdens).toEqual([]);
          expect(input.coin?.vault).toBe(home.vault.vault.id);
          expect(input.sequence).toBe(0xfffffffd);
        }
        const own = facts.outputs.filter(({ coin }) => coin !== null);
        expect(own.map(({ coin }) => coin?.index)).toEqual(shape.change ? [30] : []);
        for (const output of facts.outputs) expect(output.lies).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  it("stands in BIP69's order, whatever the order of the request", () => {
    const request = spendOf({ inputs: 6, payments: 3 });
    const shuffled = {
      ...request,
      coins: [...request.coins].reverse(),
      payments: [...request.payments].reverse(),
    };
    expect(writePsbt(buildPsbt(shuffled))).toEqual(writePsbt(buildPsbt(request)));
    const { inputs, outputs } = buildPsbt(request).tx;
    const txids = inputs.map(({ txid }) => Uint8Array.from(txid).reverse());
    expect(txids).toEqual([...txids].sort(compare));
    const amounts = outputs.map(({ sats: amount }) => amount);
    expect(amounts).toEqual([...amounts].sort((a, b) => Number(a - b)));
  });
});

describe("combine", () => {
  const merge = (unsigned: Psbt, ...partials: Psbt[]) =>
    combine({ unsigned, partials, vaults: [home.vault] });

  it("merges the signatures of separate partial PSBTs, in any order", () => {
    const psbt = built();
    const [user, lsp] = [signed(psbt, "user"), signed(psbt, "lsp")];
    for (const partials of [[user, lsp], [lsp, user], [signed(user, "lsp")], [user, user, lsp]]) {
      const { signedBy, rejected } = merge(psbt, ...partials);
      expect([...signedBy].sort()).toEqual(["lsp", "user"]);
      expect(rejected).toEqual([]);
    }
  });

  /** Take a signed PSBT, bend one signature: it is listed, not merged, and the others count. */
  const bends: Readonly<Record<string, (field: PsbtField) => PsbtField>> = {
    "a flipped bit": (field) => ({ ...field, value: flipped(field.value, 40) }),
    "a flipped bit in R": (field) => ({ ...field, value: flipped(field.value, 3) }),
    zeros: (field) => ({ ...field, value: new Uint8Array(64) }),
    "a sighash byte that says DEFAULT": (field) => ({ ...field, value: bytes(field.value, 0) }),
    "a sighash byte that says ALL": (field) => ({ ...field, value: bytes(field.value, 1) }),
    "another leaf": (field) => ({ ...field, keyData: flipped(field.keyData, 50) }),
    "a stranger's key": (field) => ({
      ...field,
      keyData: concat([
        ecc.xOnlyPointFromScalar(new Uint8Array(32).fill(9)),
        field.keyData.slice(32),
      ]),
    }),
  };

  it.each(Object.entries(bends))("does not count %s", (_, bend) => {
    const psbt = built();
    const both = signed(psbt, "user", "lsp");
    const bent: Psbt = {
      ...both,
      inputs: both.inputs.map((map, i) =>
        i === 1
          ? map.map((f, n) => (isSignature(f) && n === firstSignature(map) ? bend(f) : f))
          : map,
      ),
    };
    const { psbt: merged, signedBy, rejected } = merge(psbt, bent);
    expect(rejected).toMatchObject([{ partial: 0, input: 1 }]);
    expect(signedBy).toEqual(["lsp"]);
    expect(fieldsOf(merged.inputs[1] ?? [], IN.TAP_SCRIPT_SIG)).toHaveLength(1);
    expect(() => finalise(merged, [home.vault])).toThrow(UnfinishedError);
    // With a good one from elsewhere it is whole.
    const mended = merge(psbt, bent, signed(psbt, "user"));
    expect([...mended.signedBy].sort()).toEqual(["lsp", "user"]);
  });

  it("leaves the signatures of others where they were, when one holder's are asked for", () => {
    const unsigned = built();
    const partials = [signed(unsigned, "user", "trustee")];
    const { psbt, ...combined } = combine({
      ...{ unsigned, partials, vaults: [home.vault] },
      only: "user",
    });
    expect(combined).toEqual({ signedBy: ["user"], rejected: [] });
    expect(writePsbt(psbt)).toEqual(
      writePsbt(
        combine({ unsigned, partials: [signed(unsigned, "user")], vaults: [home.vault] }).psbt,
      ),
    );
  });

  it("does not count a signature over another transaction", () => {
    const psbt = built();
    const other = signed(built({ inputs: 2, change: false }), "user");
    expect(merge(psbt, other).rejected).toEqual([
      { partial: 0, input: null, detail: "it is another transaction" },
    ]);
    // Nor one that was carried over to ours.
    const moved = { ...psbt, inputs: other.inputs };
    expect(merge(psbt, moved).signedBy).toEqual([]);
    expect(merge(psbt, moved).rejected).toHaveLength(2);
  });

  it("does not count a signature over another amount than was built", () => {
    const psbt = built();
    const lied = { ...psbt, inputs: built({ inputs: 2 }).inputs.map((map) => doubledAmount(map)) };
    const { signedBy, rejected } = merge(psbt, signed(lied, "user"));
    expect(signedBy).toEqual([]);
    expect(rejected).toHaveLength(2);
  });

  it("takes nothing but signatures from a partial PSBT", () => {
    const psbt = built();
    const noisy = signed(psbt, "user");
    const junk: PsbtField = { type: 0x7e, keyData: Uint8Array.of(1), value: Uint8Array.of(2) };
    const loaded = {
      ...noisy,
      global: [...noisy.global, junk],
      inputs: noisy.inputs.map((map) => [...map, junk]),
    };
    expect(writePsbt(merge(psbt, loaded).psbt)).toEqual(writePsbt(merge(psbt, noisy).psbt));
  });

  it("says who is missing where one input lacks a signature", () => {
    const psbt = built();
    const half = signed(psbt, "user");
    const partial = { ...half, inputs: [half.inputs[0] ?? [], psbt.inputs[1] ?? []] };
    expect(merge(psbt, partial).signedBy).toEqual([]);
  });
});

describe("finalise", () => {
  const pairs = [
    ["user", "lsp"],
    ["user", "trustee"],
    ["lsp", "trustee"],
  ] as const;

  /** Each pair on many inputs, so that the silent key stands first, second and third in the leaf. */
  it.each(pairs)("makes a witness that consensus accepts from %s and %s", (a, b) => {
    const psbt = signed(built({ inputs: 8 }), a, b);
    const { rawTx, used } = finalise(psbt, [home.vault]);
    expect(consensusObjection(rawTx, spentBy(psbt))).toBeNull();
    for (const two of used) expect([...two].sort()).toEqual([a, b].sort());
  });

  it("uses two signatures where there are three, and five elements", () => {
    const psbt = signed(built({ inputs: 4 }), "user", "lsp", "trustee");
    const { rawTx, used } = finalise(psbt, [home.vault]);
    expect(consensusObjection(rawTx, spentBy(psbt))).toBeNull();
    expect(used.map((roles) => roles.length)).toEqual([2, 2, 2, 2]);
    // The size is what the law computed before anybody signed.
    const facts = spendFacts(psbt, [home.vault]);
    const base = 4 * psbtBase(psbt);
    expect(Math.ceil((base + (rawTx.length - psbtBase(psbt))) / 4)).toBe(facts.vbytes);
  });

  it("refuses one signature, or two of one key", () => {
    const psbt = signed(built(), "user");
    expect(() => finalise(psbt, [home.vault])).toThrow("lacks 1 of 2");
  });

  /** Why we have a finaliser: bitcoinjs-lib leaves out the empty element, so the witness has 4. */
  it("is right where bitcoinjs-lib's own finaliser is wrong", () => {
    const psbt = signed(built({ inputs: 3 }), "user", "lsp");
    const theirs = BitcoinjsPsbt.fromBuffer(Buffer.from(writePsbt(psbt)));
    theirs.finalizeAllInputs();
    const tx = theirs.extractTransaction(true);
    expect(tx.ins.map(({ witness }) => witness.length)).toEqual([4, 4, 4]);
    expect(consensusObjection(tx.toBuffer(), spentBy(psbt))).not.toBeNull();
  });

  /** The interpreter must object to what is wrong, or its silence above means nothing. */
  it("is judged by an interpreter that tells right from wrong", () => {
    const psbt = signed(built({ inputs: 1 }), "user", "lsp");
    const { rawTx } = finalise(psbt, [home.vault]);
    const witness = readWitness(rawTx);
    const swapped = [witness[1], witness[0], ...witness.slice(2)].flatMap((item) => item ?? []);
    for (const wrong of [witness.slice(1), swapped, [new Uint8Array(0), ...witness]]) {
      expect(consensusObjection(writeSignedTx(psbt.tx, [wrong]), spentBy(psbt))).not.toBeNull();
    }
    expect(consensusObjection(writeSignedTx(psbt.tx, [witness]), spentBy(psbt))).toBeNull();
  });
});

function isSignature({ type }: PsbtField): boolean {
  return type === IN.TAP_SCRIPT_SIG;
}

/** The user's, who signed first. */
function firstSignature(map: readonly PsbtField[]): number {
  return map.findIndex(isSignature);
}

function flipped(value: Uint8Array, at: number): Uint8Array {
  return value.map((byte, i) => (i === at ? byte ^ 1 : byte));
}

function bytes(value: Uint8Array, last: number): Uint8Array {
  return concat([value, Uint8Array.of(last)]);
}

function doubledAmount(map: readonly PsbtField[]): readonly PsbtField[] {
  return map.map((field) =>
    field.type === IN.WITNESS_UTXO ? { ...field, value: flipped(field.value, 0) } : field,
  );
}

function psbtBase(psbt: Psbt): number {
  return psbtOf(psbt.tx).global[0]?.value.length ?? 0;
}

/** The stack of the only input: it ends four bytes before the end. */
function readWitness(rawTx: Uint8Array): Uint8Array[] {
  const items: Uint8Array[] = [];
  // 65 + 65 + 1 + 105 + 34 bytes and the count stand before the locktime.
  let at = rawTx.length - 4 - (65 + 65 + 1 + 105 + 34);
  while (at < rawTx.length - 4) {
    const length = rawTx[at] ?? 0;
    items.push(rawTx.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return items;
}
