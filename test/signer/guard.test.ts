/**
 * The guard under attack: whoever asks, whatever the key does, whenever the process dies. The
 * journal, the curve workers and the key are real; the coins lie on paper (see signer-room.ts).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { schnorr } from "@noble/curves/secp256k1.js";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { field, GLOBAL, IN, withFields } from "../../policies/bitcoin/psbt-fields.ts";
import { outpoint } from "../../policies/bitcoin/transaction.ts";
import { concat, u8, u32 } from "../../policies/bitcoin/wire.ts";
import type { Approval } from "../../policies/decide.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { CurveError, openCurvePool } from "../../signer/curve.ts";
import type { GuardParts } from "../../signer/guard.ts";
import { KeyError } from "../../signer/key-error.ts";
import type { InputSignature } from "../../signer/signer.ts";
import { bends } from "../policies/bends.ts";
import { askBent } from "../support/bent-room.ts";
import { consensusObjection } from "../support/second-opinion.ts";
import {
  faultOf,
  openRoom,
  type RoomOptions,
  requestOf,
  type SignerRoom,
  signedBytes,
} from "../support/signer-room.ts";
import {
  derivation,
  finished,
  HEIGHT,
  honest,
  NOW,
  onInput,
  POLICY,
  recipient,
  type Spend,
  type SpendOptions,
  signatureOf,
} from "../support/spend.ts";

const HOUR_MS = 3_600_000;
const curve = openCurvePool(2);
let folder = "";
const open: SignerRoom[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-guard-"));
});
afterEach(async () => {
  for (const room of open.splice(0)) await room.close();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => curve.close());

async function room(options: Partial<RoomOptions> = {}): Promise<SignerRoom> {
  const opened = await openRoom({ folder, curve, ...options });
  open.push(opened);
  return opened;
}

/** The process dies and starts again: the same folder, the same chain, the same clock. */
async function restarted(old: SignerRoom, options: Partial<RoomOptions> = {}) {
  await old.close();
  open.splice(open.indexOf(old), 1);
  return room({ chain: old.chain, clock: old.clock, ...options });
}

/** The n-th withdrawal: a coin, a recipient and a reference of its own. */
function withdrawal(n: number, sats = 2_000_000n, options: SpendOptions = {}): Spend {
  return honest({
    coins: [{ branch: RECEIVE, index: n }],
    payments: [{ script: recipient(n), sats }],
    ...options,
    bend: {
      intent: (content) => ({ ...content, reference: `withdrawal ${n}` }),
      ...options.bend,
    },
  });
}

/** What the journal holds, as the attacker would like to change it. */
function traces({ journal }: SignerRoom) {
  const count = (table: string) =>
    Number(
      journal.database.prepare<[], { n: bigint }>(`SELECT count(*) AS n FROM ${table}`).get()?.n,
    );
  return {
    claims: count("claims"),
    outpoints: count("outpoints"),
    signatures: count("signatures"),
    answers: count("answers"),
  };
}

const NO_TRACES = { claims: 0, outpoints: 0, signatures: 0, answers: 0 };

/** The LSP's signature of an input of a signed PSBT. */
function lspSignature(bytes: Uint8Array, spend: Spend, input = 0): Uint8Array {
  const { script } = spend.coins[input] ?? {};
  const key = script?.keys.find(({ role }) => role === "lsp");
  if (script === undefined || key === undefined) throw new Error("no such input");
  const slot = hex(concat([key.xOnly, script.leafHash]));
  const found = readPsbt(bytes).inputs[input]?.find(
    ({ type, keyData }) => type === IN.TAP_SCRIPT_SIG && hex(keyData) === slot,
  );
  if (found === undefined) throw new Error("the LSP has not signed");
  return found.value;
}

function expectSigned(bytes: Uint8Array, spend: Spend): void {
  const made = spend.coins.map((_, input) => lspSignature(bytes, spend, input));
  const raw = finished(
    spend,
    (input) =>
      new Map([
        ["user", signatureOf(spend, input, "user")],
        ["lsp", made[input] ?? new Uint8Array(0)],
      ]),
  );
  expect(consensusObjection(raw, spend.spent)).toBeNull();
}

/** A key that is bent: `how` gets the approval and the honest key's way of answering it. */
function withKey(
  how: (
    approval: Approval,
    honestly: () => Promise<readonly InputSignature[]>,
  ) => Promise<readonly InputSignature[]>,
) {
  return (parts: GuardParts): GuardParts => ({
    ...parts,
    key: { ...parts.key, sign: (approval) => how(approval, () => parts.key.sign(approval)) },
  });
}

