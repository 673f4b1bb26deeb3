/** What the words of an objection say that somebody acts on: when to ask again, which coin, how much. */
import { describe, expect, it } from "vitest";
import { outpoint } from "../../policies/bitcoin/transaction.ts";
import { judge } from "../../policies/decide.ts";
import type { HistoryDocument } from "../../policies/history.ts";
import { rules } from "../../policies/rules.ts";
import {
  HEIGHT,
  honest,
  NOW,
  POLICY,
  recipient,
  type Spend,
  USER_VAULT,
} from "../support/spend.ts";
import { coinOnChain, withdrawal } from "./bends.ts";

const ELSEWHERE = `${"cd".repeat(32)}:0`;

function claim(
  part: Partial<HistoryDocument["claims"][number]>,
): HistoryDocument["claims"][number] {
  return {
    intent: "ef".repeat(32),
    purpose: "withdrawal",
    vault: USER_VAULT.vault.id,
    txid: "12".repeat(32),
    anchor: ELSEWHERE,
    outpoints: [ELSEWHERE],
    charges: [{ account: "fees", sats: 1_000n }],
    places: [],
    userSigned: true,
    fixed: "",
    nonces: [],
    at: NOW - 3_600_000,
    height: HEIGHT - 6,
    ...part,
  };
}

const said = (spend: Spend) => judge(spend.case).violations;

describe("a coin that is too young", () => {
  it.each([
    [2, "in 1 block"],
    [1, "in 2 blocks"],
  ])("with %i confirmations of three comes back %s", (depth, retry) => {
    const spend = honest(coinOnChain({ height: HEIGHT - depth + 1 }));
    const detail = `input 0 has ${depth} confirmations, 3 are needed`;
    expect(said(spend)).toEqual([{ rule: "coins-confirmed", detail, retry }]);
  });
});

describe("a claim of several coins", () => {
  it("is held against the coin that it shares, and against no other", () => {
    const spend = honest({
      bend: {
        history: (document, { tx }) => ({
          ...document,
          claims: [claim({ outpoints: [ELSEWHERE, ...tx.inputs.map(outpoint)] })],
        }),
      },
    });
    const shared = spend.tx.inputs.map(outpoint).join();
    const detail = `${shared} was signed away in ${"12".repeat(32)}`;
    expect(said(spend)).toEqual([{ rule: "coins-unclaimed", detail }]);
  });
});

describe("a bump", () => {
  it.each(["in order", "in reverse"])("may name the same coins %s", (order) => {
    const { intent } = honest();
    const spend = honest({
      coins: 3,
      bend: {
        policy: (policy) => ({ ...policy, fees: { ...POLICY.fees, bumps: 1 } }),
        history: (document, { tx }) => {
          const coins = tx.inputs.map(outpoint).sort();
          const outpoints = order === "in order" ? coins : coins.reverse();
          return { ...document, claims: [claim({ intent: intent.id, outpoints })] };
        },
      },
    });
    expect(said(spend)).toEqual([]);
  });
});

describe("a window that is too small", () => {
  it("is told with what this spend would bring it to", () => {
    const account = "purpose withdrawal";
    const spend = honest({
      bend: {
        ...withdrawal({ windows: [{ hours: 24, sats: 2_001_800 }] }).bend,
        history: (document) => ({
          ...document,
          claims: [claim({ charges: [{ account, sats: 2n }] })],
        }),
      },
    });
    const [told] = said(spend).filter(({ rule }) => rule === "window-limit");
    expect(told?.detail).toMatch(/^2001802 sat within 24 h for .*, at most 2001800$/);
    expect(told?.retry).toBe("when older spends have left the window, in 24 h at the latest");
  });
});

describe("a fee rate out of range", () => {
  it("is told in sats and thousandths", () => {
    const [told] = said(honest({ feeSats: 9_702n })).filter(({ rule }) => rule === "fee-rate");
    expect(told?.detail).toBe("fee rate is 50.010 sat/vB, at most 50.000");
  });
});

describe("payments that were not meant", () => {
  it.each([
    [5, /sat to [a-z0-9]+; the intent says nobody$/],
    [6, /sat to [a-z0-9]+, 1 more; the intent says nobody$/],
  ])("are told five at most, of %i", (count, words) => {
    const payments = Array.from({ length: count }, (_, n) => ({
      script: recipient(n),
      sats: 1_000_000n,
    }));
    const spend = honest({ payments }).case;
    const intent = { ...spend.intent, outputs: [] };
    const [told, ...more] = rules["outputs-as-intended"].check({ ...spend, intent });
    expect(more).toEqual([]);
    expect(told?.detail.match(/sat to bcrt1/g)).toHaveLength(5);
    expect(told?.detail).toMatch(words);
  });
});
