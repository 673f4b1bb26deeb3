/**
 * A pool as one would write it down: an object a deposit, lists by account, bigints, sorting. The
 * bench measures the ledger beside it, and the property tests hold the ledger against it. It shares
 * no code with `orchestrator/pool/`.
 */
const B = 1_000_000_000n;
const BTC = 100_000_000_000n;

interface Item {
  readonly sequence: number;
  readonly fee: bigint;
  amount: bigint;
}

type Lists = Map<string, Item[]>;
type SideName = "seeks" | "provides";

export interface ObjectsConfig {
  readonly v2: boolean;
  readonly provider: bigint;
  readonly seeker: bigint;
  readonly minimum: bigint;
  readonly maxFee: bigint;
  readonly minFee: bigint;
}

export interface ObjectsPool {
  readonly config: ObjectsConfig;
  readonly idle: Map<string, bigint>;
  readonly staged: Readonly<Record<SideName, Lists>>;
  readonly locked: Readonly<Record<SideName, Lists>>;
  readonly cancellations: Map<string, bigint>;
  readonly unlocks: Map<string, bigint | "all">;
  readonly next: Record<SideName, number>;
  price: bigint | null;
  fee: bigint;
  bailout: bigint;
}

export function objectsPool(config: ObjectsConfig): ObjectsPool {
  return {
    config,
    idle: new Map(),
    staged: { seeks: new Map(), provides: new Map() },
    locked: { seeks: new Map(), provides: new Map() },
    cancellations: new Map(),
    unlocks: new Map(),
    next: { seeks: 0, provides: 0 },
    price: null,
    fee: 0n,
    bailout: 0n,
  };
}

export type ObjectsOperation =
  | { readonly kind: "seek"; readonly key: string; readonly msats: bigint }
  | { readonly kind: "provide"; readonly key: string; readonly msats: bigint; readonly fee: bigint }
  | { readonly kind: "withdraw"; readonly key: string; readonly msats: bigint }
  | { readonly kind: "cancel"; readonly key: string; readonly bps: bigint }
  | { readonly kind: "undo"; readonly key: string }
  | {
      readonly kind: "unlock";
      readonly key: string;
      readonly cents: bigint | "all";
      readonly side: SideName;
    }
  | {
      readonly kind: "transfer";
      readonly key: string;
      readonly to: string;
      readonly cents: bigint;
      readonly side: SideName;
      readonly fee: bigint;
    };

const ceil = (a: bigint, b: bigint) => (a + b - 1n) / b;
const least = (a: bigint, b: bigint) => (a < b ? a : b);
const sum = (items: readonly Item[]) => items.reduce((all, { amount }) => all + amount, 0n);

function itemsOf(lists: Lists, key: string): Item[] {
  return lists.get(key) ?? [];
}

function credit(pool: ObjectsPool, key: string, msats: bigint): void {
  pool.idle.set(key, (pool.idle.get(key) ?? 0n) + msats);
}

/** From the end of the list; what is left is put back. */
function drainList(lists: Lists, key: string, msats: bigint): bigint {
  const items = [...itemsOf(lists, key)];
  let left = msats;
  while (left > 0n && items.length > 0) {
    const last = items.at(-1) as Item;
    const taken = least(last.amount, left);
    left -= taken;
    if (taken === last.amount) items.pop();
    else items[items.length - 1] = { ...last, amount: last.amount - taken };
  }
  lists.set(key, items);
  return msats - left;
}

/** "done", or the seed's name of the refusal. */
export function objectsOperate(pool: ObjectsPool, operation: ObjectsOperation): string {
  switch (operation.kind) {
    case "seek":
      return put(pool, operation, { side: "seeks", fee: 0n });
    case "provide":
      return put(pool, operation, { side: "provides", fee: operation.fee });
    case "withdraw":
      return take(pool, operation);
    case "cancel":
      return cancel(pool, operation);
    case "undo":
      return pool.cancellations.delete(operation.key)
        ? "done"
        : "CannotUndoAutoRenewalCancellation";
    case "unlock":
      return unlock(pool, operation);
    case "transfer":
      return transfer(pool, operation);
    default:
      return operation satisfies never;
  }
}

function put(
  pool: ObjectsPool,
  { key, msats }: { readonly key: string; readonly msats: bigint },
  { side, fee }: { readonly side: SideName; readonly fee: bigint },
): string {
  const { config, staged, locked } = pool;
  if (config.v2 && pool.unlocks.has(key)) return "PreviousIntentionNotFullyProcessed";
  if (msats < config.minimum) return "AmountTooLow";
  if (fee > config.maxFee) return "FeeRateTooHigh";
  if (fee < config.minFee) return "FeeRateTooLow";
  if (config.v2 && pool.price === null) return "NoCycle";
  const other = side === "seeks" ? "provides" : "seeks";
  const opposite = itemsOf(staged[other], key).length + itemsOf(locked[other], key).length > 0;
  if (!config.v2 && (opposite || pool.cancellations.has(key))) {
    return side === "seeks" ? "CannotSeek" : "CannotProvide";
  }
  const items = itemsOf(staged[side], key);
  staged[side].set(key, [...items, { sequence: nextOf(pool, side), fee, amount: msats }]);
  return "done";
}

