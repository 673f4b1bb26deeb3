/**
 * A person says no on the device: nothing was signed, so the claim is freed, and only then (invariant
 * 3). Every other fault keeps it. And a look at a spend binds nothing.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { RECEIVE } from "../../policies/vault.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { KeyError, type KeyFaultCode } from "../../signer/key-error.ts";
import type { Key } from "../../signer/signer.ts";
import {
  faultOf,
  openRoom,
  requestOf,
  type SignerRoom,
  signedBytes,
} from "../support/signer-room.ts";
import { honest, POLICY, recipient, type Spend } from "../support/spend.ts";

const curve = openCurvePool(2);
let folder = "";
let room: SignerRoom;
/** What the key does at the next signature; null signs. */
let fault: KeyFaultCode | null = null;
/** Awaited by the key before it answers, so that a test can ask twice meanwhile. */
let device: Promise<void> = Promise.resolve();

beforeEach(async () => {
  fault = null;
  device = Promise.resolve();
  folder = mkdtempSync(join(tmpdir(), "ballast-rejected-"));
  room = await openRoom({
    folder,
    curve,
    bend: (parts) => {
      const key: Key = {
        ...parts.key,
        sign: async (approval) => {
          await device;
          if (fault !== null) throw new KeyError(fault, "as the test wants it");
          return await parts.key.sign(approval);
        },
      };
      return { ...parts, key };
    },
  });
});
afterEach(async () => {
  await room.close();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => curve.close());

/** The same coin whatever the number; another payee and another intent. */
function withdrawal(n: number): Spend {
  return honest({
    coins: [{ branch: RECEIVE, index: 0 }],
    payments: [{ script: recipient(n), sats: 2_000_000n }],
    bend: { intent: (content) => ({ ...content, reference: `withdrawal ${n}` }) },
  });
}

/** Rows of every table that a claim writes to. */
function bound(): Readonly<Record<string, number>> {
  const tables = ["claims", "charges", "places", "outpoints", "nonces", "takes", "signatures"];
  return Object.fromEntries(
    tables.map((table) => {
      const row = room.journal.database
        .prepare<[], { n: bigint }>(`SELECT count(*) AS n FROM ${table}`)
        .get();
      return [table, Number(row?.n)];
    }),
  );
}

const NOTHING = {
  ...{ claims: 0, charges: 0, places: 0, outpoints: 0 },
  ...{ nonces: 0, takes: 0, signatures: 0 },
};

describe("a spend that is rejected on the device", () => {
  it("binds nothing any more: the coin may go elsewhere, or the same be asked again", async () => {
    const [first, other] = [withdrawal(1), withdrawal(2)];
    room.chain.show(first, other);
    fault = "rejected";
    expect(await faultOf(room.signer.sign(requestOf(first)))).toMatchObject({ code: "rejected" });
    expect(bound()).toEqual(NOTHING);
    fault = null;
    signedBytes(await room.signer.sign(requestOf(other)));
    expect(await room.signer.sign(requestOf(first))).toMatchObject({
      kind: "refused",
      violations: [{ rule: "coins-unclaimed" }],
    });
  });

  it("stands in the decision log, chained to what came before", async () => {
    const spend = withdrawal(1);
    room.chain.show(spend);
    fault = "rejected";
    await faultOf(room.signer.sign(requestOf(spend)));
    const verdicts = room.journal
      .auditLog()
      .lines.map(({ record }) => (JSON.parse(record) as { verdict: string }).verdict);
    expect(verdicts).toEqual(["approved", "rejected"]);
    expect(room.log).toContainEqual({
      event: "spend rejected",
      fields: { intent: spend.intent.id, txid: spend.case.facts.txid, freed: true },
    });
  });

  it.each(["unavailable", "unverified", "unsupported", "damaged"] as const)(
    "stays bound where the fault is %s: a signature may exist",
    async (code) => {
      const [first, other] = [withdrawal(1), withdrawal(2)];
      room.chain.show(first, other);
      fault = code;
      await faultOf(room.signer.sign(requestOf(first)));
      fault = null;
      expect(await room.signer.sign(requestOf(other))).toMatchObject({ kind: "refused" });
      signedBytes(await room.signer.sign(requestOf(first)));
    },
  );

  it("rejects whoever asked for the same hashes meanwhile, too", async () => {
    const spend = withdrawal(1);
    room.chain.show(spend);
    let answer = () => {};
    device = new Promise((resolve) => {
      answer = resolve;
    });
    fault = "rejected";
    const asked = [spend, withdrawal(1)].map(({ intent, bytes }, i) => {
      // Other bytes, the same transaction: another request, the same hashes.
      const psbt = i === 0 ? bytes : honestAgain(spend).bytes;
      return faultOf(room.signer.sign(requestOf({ intent, bytes: psbt })));
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    answer();
    for (const error of await Promise.all(asked)) expect(error).toMatchObject({ code: "rejected" });
    expect(bound()).toEqual(NOTHING);
  });

  it("stays bound where the disk fails as it is freed, and is freed by the next no", async () => {
    const spend = withdrawal(1);
    await room.close();
    let broken = true;
    room = await openRoom({
      ...{ folder, curve },
      bend: (parts) => ({
        ...parts,
        key: {
          ...parts.key,
          sign: () => Promise.reject(new KeyError("rejected", "by the person")),
        },
        journal: {
          ...parts.journal,
          free: (claim) => {
            if (broken) throw new Error("disk I/O error");
            return parts.journal.free(claim);
          },
        },
      }),
    });
    room.chain.show(spend);
    expect((await faultOf(room.signer.sign(requestOf(spend)))).message).toBe("disk I/O error");
    expect(bound()).toMatchObject({ claims: 1, outpoints: 1, signatures: 0 });
    broken = false;
    expect(await faultOf(room.signer.sign(requestOf(spend)))).toMatchObject({ code: "rejected" });
    expect(bound()).toEqual(NOTHING);
  });

  it("does not free what has been signed before", async () => {
    const spend = withdrawal(1);
    room.chain.show(spend);
    signedBytes(await room.signer.sign(requestOf(spend)));
    const { intent, txid, policy } = { ...spend.case.facts, intent: spend.intent.id, policy: "" };
    expect(room.journal.free({ intent, txid, policy })).toBe(false);
    expect(bound()).toMatchObject({ claims: 1, outpoints: 1, signatures: 1 });
  });
});

describe("a bump of a spend that still waits on the device", () => {
  const coins = [{ branch: RECEIVE, index: 3, sats: 3_000_000n }] as const;
  const paying = (feeSats: bigint) => honest({ coins, change: 1_000_000n - feeSats, feeSats });
  const [first, bump] = [paying(1_000n), paying(2_000n)];
  /** Transactions that the person rejects when the device is at last answered. */
  let rejects: ReadonlySet<string> = new Set();
  let answer = () => {};

  /** Asks for both while the device waits, then lets the person answer. */
  async function bothAsked(rejected: readonly Spend[]) {
    await room.close();
    device = new Promise((resolve) => {
      answer = resolve;
    });
    rejects = new Set(rejected.map(({ case: { facts } }) => facts.txid));
    room = await openRoom({
      ...{ folder, curve, policy: { ...POLICY, fees: { ...POLICY.fees, bumps: 1 } } },
      bend: (parts) => ({
        ...parts,
        key: {
          ...parts.key,
          sign: async (approval) => {
            await device;
            if (rejects.has(approval.txid)) throw new KeyError("rejected", "by the person");
            return await parts.key.sign(approval);
          },
        },
      }),
    });
    room.chain.show(first);
    const asked: Promise<unknown>[] = [];
    for (const [i, spend] of [first, bump].entries()) {
      asked.push(room.signer.sign(requestOf(spend)).catch((error: unknown) => error));
      while (room.journal.counts().claims <= i) await new Promise(setImmediate);
    }
    answer();
    return await Promise.all(asked);
  }

  function charged(): bigint {
    const row = room.journal.database
      .prepare<[], { sats: bigint }>(
        "SELECT coalesce(sum(sats), 0) AS sats FROM charges WHERE account = 'purpose withdrawal'",
      )
      .get();
    return row?.sats ?? 0n;
  }

  it("is charged whole though the first was rejected: it leaves with all of the payment", async () => {
    const [rejected, signed] = await bothAsked([first]);
    expect(rejected).toMatchObject({ code: "rejected" });
    expect(signed).toMatchObject({ kind: "signed" });
    expect(charged()).toBe(2_002_000n);
    expect(bound()).toMatchObject({ outpoints: 1, signatures: 1 });
  });

  it("rejected itself, leaves to the first its coins and its charge", async () => {
    const [signed, rejected] = await bothAsked([bump]);
    expect(rejected).toMatchObject({ code: "rejected" });
    expect(signed).toMatchObject({ kind: "signed" });
    expect(charged()).toBe(2_001_000n);
    expect(bound()).toMatchObject({ claims: 1, outpoints: 1, signatures: 1 });
  });

  it("rejected like the first, leaves nothing behind", async () => {
    await bothAsked([first, bump]);
    expect(bound()).toEqual(NOTHING);
  });
});

/** The same transaction in other PSBT bytes. */
function honestAgain(spend: Spend): Pick<Spend, "bytes"> {
  return honest({
    coins: [{ branch: RECEIVE, index: 0 }],
    payments: [{ script: recipient(1), sats: 2_000_000n }],
    psbtVersion: 2,
    bend: { intent: () => spend.intent },
  });
}

describe("a look at a spend", () => {
  it("says what the law would say, and binds nothing", async () => {
    const spend = withdrawal(1);
    room.chain.show(spend);
    const seen = await room.signer.review(requestOf(spend));
    expect(seen.verdict).toEqual({ verdict: "approved", violations: [] });
    expect(seen.spend.facts.txid).toBe(spend.case.facts.txid);
    expect(bound()).toEqual(NOTHING);
    expect(room.journal.counts().decisions).toBe(0);
    expect(room.key.signed()).toBe(0);
  });

  it("tells of what was signed before", async () => {
    const [first, other] = [withdrawal(1), withdrawal(2)];
    room.chain.show(first, other);
    signedBytes(await room.signer.sign(requestOf(first)));
    const { verdict } = await room.signer.review(requestOf(other));
    expect(verdict).toMatchObject({
      verdict: "refused",
      violations: [{ rule: "coins-unclaimed" }],
    });
  });
});