describe("an honest request", () => {
  it.each([
    ["v0", withdrawal(1)],
    ["v2", withdrawal(2, 2_000_000n, { psbtVersion: 2 })],
    ["of 30 inputs", honest({ coins: 30 })],
  ])("%s is signed so that consensus accepts it", async (_, spend) => {
    const at = await room();
    at.chain.show(spend);
    const bytes = signedBytes(await at.signer.sign(requestOf(spend)));
    expectSigned(bytes, spend);
    expect(at.key.signed()).toBe(1);
    expect(traces(at)).toMatchObject({ claims: 1, outpoints: spend.coins.length, answers: 1 });
    expect(at.journal.counts().decisions).toBe(1);
  });

  it("gets the same bytes again, without the key, also after a restart", async () => {
    const spend = withdrawal(1);
    const first = await room();
    first.chain.show(spend);
    const bytes = signedBytes(await first.signer.sign(requestOf(spend)));
    expect(signedBytes(await first.signer.sign(requestOf(spend)))).toEqual(bytes);
    const second = await restarted(first);
    expect(signedBytes(await second.signer.sign(requestOf(spend)))).toEqual(bytes);
    expect([first.key.signed(), second.key.signed()]).toEqual([1, 0]);
  });

  it("gets its answer again although the coin is spent on the chain meanwhile", async () => {
    const spend = withdrawal(1);
    const at = await room();
    at.chain.show(spend);
    const bytes = signedBytes(await at.signer.sign(requestOf(spend)));
    for (const input of spend.tx.inputs) at.chain.set(outpoint(input), { kind: "missing" });
    expect(signedBytes(await at.signer.sign(requestOf(spend)))).toEqual(bytes);
  });

  it("is signed once when it comes 50 times at once", async () => {
    const spend = withdrawal(1);
    const at = await room();
    at.chain.show(spend);
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, () => at.signer.sign(requestOf(spend))),
    );
    const answers = new Set(outcomes.map((outcome) => hex(signedBytes(outcome))));
    expect(answers.size).toBe(1);
    expect(at.key.signed()).toBe(1);
    expect(at.journal.counts()).toEqual({ claims: 1, answers: 1, decisions: 1 });
  });

  /** BIP370, Signer: after a signature that is not ANYONECANPAY nothing may be added any more. */
  it("leaves no input or output of a v2 modifiable (BIP370)", async () => {
    const spend = withdrawal(1, 2_000_000n, {
      psbtVersion: 2,
      bend: {
        maps: (maps) => ({
          ...maps,
          global: withFields(maps.global, [field(GLOBAL.TX_MODIFIABLE, u8(3))]),
        }),
      },
    });
    const at = await room();
    at.chain.show(spend);
    const bytes = signedBytes(await at.signer.sign(requestOf(spend)));
    const flags = readPsbt(bytes).global.find(({ type }) => type === GLOBAL.TX_MODIFIABLE);
    expect((flags?.value[0] ?? 0) & 3).toBe(0);
  });
});

/**
 * Every bend of every rule (test/policies/bends.ts), this time through the whole guard: refused or
 * held, and nothing at all has happened but one line in the decision log.
 */