function nextOf(pool: ObjectsPool, side: SideName): number {
  const counter = pool.config.v2 ? "seeks" : side;
  pool.next[counter] += 1;
  return pool.next[counter] - 1;
}

type Of<Kind extends ObjectsOperation["kind"]> = Extract<ObjectsOperation, { kind: Kind }>;

function take(pool: ObjectsPool, { key, msats }: Of<"withdraw">): string {
  const { config, staged } = pool;
  if (msats === 0n) return "InvalidWithdrawalAmount";
  const idle = pool.idle.get(key) ?? 0n;
  const more = config.v2
    ? 0n
    : sum(itemsOf(staged.seeks, key)) + sum(itemsOf(staged.provides, key));
  if (idle + more < msats) return "InsufficientBalance";
  const fromIdle = least(idle, msats);
  credit(pool, key, -fromIdle);
  const left = msats - fromIdle - drainList(staged.seeks, key, msats - fromIdle);
  drainList(staged.provides, key, left);
  return "done";
}

function cancel(pool: ObjectsPool, { key, bps }: Of<"cancel">): string {
  if (bps < 100n || bps > 10_000n) return "InvalidBPSForCancelAutoRenewal";
  const { staged, locked } = pool;
  const waiting = itemsOf(staged.seeks, key).length + itemsOf(staged.provides, key).length;
  const seeks = itemsOf(locked.seeks, key).length > 0;
  const provides = itemsOf(locked.provides, key).length > 0;
  if (waiting > 0 || pool.cancellations.has(key) || seeks === provides) {
    return "CannotCancelAutoRenewal";
  }
  pool.cancellations.set(key, bps);
  return "done";
}

function unlock(pool: ObjectsPool, { key, cents, side }: Of<"unlock">): string {
  if (pool.price === null) return "TemporaryError";
  if (pool.unlocks.has(key)) return "DuplicateUnlockRequest";
  const there = sum(itemsOf(pool.staged[side], key)) + sum(itemsOf(pool.locked[side], key));
  const wanted = cents === "all" ? there : (cents * BTC) / pool.price;
  if (there < wanted || (cents === "all" && there === 0n)) return "InsufficientBalance";
  const drained = drainList(pool.staged[side], key, wanted);
  credit(pool, key, drained);
  const left = wanted - drained;
  if (left > 0n) pool.unlocks.set(key, cents === "all" ? "all" : (left * pool.price) / BTC);
  return "done";
}

function transfer(pool: ObjectsPool, { key, to, cents, side, fee }: Of<"transfer">): string {
  if (pool.unlocks.has(key)) return "PreviousIntentionNotFullyProcessed";
  if (pool.price === null) return "NoCycle";
  const wanted = (cents * BTC) / pool.price;
  const there = sum(itemsOf(pool.staged[side], key)) + sum(itemsOf(pool.locked[side], key));
  if (there < wanted) return "InvalidTransferRequest";
  const sequence = nextOf(pool, side);
  const staged = drainList(pool.staged[side], key, wanted);
  const locked = drainList(pool.locked[side], key, wanted - staged);
  for (const [lists, amount] of [
    [pool.staged[side], staged],
    [pool.locked[side], locked],
  ] as const) {
    if (amount > 0n) lists.set(to, [...itemsOf(lists, to), { sequence, fee, amount }]);
  }
  return "done";
}

/** All items in the order of their accounts' keys. */
function flat(lists: Lists): Item[] {
  return [...lists].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, items]) => items);
}

function distribute(items: readonly Item[], pool: bigint, randomness: bigint): void {
  if (items.length === 0) return;
  const total = sum(items);
  let left = pool;
  for (const item of items) {
    item.amount = (pool * item.amount) / total;
    left -= item.amount;
  }
  const lucky = items[Number(randomness % BigInt(items.length))];
  if (lucky !== undefined) lucky.amount += left;
}

function settleAll(pool: ObjectsPool, price: bigint, randomness: bigint): void {
  const [seeks, provides] = [flat(pool.locked.seeks), flat(pool.locked.provides)];
  const needed = ceil(sum(seeks) * (pool.price ?? price), price);
  const missing = needed - sum(seeks) - sum(provides);
  const bailout = missing > 0n ? least(missing, pool.bailout) : 0n;
  const all = sum(seeks) + sum(provides) + bailout;
  pool.bailout -= bailout;
  const forSeeks = least(needed, all);
  distribute(seeks, forSeeks, randomness);
  distribute(provides, all - forSeeks, randomness);
  for (const lists of [pool.locked.seeks, pool.locked.provides]) dropEmpty(lists);
}

