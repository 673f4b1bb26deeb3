import { describe, expect, it } from "vitest";
import { chainSchema } from "../../policies/chain-view.ts";
import { historySchema } from "../../policies/history.ts";

const txid = "ab".repeat(32);
const claim = {
  intent: "01".repeat(32),
  purpose: "withdrawal",
  vault: "02".repeat(20),
  txid,
  anchor: `${txid}:0`,
  outpoints: [`${txid}:0`],
  charges: [{ account: "fees", sats: "1000" }],
  changeIndex: null,
  at: 0,
  height: 0,
};
const history = { format: "ballast/history@1", paused: false, height: 0, claims: [claim] };
const coin = { outpoint: `${txid}:0`, sats: 1, script: "51", height: 1, coinbase: false };
const chain = {
  format: "ballast/chain@1",
  height: 1,
  tip: "00".repeat(32),
  medianTime: 1,
  coins: [coin],
};

describe("documents about the past and the chain", () => {
  it("are read", () => {
    expect(historySchema.parse(history).claims[0]?.charges[0]?.sats).toBe(1_000n);
    expect(chainSchema.parse(chain).coins.get(`${txid}:0`)).toMatchObject({ sats: 1n });
  });

  // One coin under two names: the claim is not found, and the coin counts as free.
  it.each([`${txid}:00`, `${txid}:4294967296`])("have one name for a coin: %s", (outpoint) => {
    const claims = [{ ...claim, outpoints: [outpoint] }];
    expect(historySchema.safeParse({ ...history, claims }).success).toBe(false);
  });

  it("name each coin once: of two stories the last would count", () => {
    const coins = [coin, { ...coin, sats: 2 }];
    expect(chainSchema.safeParse({ ...chain, coins }).success).toBe(false);
  });
});