describe("a refusal", () => {
  for (const [rule, table] of Object.entries(bends)) {
    for (const { what, beyond, held } of table) {
      it(`asks no key and claims nothing: ${rule}: ${what}`, async () => {
        const spend = honest(beyond);
        const { room: at, outcome } = await askBent({ folder, curve, spend });
        open.push(at);
        expect(outcome.kind).toBe(held === true ? "held" : "refused");
        if (outcome.kind !== "signed") {
          expect(outcome.violations.map((violation) => violation.rule)).toContain(
            // The guard reads facts with the one vault that the intent names, so another is foreign.
            what === "another registered vault" ? "outputs-as-intended" : rule,
          );
        }
        expect(at.key.signed()).toBe(0);
        expect(traces(at)).toEqual(NO_TRACES);
        expect(at.journal.counts().decisions).toBe(1);
      });
    }
  }

  it("lists every violation, and leaves the windows as they were", async () => {
    const at = await room();
    const bad = withdrawal(1, 49_000_000n, { signed: [], psbtVersion: 2 });
    const good = [withdrawal(2, 49_000_000n), withdrawal(3, 49_000_000n)];
    at.chain.show(...good);
    const outcome = await at.signer.sign(requestOf(bad));
    expect(outcome.kind === "signed" ? [] : outcome.violations.map(({ rule }) => rule)).toEqual([
      "coins-confirmed",
      "user-signs-first",
    ]);
    // Both together fill the window to the brim: a charge for the refused one would show.
    for (const spend of good) signedBytes(await at.signer.sign(requestOf(spend)));
  });

  it("is not remembered: the same request is judged anew", async () => {
    const spend = withdrawal(1);
    const at = await room();
    expect((await at.signer.sign(requestOf(spend))).kind).toBe("held");
    at.chain.show(spend);
    expect((await at.signer.sign(requestOf(spend))).kind).toBe("signed");
  });

  it("comes of a PSBT that lies about the amounts, which the node knows better", async () => {
    const truth = withdrawal(1);
    const lie = withdrawal(1, 2_000_000n, {
      bend: {
        intent: (content) => ({ ...content, reference: "withdrawal 1" }),
        spent: (spent) => spent.map((output) => ({ ...output, sats: output.sats - 1_000n })),
      },
    });
    expect(outpoint(lie.tx.inputs[0] ?? never())).toBe(outpoint(truth.tx.inputs[0] ?? never()));
    const at = await room();
    at.chain.show(truth);
    const outcome = await at.signer.sign(requestOf(lie));
    expect(outcome).toMatchObject({
      kind: "refused",
      violations: [{ rule: "coins-as-declared" }],
    });
    expect(traces(at)).toEqual(NO_TRACES);
  });

  it("is temporary while the signer's node is gone, and says so in the log", async () => {
    const spend = withdrawal(1);
    const at = await room();
    at.chain.show(spend);
    at.chain.gone = true;
    const outcome = await at.signer.sign(requestOf(spend));
    expect(outcome).toMatchObject({ kind: "held", violations: [{ rule: "chain-view-present" }] });
    expect(at.log.map(({ event }) => event)).toContain("chain view missing");
    expect([at.key.signed(), traces(at)]).toEqual([0, NO_TRACES]);
    at.chain.gone = false;
    expect((await at.signer.sign(requestOf(spend))).kind).toBe("signed");
  });

  /** A final no would let the orchestrator free coins that a released signature still spends. */
  it("gives no final answer while paused, and the very same bytes afterwards", async () => {
    const spend = withdrawal(1);
    const at = await room();
    at.chain.show(spend);
    const first = signedBytes(await at.signer.sign(requestOf(spend)));
    at.journal.pause();
    at.chain.height = HEIGHT + 200;
    expect((await at.signer.sign(requestOf(spend))).kind).toBe("held");
    const other = withdrawal(2, 2_000_000n, { signed: [] });
    expect((await at.signer.sign(requestOf(other))).kind).toBe("held");
    // Resuming takes a quorum, which this version does not have: the test does what it would.
    at.journal.database.prepare("UPDATE state SET paused = 0").run();
    expect(signedBytes(await at.signer.sign(requestOf(spend)))).toEqual(first);
  });

  it("meets a released answer too while the signer is paused, also after a restart", async () => {
    const spend = withdrawal(1);
    const at = await room();
    at.chain.show(spend);
    signedBytes(await at.signer.sign(requestOf(spend)));
    at.journal.pause();
    expect((await at.signer.sign(requestOf(spend))).kind).toBe("held");
    const again = await restarted(at);
    expect((await again.signer.sign(requestOf(spend))).kind).toBe("held");
    expect((await again.signer.sign(requestOf(withdrawal(2)))).kind).not.toBe("signed");
  });

  /** The list of rules in an answer is the law's own list. A caller in the same process has it. */
  it("never empties the law that made it", async () => {
    const spend = withdrawal(1);
    const at = await room();
    at.chain.show(spend);
    const outcome = await at.signer.sign(requestOf(spend));
    if (outcome.kind !== "signed") throw new Error(outcome.kind);
    const rules = outcome.rules as string[];
    const before = [...rules];
    try {
      rules.length = 0;
    } catch {
      // A frozen list throws, which is as good.
    }
    const next = await at.signer.sign(requestOf(withdrawal(2, 2_000_000n, { signed: [] })));
    rules.splice(0, rules.length, ...before);
    expect(next.kind).not.toBe("signed");
  });
});

describe("a hostile PSBT that passes the gate", () => {
  /** r and s above the group order: no signature, and tiny-secp256k1 throws instead of saying no. */
  it("with a user's signature out of range is refused by name", async () => {
    const spend = withdrawal(1);
    const script = spend.coins[0]?.script ?? never();
    const user = script.keys.find(({ role }) => role === "user") ?? never();
    const slot = concat([user.xOnly, script.leafHash]);
    const absurd = field(IN.TAP_SCRIPT_SIG, new Uint8Array(64).fill(0xff), slot);
    const bytes = writePsbt(onInput(spend.psbt, 0, [absurd]));
    const at = await room();
    at.chain.show(spend);
    expect(await at.signer.sign(requestOf({ ...spend, bytes }))).toMatchObject({
      kind: "refused",
      violations: [{ rule: "signatures-valid" }, { rule: "user-signs-first" }],
    });
  });
});

