/** Labels for wallets (BIP329): one JSON object a line. */
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { type Branch, CHANGE, RECEIVE, type Vault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import type { KnownCoins } from "./coins.ts";

/** As many as wallets look ahead (BIP44's gap limit). */
const ADDRESSES = 20;

export function labelsOf(vault: Vault, coins: KnownCoins | null): string {
  const { name } = vault.document.policy;
  const bare = (text: string) => text.replace(/^\[[^\]]*\]/, "");
  const branches = [
    [RECEIVE, "receive"],
    [CHANGE, "change"],
  ] as const;
  const records = [
    ...vault.holders.map(({ role, key }) => ({
      type: "xpub",
      ref: bare(key.text),
      label: `${name}: key of the ${role}`,
    })),
    ...branches.flatMap(([branch, word]) =>
      Array.from({ length: ADDRESSES }, (_, index) => ({
        type: "addr",
        ref: addressAt(vault, branch, index),
        label: `${name}: ${word} ${index}`,
      })),
    ),
    ...(coins?.coins ?? []).map((coin) => ({
      type: "output",
      ref: coin.outpoint,
      label: `${name}: ${opening(vault, coin.height)}`,
    })),
  ];
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}

function opening({ exit }: Vault, height: number): string {
  if (exit === null) return "takes two of three keys";
  return height === 0
    ? "unconfirmed, its timelock has not begun"
    : `the user may leave alone from block ${height + exit.blocks}`;
}

export function addressAt(vault: Vault, branch: Branch, index: number): string {
  const address = addressOf(vaultScripts(vault).at(branch, index).script, vault.network);
  if (address === null) throw new Error("BUG: a Taproot output has an address");
  return address;
}
