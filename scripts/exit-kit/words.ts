/** Coins in words: when each one opens, and which want a refresh before that. */
import { type RestState, restOf } from "../../policies/rest.ts";
import type { Vault } from "../../policies/vault.ts";
import type { KnownCoins } from "./coins.ts";

const STATES: Readonly<Record<RestState, string>> = {
  resting: "rests",
  ripe: "may be refreshed",
  due: "must be refreshed soon",
  open: "OPEN: the user's key alone is enough",
};

/** A day has about so many blocks. */
const BLOCKS_A_DAY = 144;

export function coinsInWords(vault: Vault, known: KnownCoins | null): string {
  if (known === null) return "No list of coins was given to this kit: `./exit.sh coins` makes one.";
  const { tip, coins } = known;
  const head = `At block ${tip}:`;
  if (coins.length === 0) return `${head} no coins.`;
  const { exit } = vault;
  const lines = coins.map(({ outpoint, sats, height }) => {
    const coin = `- \`${outpoint}\`, ${sats} sats`;
    if (exit === null) return `${coin}: takes two of the three keys, for ever`;
    const { age, opensAt, state } = restOf({ height, tip, blocks: exit.blocks });
    if (opensAt === null) return `${coin}: unconfirmed, its timelock has not begun`;
    const left = exit.blocks - age;
    const wait =
      left <= 0 ? "" : `, in ${left} blocks, about ${Math.floor(left / BLOCKS_A_DAY)} days`;
    return `${coin}: opens at block ${opensAt}${wait}; ${STATES[state]}`;
  });
  return [head, "", ...lines].join("\n");
}