describe("a refusal of a hostile PSBT", () => {
  /** Every refusal stays in the journal for good, and the whole of it goes to log and asker. */
  it("is kept in a few kilobytes, however much is wrong", async () => {
    const spend = withdrawal(1);
    const said = { leafHashes: [], fingerprint: "00000000", path: [] };
    const lies = Array.from({ length: 50 }, (_, n) =>
      derivation(IN.TAP_BIP32_DERIVATION, sha256(u32(n)), said),
    );
    const bytes = writePsbt(onInput(spend.psbt, 0, lies));
    const at = await room();
    at.chain.show(spend);
    const outcome = await at.signer.sign(requestOf({ ...spend, bytes }));
    expect(outcome.kind).toBe("refused");
    const row = at.journal.database
      .prepare<[], { record: string }>("SELECT record FROM decisions")
      .get();
    expect(row?.record.length).toBeLessThan(16 * 1024);
    expect(JSON.stringify(at.log).length).toBeLessThan(16 * 1024);
  });
});

describe("the claim", () => {
  it("is on the disk before the key is asked", async () => {
    const spend = withdrawal(1);
    const seen: unknown[] = [];
    const at = await room({
      bend: withKey((_, honestly) => {
        seen.push(traces(at));
        return honestly();
      }),
    });
    at.chain.show(spend);
    signedBytes(await at.signer.sign(requestOf(spend)));
    expect(seen).toEqual([{ claims: 1, outpoints: 1, signatures: 0, answers: 0 }]);
  });

  it("stands when the key fails: a retry signs the same, another spend of the coin does not", async () => {
    let broken = true;
    const hashes: string[] = [];
    const at = await room({
      bend: withKey((approval, honestly) => {
        hashes.push(hex(approval.inputs[0]?.sighash ?? never()));
        if (broken) throw new KeyError("unavailable", "unplugged", { passing: true });
        return honestly();
      }),
    });
    const [spend, rival] = rivals(2);
    if (spend === undefined || rival === undefined) never();
    at.chain.show(spend);
    const fault = await faultOf(at.signer.sign(requestOf(spend)));
    expect(fault).toMatchObject({ name: "KeyError", code: "unavailable", passing: true });
    expect(traces(at)).toEqual({ claims: 1, outpoints: 1, signatures: 0, answers: 0 });
    broken = false;
    expect(await at.signer.sign(requestOf(rival))).toMatchObject({
      kind: "refused",
      violations: [{ rule: "coins-unclaimed" }],
    });
    expectSigned(signedBytes(await at.signer.sign(requestOf(spend))), spend);
    expect(new Set(hashes).size).toBe(1);
    expect(hashes).toHaveLength(2);
    expect(traces(at)).toMatchObject({ claims: 1, outpoints: 1, answers: 1 });
  });

  it("goes to exactly one of 200 requests that want the same coin at once", async () => {
    const spends = rivals(200);
    const at = await room();
    for (const spend of spends) at.chain.show(spend);
    const outcomes = await Promise.all(spends.map((spend) => at.signer.sign(requestOf(spend))));
    const winners = outcomes.filter(({ kind }) => kind === "signed");
    expect(winners).toHaveLength(1);
    expect(at.key.signed()).toBe(1);
    expect(traces(at)).toEqual({ claims: 1, outpoints: 1, signatures: 1, answers: 1 });
    expect(at.journal.counts().decisions).toBe(200);
  });

  it("is all coins or none: a partial overlap claims nothing of the rest", async () => {
    const at = await room();
    const first = withdrawal(1);
    const coins = [1, 2, 3].map((index) => ({ branch: RECEIVE, index, sats: 900_000n }) as const);
    const overlap = honest({
      coins: coins.slice(0, 2),
      payments: pay(1_000_000n),
      change: 798_000n,
    });
    const later = honest({ coins: coins.slice(1), payments: pay(1_000_001n), change: 798_000n });
    at.chain.show(first, overlap, later);
    const one = honest({ coins: coins.slice(0, 1), payments: pay(500_000n), change: 398_000n });
    at.chain.show(one);
    signedBytes(await at.signer.sign(requestOf(one)));
    expect((await at.signer.sign(requestOf(overlap))).kind).toBe("refused");
    expect(traces(at)).toMatchObject({ claims: 1, outpoints: 1 });
  });

  it("keeps the window under concurrency, to the sat", async () => {
    const at = await room();
    const spends = Array.from({ length: 24 }, (_, n) => withdrawal(n, 9_000_000n));
    at.chain.show(...spends);
    const outcomes = await Promise.all(spends.map((spend) => at.signer.sign(requestOf(spend))));
    const left = spends
      .filter((_, i) => outcomes[i]?.kind === "signed")
      .reduce((sum, { facts }) => sum + facts.externalSats + (facts.feeSats ?? 0n), 0n);
    const limit = BigInt(POLICY.purposes.withdrawal.windows[0]?.sats ?? 0);
    expect(left).toBeLessThanOrEqual(limit);
    expect(left + 9_001_800n).toBeGreaterThan(limit);
    const held = outcomes.filter(({ kind }) => kind === "held");
    expect(held).toHaveLength(spends.length - 11);
  });
});

