/**
 * Cents and msats at a price, as Fedi's v2 converts them. The names of roundings: `floor` overstates
 * nothing; `roundtrip` gives back the cents that an amount was made from.
 */
const MSATS_PER_BTC = 100_000_000_000n;

/** What an amount is worth, rounded down. */
export function centsOfMsats(msats: bigint, price: bigint): bigint {
  return (price * msats) / MSATS_PER_BTC;
}

/** What cents cost, rounded down. */
export function msatsOfCents(cents: bigint, price: bigint): bigint {
  return (cents * MSATS_PER_BTC) / price;
}

/** One cent more than the floor, exactly where that many cents cost this very amount. */
export function centsOfMsatsRoundtrip(msats: bigint, price: bigint): bigint {
  const floor = centsOfMsats(msats, price);
  return msatsOfCents(floor + 1n, price) === msats ? floor + 1n : floor;
}
