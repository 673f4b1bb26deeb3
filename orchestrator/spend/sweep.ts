/** All coins of a vault into one output: what a migration moves, or a recovery. Pure. */
import { finishedVbytes } from "../../policies/facts.ts";
import type { Purpose } from "../../policies/intent.ts";
import { feeCeil, type MsatsPerVbyte, type Sats, sats } from "../../policies/money.ts";
import { type Candidate, dustSats } from "./select.ts";

/** Whether a spend moves all coins to another vault of the account: they stay the account's. */
export function sweeps(purpose: Purpose): boolean {
  return purpose === "migration" || purpose === "recovery-user-lost";
}

export interface SweepRequest<C extends Candidate> {
  readonly coins: readonly C[];
  /** Where all of it goes. */
  readonly script: Uint8Array;
  readonly rate: MsatsPerVbyte;
  readonly inputsMax: number;
}

export type Sweep<C extends Candidate> =
  | {
      readonly kind: "swept";
      readonly coins: readonly C[];
      readonly sats: Sats;
      readonly feeSats: Sats;
    }
  | { readonly kind: "refused"; readonly detail: string };

/** The largest first; what costs more than it holds stays, and so does what one spend cannot take. */
export function sweep<C extends Candidate>(request: SweepRequest<C>): Sweep<C> {
  const { script, rate, inputsMax } = request;
  const fee = (inputs: number) => feeCeil(finishedVbytes(inputs, [{ script }]), rate);
  // Five inputs tell the price of one within the rounding of virtual bytes.
  const price = (fee(6) - fee(1) + 4n) / 5n;
  const coins = request.coins
    .filter((coin) => coin.sats > price)
    .sort((a, b) => Number(b.sats - a.sats) || (a.outpoint < b.outpoint ? -1 : 1))
    .slice(0, inputsMax);
  const sum = coins.reduce((total, coin) => total + coin.sats, 0n);
  const feeSats = fee(Math.max(1, coins.length));
  const left = sum - feeSats;
  if (left < dustSats(script)) {
    return { kind: "refused", detail: `${sum} sat can be moved, the fee is ${feeSats}` };
  }
  return { kind: "swept", coins, sats: sats(left), feeSats: sats(feeSats) };
}