describe("a window", () => {
  async function full() {
    const at = await room();
    const spends = [withdrawal(1, 49_000_000n), withdrawal(2, 49_000_000n)];
    const third = withdrawal(3, 49_000_000n);
    at.chain.show(...spends, third);
    for (const spend of spends) signedBytes(await at.signer.sign(requestOf(spend)));
    const ask = async () => (await at.signer.sign(requestOf(third))).kind;
    expect(await ask()).toBe("held");
    return { at, ask, third };
  }

  it.each([
    ["back a second", -1_000, 0],
    ["back two hours", -2 * HOUR_MS, 0],
    ["back to 1970", -NOW, 0],
    ["ahead, a millisecond short of the window", 24 * HOUR_MS - 1, 144],
    ["ahead ten years while no block came", 10 * 365 * 24 * HOUR_MS, 0],
    ["ahead ten years, and a block short of the window", 10 * 365 * 24 * HOUR_MS, 143],
    ["nowhere, while a day of blocks came", 0, 144],
  ])("does not reopen when the clock goes %s", async (_, step, blocks) => {
    const { at, ask } = await full();
    at.clock.now = NOW + step;
    at.chain.height = HEIGHT + blocks;
    expect(await ask()).toBe("held");
    at.clock.now = NOW;
    at.chain.height = HEIGHT;
    expect(await ask()).toBe("held");
  });

  it("reopens when a day and 144 blocks have gone by", async () => {
    const { at, ask } = await full();
    at.clock.now = NOW + 24 * HOUR_MS;
    at.chain.medianTime = at.clock.now / 1000 - 3_600;
    at.chain.height = HEIGHT + 144;
    expect(await ask()).toBe("signed");
  });

  it("stays shut for a wall clock that runs ahead of the chain", async () => {
    const { at, ask } = await full();
    at.clock.now = NOW + 24 * HOUR_MS;
    at.chain.height = HEIGHT + 144;
    expect(await ask()).toBe("held");
  });

  it("slides by the chain's median time where the machine's clock is stuck", async () => {
    const { at, ask } = await full();
    at.chain.medianTime = (NOW + 24 * HOUR_MS) / 1000;
    at.chain.height = HEIGHT + 144;
    expect(await ask()).toBe("signed");
  });

  it("counts a claim whose key failed, across a restart", async () => {
    let at = await room({
      bend: withKey(() => Promise.reject(new KeyError("unavailable", "unplugged"))),
    });
    const spends = [withdrawal(1, 49_000_000n), withdrawal(2, 49_000_000n)];
    const third = withdrawal(3, 49_000_000n);
    at.chain.show(...spends, third);
    for (const spend of spends) await faultOf(at.signer.sign(requestOf(spend)));
    at = await restarted(at);
    expect(await at.signer.sign(requestOf(third))).toMatchObject({
      kind: "held",
      violations: [{ rule: "window-limit" }],
    });
  });

  /**
   * Invariant 4. A claim is charged when it is made and may be signed long after (the key was
   * unplugged): the signature then leaves in a window that does not count it, so that a day of
   * claims can leave at once.
   */
  it("counts a late signature when it leaves", async () => {
    let unplugged = true;
    const hourly = {
      ...POLICY,
      purposes: {
        withdrawal: {
          ...POLICY.purposes.withdrawal,
          windows: [{ hours: 1, sats: 10_000_000 }],
        },
      },
    };
    const at = await room({
      policy: hourly,
      bend: withKey((_, honestly) => {
        if (unplugged) throw new KeyError("unavailable", "unplugged", { passing: true });
        return honestly();
      }),
    });
    const spends = Array.from({ length: 5 }, (_, n) => withdrawal(n, 9_000_000n));
    at.chain.show(...spends);
    for (const [hours, spend] of spends.entries()) {
      at.clock.now = NOW + hours * HOUR_MS;
      at.chain.medianTime = at.clock.now / 1000;
      at.chain.height = HEIGHT + hours * 6;
      await faultOf(at.signer.sign(requestOf(spend)));
    }
    unplugged = false;
    at.clock.now = NOW + spends.length * HOUR_MS;
    at.chain.medianTime = at.clock.now / 1000;
    at.chain.height = HEIGHT + spends.length * 6;
    const outcomes = await Promise.all(spends.map((spend) => at.signer.sign(requestOf(spend))));
    const signed = outcomes.filter(({ kind }) => kind === "signed").length;
    expect(signed).toBe(1);
  });

  /** A machine that starts once with a wrong battery clock must not be closed for ten years. */
  it("reopens after a clock that was wrong once", async () => {
    const at = await room();
    const spends = [withdrawal(1, 49_000_000n), withdrawal(2, 49_000_000n)];
    const third = withdrawal(3, 49_000_000n);
    at.chain.show(...spends, third);
    at.clock.now = NOW + 10 * 365 * 24 * HOUR_MS;
    await at.signer.sign(requestOf(withdrawal(9, 2_000_000n, { signed: [] })));
    at.clock.now = NOW;
    for (const spend of spends) signedBytes(await at.signer.sign(requestOf(spend)));
    at.clock.now = NOW + 48 * HOUR_MS;
    at.chain.medianTime = at.clock.now / 1000;
    at.chain.height = HEIGHT + 144;
    expect((await at.signer.sign(requestOf(third))).kind).toBe("signed");
  });
});

