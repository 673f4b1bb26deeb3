/** What is odd about a deposit, told once each: its address was paid before, it is dust, it is no address that anybody was given. */
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import type { Sats } from "../../policies/money.ts";
import { tell } from "../accounts/events.ts";
import type { Scripts } from "../accounts/scripts.ts";
import type { Clock } from "../io/clock.ts";
import type { Db } from "../io/store.ts";
import { type Coin, type NewCoin, txidOf } from "./coins.ts";
import type { SightedCoin } from "./sightings.ts";

export interface FlagParts {
  readonly scripts: Scripts;
  readonly clock: Clock;
  /** A deposit of less is dust: it costs more to follow and to spend than it is worth. */
  readonly depositMinSats: Sats;
}

export type DepositFlag = "reused" | "dust" | "unexpected_change";

/** The coin as it is written down. */
export function coinOf({ clock, depositMinSats }: FlagParts, sighted: SightedCoin): NewCoin {
  const dust = sighted.kind === "deposit" && sighted.sats < depositMinSats;
  return { ...sighted, dust, seenAt: clock() };
}

/** Of a coin in a block. */
export function flagsOf({ kind, reused, dust, origin }: Coin): readonly DepositFlag[] {
  if (kind !== "deposit") return [];
  return [
    ...(reused ? (["reused"] as const) : []),
    ...(dust ? (["dust"] as const) : []),
    ...(origin === "unexpected" ? (["unexpected_change"] as const) : []),
  ];
}

export async function tellFlags(
  parts: FlagParts,
  db: Db,
  sighted: SightedCoin,
  coin: Coin,
): Promise<void> {
  for (const flag of flagsOf(coin)) {
    await tell(db, {
      kind: "deposit_flagged",
      key: `deposit_flagged ${coin.outpoint} ${flag}`,
      account: sighted.account,
      data: { ...(await depositData(parts, db, sighted)), flag },
      at: parts.clock(),
    });
  }
}

/** What every event about a deposit says of it. */
export async function depositData(
  { scripts }: Pick<FlagParts, "scripts">,
  db: Db,
  { outpoint, vault, sats, script }: SightedCoin,
) {
  const derived = await scripts.vault(db, vault);
  return {
    outpoint,
    txid: txidOf(outpoint),
    sats: String(sats),
    address: derived === null ? null : addressOf(script, derived.vault.network),
  };
}
