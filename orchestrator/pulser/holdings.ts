/** An account's coins and transactions, as lists. Reads alone. */
import type { Db } from "../io/store.ts";

export interface Holding {
  readonly txid: string;
  readonly vout: number;
  readonly vault: string;
  readonly branch: bigint;
  readonly position: bigint;
  readonly sats: bigint;
  readonly confirmed: boolean;
  readonly height: number;
  readonly reserved: boolean;
}

/** More coins than this want a sweep, and are counted all the same. */
const HOLDINGS_MAX = 200;

/** Unspent coins, the newest first. */
export async function holdingsOf(db: Db, account: string): Promise<readonly Holding[]> {
  const rows = await db
    .selectFrom("coins")
    .innerJoin("vaults", "vaults.id", "coins.vault")
    .selectAll("coins")
    .where("account", "=", account)
    .where("spent_by", "is", null)
    .where("height", "is not", null)
    .orderBy("height", "desc")
    .orderBy("outpoint")
    .limit(HOLDINGS_MAX)
    .execute();
  return rows.map((row) => {
    const [txid = "", vout] = row.outpoint.split(":");
    return {
      ...{ txid, vout: Number(vout), vault: row.vault },
      ...{ branch: row.branch, position: row.position, sats: row.sats },
      confirmed: row.state === "confirmed",
      height: Number(row.height),
      reserved: row.reserved_by !== null,
    };
  });
}

export interface UnspentSum {
  /** Coins in blocks. */
  readonly count: number;
  /** Buried, whoever has reserved them: what the vaults hold, be it owed in sats or in dollars. */
  readonly confirmedSats: bigint;
  /** Deposits that are not buried yet, those in the mempool too. */
  readonly unconfirmedSats: bigint;
}

export async function unspentSum(db: Db, account: string): Promise<UnspentSum> {
  const rows = await db
    .selectFrom("coins")
    .innerJoin("vaults", "vaults.id", "coins.vault")
    .select(["coins.state", "coins.kind"])
    .select((eb) => [eb.fn.countAll<bigint>().as("count"), eb.fn.sum<bigint>("sats").as("sats")])
    .where("account", "=", account)
    .where("spent_by", "is", null)
    .where("state", "<>", "gone")
    .groupBy(["coins.state", "coins.kind"])
    .execute();
  const sum = (wanted: (row: (typeof rows)[number]) => boolean) =>
    rows.filter(wanted).reduce((total, { sats }) => total + sats, 0n);
  return {
    count: rows.reduce((n, { state, count }) => (state === "mempool" ? n : n + Number(count)), 0),
    confirmedSats: sum(({ state }) => state === "confirmed"),
    unconfirmedSats: sum(({ state, kind }) => state !== "confirmed" && kind === "deposit"),
  };
}

export interface Transaction {
  /** What a page is in the order of: the outpoint of a deposit, the txid of a spend. */
  readonly id: string;
  readonly txid: string;
  readonly kind: "deposit" | "withdrawal";
  /** Below zero where it left; without the fee. */
  readonly sats: bigint;
  readonly feeSats: bigint | null;
  readonly state: string;
  /** Null: in no block yet. */
  readonly height: number | null;
  readonly intent: string | null;
}

interface TransactionPage {
  readonly account: string;
  readonly after: { readonly at: bigint; readonly id: string } | null;
  readonly limit: number;
}

/** What is in no block stands above all blocks. */
const IN_FLIGHT = 999_999_999n;

/** Deposits and spends, those in no block yet first, then the newest. */
export async function transactionsPage(
  db: Db,
  page: TransactionPage,
): Promise<readonly Transaction[]> {
  const [deposits, spends] = await Promise.all([depositsPage(db, page), spendsPage(db, page)]);
  // Each list is in the database's order already: merged, so that a cut of the one is a cut of both.
  const merged: Transaction[] = [];
  for (let d = 0, s = 0; merged.length < page.limit; ) {
    const [deposit, spend] = [deposits[d], spends[s]];
    if (deposit === undefined && spend === undefined) break;
    if (spend === undefined || (deposit !== undefined && before(deposit, spend))) {
      if (deposit !== undefined) merged.push(deposit);
      d += 1;
    } else {
      merged.push(spend);
      s += 1;
    }
  }
  return merged;
}

export function placeOf({ height, id }: Transaction) {
  return { at: height === null ? IN_FLIGHT : BigInt(height), id };
}

function before(a: Transaction, b: Transaction): boolean {
  const [one, other] = [placeOf(a), placeOf(b)];
  return one.at === other.at ? one.id > other.id : one.at > other.at;
}

async function depositsPage(db: Db, { account, after, limit }: TransactionPage) {
  const rows = await db
    .selectFrom("coins")
    .innerJoin("vaults", "vaults.id", "coins.vault")
    .selectAll("coins")
    .where("account", "=", account)
    .where("kind", "=", "deposit")
    .where("height", "is not", null)
    .$if(after !== null, (query) =>
      query.where((eb) =>
        eb.or([
          eb("height", "<", after?.at ?? 0n),
          eb.and([eb("height", "=", after?.at ?? 0n), eb("outpoint", "<", after?.id ?? "")]),
        ]),
      ),
    )
    .orderBy("height", "desc")
    .orderBy("outpoint", "desc")
    .limit(limit)
    .execute();
  return rows.map((row): Transaction => {
    const { outpoint: id, sats, state } = row;
    const [txid = ""] = id.split(":");
    const height = row.height === null ? null : Number(row.height);
    return { ...{ id, txid, kind: "deposit", sats, state, height }, feeSats: null, intent: null };
  });
}

async function spendsPage(db: Db, { account, after, limit }: TransactionPage) {
  const rows = await db
    .selectFrom("intents")
    .select(["id", "txid", "sats", "fee_sats", "state", "mined_height"])
    .select((eb) => eb.fn.coalesce("mined_height", eb.val(IN_FLIGHT)).as("place"))
    .where("account", "=", account)
    .where("txid", "is not", null)
    .$if(after !== null, (query) =>
      query.where((eb) => {
        const place = eb.fn.coalesce("mined_height", eb.val(IN_FLIGHT));
        return eb.or([
          eb(place, "<", after?.at ?? 0n),
          eb.and([eb(place, "=", after?.at ?? 0n), eb("txid", "<", after?.id ?? "")]),
        ]);
      }),
    )
    .orderBy("place", "desc")
    .orderBy("txid", "desc")
    .limit(limit)
    .execute();
  return rows.map((row): Transaction => {
    const txid = row.txid ?? "";
    const height = row.mined_height === null ? null : Number(row.mined_height);
    const amounts = { sats: -row.sats, feeSats: row.fee_sats };
    return {
      ...{ id: txid, txid, kind: "withdrawal", height },
      ...amounts,
      state: row.state,
      intent: row.id,
    };
  });
}