describe("a key that lies", () => {
  const flip = (bytes: Uint8Array) => {
    const copy = Uint8Array.from(bytes);
    copy[63] = (copy[63] ?? 0) ^ 1;
    return copy;
  };
  const lies: readonly [string, (good: readonly InputSignature[]) => readonly InputSignature[]][] =
    [
      ["wrong", (good) => good.map((one) => ({ ...one, signature: flip(one.signature) }))],
      ["one wrong of two", ([a, b]) => some(a, b && { ...b, signature: flip(b.signature) })],
      ["short", (good) => good.map((one) => ({ ...one, signature: one.signature.slice(0, 63) }))],
      [
        "long",
        (good) => good.map((one) => ({ ...one, signature: concat([one.signature, u8(1)]) })),
      ],
      ["empty", (good) => good.map((one) => ({ ...one, signature: new Uint8Array(0) }))],
      ["zero", (good) => good.map((one) => ({ ...one, signature: new Uint8Array(64) }))],
      [
        "swapped",
        ([a, b]) =>
          some(
            a && b && { ...a, signature: b.signature },
            b && a && { ...b, signature: a.signature },
          ),
      ],
      ["missing", ([a]) => some(a)],
      ["twice for one input", ([a]) => some(a, a)],
      ["for an input that is not there", ([a, b]) => some(a, b && { ...b, input: 7 })],
      ["one too many", ([a, b]) => some(a, b, a)],
      ["none", () => []],
    ];

  it.each(lies)("%s: nothing leaves, and a good key signs the same hash later", async (_, lie) => {
    let lying = true;
    const hashes: string[] = [];
    const at = await room({
      bend: withKey(async (approval, honestly) => {
        hashes.push(approval.inputs.map(({ sighash }) => hex(sighash)).join());
        const good = await honestly();
        return lying ? lie(good) : good;
      }),
    });
    const spend = honest({ coins: 2 });
    at.chain.show(spend);
    expect(await faultOf(at.signer.sign(requestOf(spend)))).toMatchObject({
      name: "KeyError",
      code: "unverified",
    });
    expect(traces(at)).toEqual({ claims: 1, outpoints: 2, signatures: 0, answers: 0 });
    expect(at.log.map(({ event }) => event)).toContain("ALARM unverified signature");
    lying = false;
    expectSigned(signedBytes(await at.signer.sign(requestOf(spend))), spend);
    expect(hashes).toHaveLength(2);
    expect(new Set(hashes).size).toBe(1);
  });

  /** tiny-secp256k1 throws where r or s is above the group order; that is no worker's fault. */
  it("out of range: unverified, with an alarm", async () => {
    const at = await room({
      bend: withKey(async (_, honestly) =>
        (await honestly()).map((one) => ({ ...one, signature: new Uint8Array(64).fill(0xff) })),
      ),
    });
    const spend = withdrawal(1);
    at.chain.show(spend);
    expect(await faultOf(at.signer.sign(requestOf(spend)))).toMatchObject({ code: "unverified" });
    expect(at.log.map(({ event }) => event)).toContain("ALARM unverified signature");
  });

  /** A driver that wipes or reuses its buffer after handing it over. */
  it("about what it returned, later", async () => {
    const kept: Uint8Array[] = [];
    const at = await room({
      bend: (parts) => ({
        ...withKey(async (_, honestly) => {
          const good = await honestly();
          kept.push(...good.map(({ signature }) => signature));
          return good;
        })(parts),
        curve: {
          ...parts.curve,
          verify: async (jobs) => {
            const verdict = await parts.curve.verify(jobs);
            // What happens in the driver meanwhile.
            for (const bytes of kept) bytes.fill(0);
            return verdict;
          },
        },
      }),
    });
    const spend = withdrawal(1);
    at.chain.show(spend);
    expectSigned(signedBytes(await at.signer.sign(requestOf(spend))), spend);
  });

  /** The hash that the signature is checked against must not be the key's to choose. */
  it("about what it was asked", async () => {
    const at = await room({
      bend: withKey((approval, honestly) => {
        approval.inputs[0]?.sighash.fill(7);
        return honestly();
      }),
    });
    const spend = withdrawal(1);
    at.chain.show(spend);
    expect(await faultOf(at.signer.sign(requestOf(spend)))).toMatchObject({ code: "unverified" });
  });
});

