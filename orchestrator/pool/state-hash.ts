/**
 * One hash over all that a pool is, so that two who have replayed the same log compare 32 bytes. The
 * order is that of the ledger itself, which a log decides: accounts by their first deposit, deposits
 * as they are served.
 */
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { concat, sized, u32, u64 } from "../../policies/bitcoin/wire.ts";
import { AMOUNTS, type Deposits } from "./deposits.ts";
import type { Pool } from "./pool.ts";

const WORDS = new TextEncoder();

export function stateHash(pool: Pool): string {
  const { holders, cycle } = pool;
  const parts = [
    head(pool),
    cycle === null ? u64(0n) : concat([u64(1n), ...cycleWords(cycle).map(u64)]),
    // No key has a line break in it. One text of them all costs a tenth of a text each.
    u32(holders.keys.length),
    text(holders.keys.join("\n")),
    idleBytes(pool),
    listed([...pool.cancellations].map(([owner, bps]) => [u32(owner), u64(bps)])),
    listed(
      [...pool.unlocks].map(([owner, { cents, totalCents, reference }]) => [
        u32(owner),
        u64(cents === "all" ? EVERYTHING : cents),
        u64(totalCents),
        text(reference),
      ]),
    ),
    listed([...pool.used].map(([hash, until]) => [text(hash), u64(BigInt(until))])),
    listed(
      [...pool.votes.values()].map((vote) => [
        text(vote.guardian),
        u64(vote.timeNanos),
        u64(vote.price),
      ]),
    ),
    sideBytes(pool.seeks),
    sideBytes(pool.provides),
    sideBytes(pool.bitcoin),
  ];
  return hex(taggedHash("ballast/pool-state@1", ...parts));
}

/** No amount of cents is as much. */
const EVERYTHING = (1n << 64n) - 1n;

function head({ config, ...pool }: Pool): Uint8Array {
  const numbers = [BigInt(pool.nextSeek), BigInt(pool.nextProvide), pool.feesMsats];
  const more = [pool.bailoutMsats, pool.heldMsats];
  const said = JSON.stringify(config, (_, value) =>
    typeof value === "bigint" ? String(value) : value,
  );
  return concat([text(said), ...[...numbers, ...more].map(u64)]);
}

function cycleWords(cycle: NonNullable<Pool["cycle"]>): readonly bigint[] {
  return [
    BigInt(cycle.index),
    cycle.startNanos,
    cycle.price,
    BigInt.asUintN(64, cycle.feePpb),
    cycle.lockedSeeksMsats,
    cycle.lockedProvidesMsats,
    cycle.feesMsats,
  ];
}

function text(value: string): Uint8Array {
  return sized(WORDS.encode(value));
}

function listed(rows: readonly (readonly Uint8Array[])[]): Uint8Array {
  return concat([u32(rows.length), ...rows.flat()]);
}

function idleBytes({ holders, idle }: Pool): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * holders.keys.length));
  for (const [owner, msats] of idle) view.setBigUint64(8 * owner, msats, true);
  return new Uint8Array(view.buffer);
}

const ROW_BYTES = 20 + 8 * AMOUNTS.length;

/** Deposits that hold something, in one buffer: a million of them take no object each. */
function sideBytes(side: Deposits): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 + side.rows * ROW_BYTES));
  let count = 0;
  for (let row = 0; row < side.rows; row += 1) {
    if ((side.staged[row] ?? 0n) === 0n && (side.locked[row] ?? 0n) === 0n) continue;
    writeRow(view, 4 + count * ROW_BYTES, { side, row });
    count += 1;
  }
  view.setUint32(0, count, true);
  return new Uint8Array(view.buffer, 0, 4 + count * ROW_BYTES);
}

function writeRow(
  view: DataView,
  at: number,
  { side, row }: { readonly side: Deposits; readonly row: number },
): void {
  view.setUint32(at, side.owner[row] ?? 0, true);
  view.setInt32(at + 4, side.fee[row] ?? 0, true);
  view.setInt32(at + 8, side.since[row] ?? -1, true);
  view.setFloat64(at + 12, side.sequence[row] ?? 0, true);
  for (let i = 0; i < AMOUNTS.length; i += 1) {
    view.setBigUint64(at + 20 + 8 * i, side[AMOUNTS[i] ?? "staged"][row] ?? 0n, true);
  }
}
