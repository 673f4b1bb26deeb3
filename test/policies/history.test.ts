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

const vaultCoin = { outpoint: `${txid}:0`, sats: 1, height: 0 };
const vaultCoins = { vault: "02".repeat(20), coins: [vaultCoin] };
const burial = { txid, depth: 1, spends: [`${txid}:7`] };
const more = { vaults: [vaultCoins], burials: [burial] };

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

  it("tell of vaults and burials, or leave them out", () => {
    const { vaults, burials } = chainSchema.parse({ ...chain, ...more });
    expect(vaults).toEqual(new Map([["02".repeat(20), [{ ...vaultCoin, sats: 1n }]]]));
    expect(burials).toEqual(new Map([[txid, { depth: 1, spends: [`${txid}:7`] }]]));
    const bare = chainSchema.parse(chain);
    expect([bare.vaults.size, bare.burials.size]).toEqual([0, 0]);
  });

  it.each<[string, object]>([
    ["a vault", { vaults: [vaultCoins, { ...vaultCoins, coins: [] }] }],
    ["a coin of a vault", { vaults: [{ ...vaultCoins, coins: [vaultCoin, vaultCoin] }] }],
    ["a coin of two vaults", { vaults: [vaultCoins, { ...vaultCoins, vault: "03".repeat(20) }] }],
    ["a burial", { burials: [burial, { ...burial, depth: 2, spends: [] }] }],
    ["a coin spent", { burials: [burial, { ...burial, txid: "cd".repeat(32) }] }],
  ])("name %s once", (_, part) => {
    expect(chainSchema.safeParse({ ...chain, ...part }).error?.issues[0]?.message).toBe(
      "one is listed twice",
    );
  });

  it.each<[string, object]>([
    ["a depth of 0", { burials: [{ ...burial, depth: 0 }] }],
    ["a block for a burial", { burials: [{ ...burial, block: txid }] }],
    ["a short txid", { burials: [{ ...burial, txid: "ab" }] }],
    ["a vault's name", { vaults: [{ ...vaultCoins, vault: "savings" }] }],
    ["a coin below zero", { vaults: [{ ...vaultCoins, coins: [{ ...vaultCoin, sats: -1 }] }] }],
    ["a coin with a script", { vaults: [{ ...vaultCoins, coins: [coin] }] }],
  ])("do not take %s", (_, part) => {
    expect(chainSchema.safeParse({ ...chain, ...part }).success).toBe(false);
  });

  it("name each coin once: of two stories the last would count", () => {
    const coins = [coin, { ...coin, sats: 2 }];
    expect(chainSchema.safeParse({ ...chain, coins }).success).toBe(false);
  });
});