describe("a crash", () => {
  it("after the claim: the restarted signer signs the same, and only the same", async () => {
    const [spend, rival] = rivals(2);
    if (spend === undefined || rival === undefined) never();
    let at = await room({ bend: withKey(() => Promise.reject(new Error("the process dies"))) });
    at.chain.show(spend);
    await faultOf(at.signer.sign(requestOf(spend)));
    at = await restarted(at);
    expect((await at.signer.sign(requestOf(rival))).kind).toBe("refused");
    expectSigned(signedBytes(await at.signer.sign(requestOf(spend))), spend);
    expect(at.key.signed()).toBe(1);
  });

  it("after the key: what it made is lost, and made anew over the same hash", async () => {
    const spend = withdrawal(1);
    let at = await room({
      bend: (parts) => ({
        ...parts,
        journal: {
          ...parts.journal,
          recordSoon: () => Promise.reject(new Error("the process dies")),
        },
      }),
    });
    at.chain.show(spend);
    await faultOf(at.signer.sign(requestOf(spend)));
    expect(traces(at)).toMatchObject({ claims: 1, answers: 0 });
    at = await restarted(at);
    expectSigned(signedBytes(await at.signer.sign(requestOf(spend))), spend);
    expect(traces(at)).toMatchObject({ claims: 1, answers: 1 });
  });

  it("after the record: the answer that never left leaves now, and the key rests", async () => {
    const spend = withdrawal(1);
    let at = await room({
      bend: (parts) => ({
        ...parts,
        log: (event) => {
          if (event === "spend signed") throw new Error("the process dies");
        },
      }),
    });
    at.chain.show(spend);
    await faultOf(at.signer.sign(requestOf(spend)));
    expect(traces(at)).toMatchObject({ answers: 1 });
    at = await restarted(at);
    expectSigned(signedBytes(await at.signer.sign(requestOf(spend))), spend);
    expect(at.key.signed()).toBe(0);
  });

  it("of a curve worker's is a CurveError, and nothing was claimed", async () => {
    const spend = withdrawal(1);
    let dead = true;
    const at = await room({
      bend: (parts) => ({
        ...parts,
        curve: {
          ...parts.curve,
          facts: (psbt, documents) =>
            dead
              ? Promise.reject(new CurveError("a curve worker ended"))
              : parts.curve.facts(psbt, documents),
        },
      }),
    });
    at.chain.show(spend);
    expect(await faultOf(at.signer.sign(requestOf(spend)))).toBeInstanceOf(CurveError);
    expect(traces(at)).toEqual(NO_TRACES);
    dead = false;
    expectSigned(signedBytes(await at.signer.sign(requestOf(spend))), spend);
  });
});

describe("a request that changes under way", () => {
  it("is signed as it was when it was asked", async () => {
    const spend = withdrawal(1);
    const { intent, psbt } = requestOf(spend);
    const mine = { intent: structuredClone(intent), psbt: Uint8Array.from(psbt) };
    const other = requestOf(withdrawal(2));
    const at = await room();
    at.chain.show(spend);
    const answering = at.signer.sign(mine);
    mine.psbt.set(other.psbt.subarray(0, mine.psbt.length));
    Object.assign(mine.intent, other.intent);
    expectSigned(signedBytes(await answering), spend);
    expect(signedBytes(await at.signer.sign({ intent, psbt }))).toEqual(
      signedBytes(await answering),
    );
  });

  it("changes nothing through an answer that two callers share", async () => {
    const spend = withdrawal(1);
    const at = await room();
    at.chain.show(spend);
    const [a, b] = await Promise.all([
      at.signer.sign(requestOf(spend)),
      at.signer.sign(requestOf(spend)),
    ]);
    const bytes = Uint8Array.from(signedBytes(a));
    signedBytes(b).fill(0);
    expect(signedBytes(await at.signer.sign(requestOf(spend)))).toEqual(bytes);
  });

  /** attacks.md 123: the kill switch stops what is under way too. */
  it("of state: paused while the key works", async () => {
    const spend = withdrawal(1);
    const at = await room({
      bend: withKey((_, honestly) => {
        at.journal.pause();
        return honestly();
      }),
    });
    at.chain.show(spend);
    expect((await at.signer.sign(requestOf(spend))).kind).toBe("held");
  });
});

