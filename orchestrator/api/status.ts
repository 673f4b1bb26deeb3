/** How things stand: one report for the JSON status and for the page. */
import type { Network } from "../../policies/bitcoin/network.ts";
import type { Accounts } from "../accounts/accounts.ts";
import { balancesOf } from "../accounts/book.ts";
import { checkBook } from "../book/proof.ts";
import type { Chain } from "../io/chain.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { RunningRoles } from "../role.ts";
import { lastScanned } from "../spend/blocks.ts";
import { heldOnChain } from "../spend/coins.ts";
import { minedUnbooked } from "../spend/confirm.ts";
import { listIntents } from "../spend/intent-lists.ts";
import { type Objection, objectionsOf } from "../spend/intents.ts";

/** What a signer says of itself. */
export interface SignerCard {
  readonly name: string;
  readonly role: string;
  readonly custody: string;
  readonly policy: { readonly name: string; readonly version: number; readonly hash: string };
  /** A looser policy that waits; left out when there is none. */
  readonly announced?: { readonly name: string; readonly version: number; readonly hash: string };
  readonly paused: boolean;
}

export interface StatusParts {
  readonly store: Store;
  readonly chain: Chain;
  readonly accounts: Accounts;
  readonly network: Network;
  readonly clock: Clock;
  readonly confirmations: number;
  readonly describeSigner: () => Promise<SignerCard>;
  readonly running: RunningRoles;
}

export interface StatusReport {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly network: Network;
  /** Heights are null where nobody answered. */
  readonly node: { readonly height: number | null; readonly scannedHeight: number | null };
  readonly confirmations: number;
  /** Null: the signer does not answer. */
  readonly signer: SignerCard | null;
  readonly roles: readonly { readonly name: string; readonly fault: string | null }[];
  readonly accounts: readonly {
    readonly id: string;
    readonly name: string;
    readonly state: string;
    readonly address: string | null;
    readonly availableSats: string;
    readonly reservedSats: string;
  }[];
  /** The newest ones. */
  readonly intents: readonly {
    readonly id: string;
    readonly account: string;
    readonly reference: string;
    readonly state: string;
    readonly sats: string;
    readonly feeSats: string | null;
    readonly txid: string | null;
    readonly violations: readonly Objection[];
  }[];
  readonly book: {
    readonly balances: boolean;
    readonly postings: string;
    readonly usersSats: string;
    readonly feesSats: string;
    readonly faults: readonly string[];
  };
  /** Whether the coins on the chain are exactly what the book owes. */
  readonly cover: {
    readonly exact: boolean;
    readonly unspentSats: string;
    /** Deposits that are not deep enough to be booked. */
    readonly unbookedSats: string;
    /** Withdrawals that are mined and not deep enough to be booked. */
    readonly leavingSats: string;
    readonly gapSats: string;
  };
}

/** What fits a page that a person reads. */
const INTENTS_SHOWN = 50;

export async function statusReport(parts: StatusParts): Promise<StatusReport> {
  const { store, accounts, running } = parts;
  const [tip, signer] = await Promise.all([
    parts.chain.tip().catch(() => null),
    parts.describeSigner().catch(() => null),
  ]);
  const scanned = await lastScanned(store.db);
  const intents = await listIntents(store.db, INTENTS_SHOWN);
  const list = await accounts.list();
  return {
    at: new Date(Number(parts.clock())).toISOString(),
    network: parts.network,
    node: { height: tip?.height ?? null, scannedHeight: scanned?.height ?? null },
    confirmations: parts.confirmations,
    signer,
    roles: [...running.faults()].map(([name, fault]) => ({ name, fault })),
    accounts: await Promise.all(
      list.map(async ({ id, name, state, address }) => {
        const { available, reserved } = await balancesOf(store.db, id);
        const sums = { availableSats: String(available), reservedSats: String(reserved) };
        return { id, name, state, address, ...sums };
      }),
    ),
    intents: intents.map((row) => ({
      id: row.id,
      account: row.account,
      reference: row.reference,
      state: row.state,
      sats: String(row.sats),
      feeSats: row.fee_sats === null ? null : String(row.fee_sats),
      txid: row.txid,
      violations: objectionsOf(row),
    })),
    // One transaction, so that all its figures are of one moment.
    ...(await store.transaction(bookAndCover)),
  };
}

async function bookAndCover(db: Db): Promise<Pick<StatusReport, "book" | "cover">> {
  const book = await checkBook(db);
  const { unspentSats, unbookedSats } = await heldOnChain(db);
  const leavingSats = await minedUnbooked(db);
  const gap = unspentSats - (book.coinsSats + unbookedSats - leavingSats);
  return {
    book: {
      balances: book.balances,
      postings: String(book.postings),
      usersSats: String(book.usersSats),
      feesSats: String(book.feesSats),
      faults: book.faults,
    },
    cover: {
      exact: gap === 0n,
      unspentSats: String(unspentSats),
      unbookedSats: String(unbookedSats),
      leavingSats: String(leavingSats),
      gapSats: String(gap),
    },
  };
}
