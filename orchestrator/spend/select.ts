/**
 * Which coins of one vault pay for a spend. Pure. First a set without change (branch and bound),
 * then the largest coins until it suffices, with change where it is worth an output.
 */
import { finishedVbytes } from "../../policies/facts.ts";
import { feeCeil, type MsatsPerVbyte, type Sats, sats } from "../../policies/money.ts";

export interface Candidate {
  readonly outpoint: string;
  readonly sats: Sats;
}

export interface Payment {
  readonly script: Uint8Array;
  readonly sats: Sats;
}

export interface SelectRequest<C extends Candidate> {
  readonly coins: readonly C[];
  readonly payments: readonly Payment[];
  readonly rate: MsatsPerVbyte;
  /** Where change would go: its script decides the size. */
  readonly changeScript: Uint8Array;
  readonly inputsMax: number;
}

export type Selection<C extends Candidate> =
  | {
      readonly kind: "selected";
      readonly coins: readonly C[];
      readonly feeSats: Sats;
      /** Null: no change output, the remainder went into the fee. */
      readonly changeSats: Sats | null;
    }
  | {
      readonly kind: "refused";
      /** `too-many-inputs`: there is enough, but not within as many coins as one spend takes. */
      readonly code: "insufficient" | "too-many-inputs";
      readonly detail: string;
    };

/** Enough to find a match where there is a good one, and some ten milliseconds at most. */
const TRIES_MAX = 20_000;
/** The search goes one call deeper a coin; beyond these, change is the cheaper answer. */
const SEARCHED_COINS_MAX = 500;

export function selectCoins<C extends Candidate>(request: SelectRequest<C>): Selection<C> {
  const { coins, payments, rate, changeScript, inputsMax } = request;
  const target = payments.reduce((sum, payment) => sum + payment.sats, 0n);
  const withChange = [...payments, { script: changeScript }];
  const costs: Costs = {
    changeless: once((n) => target + feeCeil(finishedVbytes(n, payments), rate)),
    withChange: once((n) => target + feeCeil(finishedVbytes(n, withChange), rate)),
    dust: dustSats(changeScript),
  };
  // A coin that costs more than it holds only makes a spend dearer. Five inputs tell the price of
  // one within the rounding of virtual bytes.
  const price = (costs.changeless(6) - costs.changeless(1) + 4n) / 5n;
  const worth = coins
    .filter((coin) => coin.sats > price)
    .sort((a, b) => Number(b.sats - a.sats) || (a.outpoint < b.outpoint ? -1 : 1));

  const exact = changelessMatch(worth.slice(0, SEARCHED_COINS_MAX), costs, inputsMax);
  if (exact !== null) return spendOf(exact, target, costs);
  let sum = 0n;
  for (const [i, coin] of worth.entries()) {
    sum += coin.sats;
    if (sum < costs.changeless(i + 1)) continue;
    const taken = worth.slice(0, i + 1);
    if (taken.length > inputsMax) {
      return {
        kind: "refused",
        code: "too-many-inputs",
        detail: `${taken.length} coins would be needed, at most ${inputsMax} go into one spend`,
      };
    }
    return spendOf(taken, target, costs);
  }
  const least = costs.changeless(Math.max(1, worth.length));
  return {
    kind: "refused",
    code: "insufficient",
    detail: `${sum} sat can be spent, ${least} are needed with the fee`,
  };
}

/**
 * Below this an output costs more to spend than nodes let it hold: three times the bytes of the
 * output and of the input that would spend it, at one sat a byte (Core's dust relay fee).
 */
export function dustSats(script: Uint8Array): bigint {
  return 3n * BigInt(8 + 1 + script.length + (isWitnessProgram(script) ? 67 : 148));
}

/** BIP141: a version from OP_0 to OP_16, then one push of 2 to 40 bytes. */
function isWitnessProgram(script: Uint8Array): boolean {
  const [version = 0xff, push = 0] = script;
  const versioned = version === 0x00 || (version >= 0x51 && version <= 0x60);
  return versioned && push >= 2 && push <= 40 && script.length === 2 + push;
}

/** The search asks for the same few counts thousands of times. */
function once(cost: (inputs: number) => bigint): (inputs: number) => bigint {
  const known = new Map<number, bigint>();
  return (inputs) => {
    const value = known.get(inputs) ?? cost(inputs);
    known.set(inputs, value);
    return value;
  };
}

interface Costs {
  /** Payments and fee for n inputs. */
  readonly changeless: (inputs: number) => bigint;
  readonly withChange: (inputs: number) => bigint;
  readonly dust: bigint;
}

/** The set that overshoots a changeless spend by least, within what change would cost; or null. */
function changelessMatch<C extends Candidate>(
  coins: readonly C[],
  costs: Costs,
  inputsMax: number,
): readonly C[] | null {
  // What is left over at each depth bounds what the rest can still add.
  const rest: bigint[] = new Array<bigint>(coins.length + 1).fill(0n);
  for (let i = coins.length - 1; i >= 0; i -= 1) {
    rest[i] = (rest[i + 1] ?? 0n) + (coins[i]?.sats ?? 0n);
  }
  const found: { taken: readonly number[]; excess: bigint }[] = [];
  const taken: number[] = [];
  let tries = 0;

  function search(at: number, sum: bigint): void {
    tries += 1;
    const n = taken.length;
    const excess = sum - costs.changeless(n);
    if (tries > TRIES_MAX || found[0]?.excess === 0n) return;
    // With enough, more coins only overshoot further.
    if (n > 0 && excess >= 0n) keepIfBetter(sum, excess);
    else if (n < inputsMax && sum + (rest[at] ?? 0n) >= costs.changeless(n + 1)) branch(at, sum);
  }

  function branch(at: number, sum: bigint): void {
    const coin = coins[at];
    if (coin === undefined) return;
    taken.push(at);
    search(at + 1, sum + coin.sats);
    taken.pop();
    // Leaving out one of several equal coins is leaving out all of them.
    let next = at + 1;
    while (coins[next]?.sats === coin.sats) next += 1;
    search(next, sum);
  }

  function keepIfBetter(sum: bigint, excess: bigint): void {
    // Where change is worth an output of its own, this is no match.
    if (sum - costs.withChange(taken.length) >= costs.dust) return;
    const best = found[0]?.excess;
    if (best === undefined || excess < best) found[0] = { taken: [...taken], excess };
  }

  search(0, 0n);
  return found[0]?.taken.flatMap((i) => coins[i] ?? []) ?? null;
}

function spendOf<C extends Candidate>(
  coins: readonly C[],
  target: bigint,
  costs: Costs,
): Selection<C> {
  const sum = coins.reduce((total, coin) => total + coin.sats, 0n);
  const change = sum - costs.withChange(coins.length);
  const changeSats = change >= costs.dust ? sats(change) : null;
  return {
    kind: "selected",
    coins,
    feeSats: sats(sum - target - (changeSats ?? 0n)),
    changeSats,
  };
}