describe("grinding", () => {
  /** attacks.md 65: one transaction, many wrappings; whoever asks must not choose a signature. */
  const wrapped = (n: number) =>
    withdrawal(1, 2_000_000n, {
      bend: {
        intent: (content) => ({ ...content, reference: "withdrawal 1" }),
        maps: (maps) => onInput(maps, 0, [{ type: 0xe0, keyData: u8(n), value: u8(n) }]),
      },
    });

  it.each([
    ["one after the other", false],
    ["at once", true],
  ])("gets the same signature 20 times, asked %s", async (_, atOnce) => {
    const spends = Array.from({ length: 20 }, (_, n) => wrapped(n));
    const at = await room();
    at.chain.show(...spends);
    const ask = async (spend: Spend) =>
      hex(lspSignature(signedBytes(await at.signer.sign(requestOf(spend))), spend));
    const made: string[] = [];
    if (atOnce) made.push(...(await Promise.all(spends.map(ask))));
    else for (const spend of spends) made.push(await ask(spend));
    expect(new Set(made).size).toBe(1);
    expect(at.journal.counts().claims).toBe(1);
  });

  /** Secret side channels grow with every signature over one hash; none of the extra ones is kept. */
  it("asks the key once when all 20 come at once", async () => {
    const spends = Array.from({ length: 20 }, (_, n) => wrapped(n));
    const at = await room();
    at.chain.show(...spends);
    await Promise.all(spends.map((spend) => at.signer.sign(requestOf(spend))));
    expect(at.key.signed()).toBe(1);
  });

  it("signs what a second implementation verifies", async () => {
    const spend = withdrawal(1);
    const at = await room();
    at.chain.show(spend);
    const signature = lspSignature(signedBytes(await at.signer.sign(requestOf(spend))), spend);
    const { sighash, keys } = spend.facts.inputs[0]?.signing ?? never();
    const { xOnly } = keys.find(({ role }) => role === "lsp") ?? never();
    expect(schnorr.verify(signature, sighash, xOnly)).toBe(true);
  });
});

describe("a bump", () => {
  const POLICY_OF_ONE = { ...POLICY, fees: { ...POLICY.fees, bumps: 1 } };
  const coins = [{ branch: RECEIVE, index: 3, sats: 3_000_000n }] as const;
  const paying = (feeSats: bigint) => honest({ coins, change: 1_000_000n - feeSats, feeSats });

  it("is signed as often as the policy says, and charged what it takes more", async () => {
    const at = await room({ policy: POLICY_OF_ONE });
    const [first, second, third] = [paying(1_000n), paying(2_000n), paying(3_000n)];
    at.chain.show(first);
    const signed = signedBytes(await at.signer.sign(requestOf(first)));
    signedBytes(await at.signer.sign(requestOf(second)));
    expect(await at.signer.sign(requestOf(third))).toMatchObject({
      kind: "refused",
      violations: [{ rule: "one-transaction-an-intent" }],
    });
    expect(at.key.signed()).toBe(2);
    const sum = at.journal.database
      .prepare<[], { sats: bigint }>(
        "SELECT sum(sats) AS sats FROM charges WHERE account = 'purpose withdrawal'",
      )
      .get();
    expect(sum?.sats).toBe(2_002_000n);
    expect(signedBytes(await at.signer.sign(requestOf(first)))).toEqual(signed);
  });

  it("is refused while the policy is silent about it", async () => {
    const at = await room();
    at.chain.show(paying(1_000n));
    signedBytes(await at.signer.sign(requestOf(paying(1_000n))));
    const outcome = await at.signer.sign(requestOf(paying(2_000n)));
    expect(outcome).toMatchObject({
      kind: "refused",
      violations: [{ rule: "one-transaction-an-intent" }],
    });
  });
});

/** Different transactions and intents over one and the same coin. */
function rivals(count: number): readonly Spend[] {
  const coins = [{ branch: RECEIVE, index: 5, sats: 3_000_000n }] as const;
  return Array.from({ length: count }, (_, n) => {
    const sats = 1_000_000n + BigInt(n) * 1_000n;
    return honest({
      coins,
      payments: [{ script: recipient(n), sats }],
      change: 3_000_000n - 2_000n - sats,
      feeSats: 2_000n,
      bend: { intent: (content) => ({ ...content, reference: `rival ${n}` }) },
    });
  });
}

function pay(sats: bigint) {
  return [{ script: recipient(1), sats }];
}

function some<Item>(...items: readonly (Item | undefined)[]): readonly Item[] {
  return items.filter((item) => item !== undefined);
}

function never(): never {
  throw new Error("the test's own parts are incomplete");
}
