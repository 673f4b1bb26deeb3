/** The coins of vaults in what the node's wallet says, told apart by the descriptors of their branches. */
import { z } from "zod";
import type { VaultCoin } from "../../policies/chain-view.ts";
import { exitBranch } from "../../policies/exit.ts";
import { CHANGE, descriptorOf, RECEIVE, type Vault } from "../../policies/vault.ts";
import { btcSchema, readAnswer } from "./answer.ts";
import type { BitcoindAnswer } from "./bitcoind.ts";
import { satsOfBtc } from "./exact-json.ts";

const unspentSchema = z.array(
  z.object({
    txid: z.string().regex(/^[0-9a-f]{64}$/),
    vout: z.int().nonnegative(),
    amount: btcSchema,
    confirmations: z.int().nonnegative(),
    parent_descs: z.array(z.string()),
  }),
);

/** The answer of `listunspent` by vault id; without an answer no vault is in it. */
export function vaultCoins(
  vaults: readonly Vault[],
  answer: BitcoindAnswer | undefined,
  height: number,
): ReadonlyMap<string, readonly VaultCoin[]> {
  if (answer?.kind !== "result") return new Map();
  const byDescriptor = new Map<string, VaultCoin[]>();
  for (const coin of readAnswer(unspentSchema, answer.result)) {
    const known = {
      outpoint: `${coin.txid}:${coin.vout}`,
      sats: satsOfBtc(coin.amount),
      height: coin.confirmations === 0 ? 0 : height - coin.confirmations + 1,
    };
    for (const descriptor of coin.parent_descs.map(plain)) {
      byDescriptor.set(descriptor, [...(byDescriptor.get(descriptor) ?? []), known]);
    }
  }
  return new Map(
    vaults.map((vault) => [
      vault.id,
      branchesOf(vault)
        .flatMap((body) => byDescriptor.get(plain(body)) ?? [])
        .sort((a, b) => (a.outpoint < b.outpoint ? -1 : 1)),
    ]),
  );
}

/** Without checksums. A descriptor wallet takes one branch a descriptor. */
export function branchesOf(vault: Vault): readonly string[] {
  const [both = ""] = descriptorOf(vault).split("#");
  return [RECEIVE, CHANGE].map((branch) =>
    both.replaceAll("<0;1>", String(branch)).replaceAll("<2;3>", String(exitBranch(branch))),
  );
}

/** Nodes write hardened steps as 48' or 48h, by version; the checksum follows the spelling. */
export function plain(descriptor: string): string {
  return descriptor.replace(/#.*$/, "").replaceAll("'", "h");
}