function dropEmpty(lists: Lists): void {
  for (const [key, items] of lists)
    lists.set(
      key,
      items.filter(({ amount }) => amount > 0n),
    );
}

function releaseAll(pool: ObjectsPool, price: bigint): void {
  for (const lists of [pool.locked.seeks, pool.locked.provides]) {
    for (const [key, bps] of pool.cancellations) {
      credit(pool, key, drainList(lists, key, ceil(sum(itemsOf(lists, key)) * bps, 10_000n)));
    }
    for (const [key, cents] of pool.unlocks) {
      const msats = cents === "all" ? sum(itemsOf(lists, key)) : (cents * BTC) / price;
      credit(pool, key, drainList(lists, key, msats));
    }
  }
  pool.cancellations.clear();
  pool.unlocks.clear();
}

interface Owned extends Item {
  readonly key: string;
}

/** Everything back to staged, merged by sequence, taken out and sorted as it is served. */
function extracted(pool: ObjectsPool, side: SideName): Owned[] {
  const merged = new Map<number, Owned>();
  for (const lists of [pool.staged[side], pool.locked[side]]) {
    for (const [key, items] of lists) {
      for (const item of items) {
        const there = merged.get(item.sequence);
        if (there === undefined) merged.set(item.sequence, { ...item, key });
        else there.amount += item.amount;
      }
    }
    lists.clear();
  }
  return [...merged.values()].sort((a, b) => {
    if (a.fee === b.fee) return a.sequence - b.sequence;
    return a.fee < b.fee ? -1 : 1;
  });
}

function append(lists: Lists, { key, sequence, fee }: Owned, amount: bigint): void {
  if (amount === 0n) return;
  const items = lists.get(key);
  if (items === undefined) lists.set(key, [{ sequence, fee, amount }]);
  else items.push({ sequence, fee, amount });
}

function chooseProvides(pool: ObjectsPool, provides: readonly Owned[], seeks: bigint) {
  const { provider, seeker } = pool.config;
  let included = 0n;
  const needed = (fee: bigint) => {
    const left = seeks * (B - (fee > 0n ? fee : 0n)) * provider - included * B * seeker;
    return left < 0n ? 0n : ceil(left, B * seeker);
  };
  const first = provides[0]?.fee ?? 0n;
  let fee = first < 0n ? first : 0n;
  let left = needed(fee);
  for (const provide of provides) {
    if (left > 0n && provide.fee > fee) {
      const raised = needed(provide.fee);
      if (raised > 0n) fee = provide.fee;
      left = raised;
    }
    const used = least(left, provide.amount);
    included += used;
    left -= used;
    append(pool.locked.provides, provide, used);
    append(pool.staged.provides, provide, provide.amount - used);
  }
  return included === 0n ? 0n : fee;
}

function payBailout(pool: ObjectsPool, fee: bigint): void {
  for (const item of flat(pool.locked.provides)) {
    const paid = ceil(item.amount * -fee, B);
    item.amount -= paid;
    pool.bailout += paid;
  }
  dropEmpty(pool.locked.provides);
}

/** Returns the fees. */
function chooseSeeks(pool: ObjectsPool, seeks: readonly Owned[], fee: bigint): bigint {
  const { provider, seeker } = pool.config;
  const provided = sum(flat(pool.locked.provides));
  let left = (provided * seeker * B) / ((B - fee) * provider);
  let fees = 0n;
  for (const seek of seeks) {
    const used = least(left, seek.amount);
    left -= used;
    const paid = ceil(used * fee, B);
    fees += paid;
    append(pool.locked.seeks, seek, used - paid);
    append(pool.staged.seeks, seek, seek.amount - used);
  }
  return fees;
}

function payFees(pool: ObjectsPool, fees: bigint, randomness: bigint): void {
  const provided = sum(flat(pool.locked.provides));
  if (provided === 0n) return;
  const keys = [...pool.locked.provides]
    .filter(([, items]) => items.length > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  let left = fees;
  for (const [key, items] of keys) {
    const owed = (sum(items) * fees) / provided;
    credit(pool, key, owed);
    left -= owed;
  }
  credit(pool, keys[Number(randomness % BigInt(keys.length))]?.[0] ?? "", left);
}

export function objectsTurn(pool: ObjectsPool, price: bigint, randomness: bigint): void {
  settleAll(pool, price, randomness);
  releaseAll(pool, price);
  const seeks = extracted(pool, "seeks");
  const provides = extracted(pool, "provides");
  pool.fee = chooseProvides(pool, provides, sum(seeks));
  if (pool.fee < 0n) payBailout(pool, pool.fee);
  payFees(pool, chooseSeeks(pool, seeks, pool.fee > 0n ? pool.fee : 0n), randomness);
  pool.price = price;
}
