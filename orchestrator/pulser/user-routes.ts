/** What Pulser's clients ask about a user: state, coins, transactions, the next address, activity. */
import type { Request, Response } from "express";
import { z } from "zod";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import { eventsOf } from "../accounts/events.ts";
import type { Scripts } from "../accounts/scripts.ts";
import { pageOf, pageQuery } from "../doors/cursor.ts";
import { idOf, type Route } from "../doors/route.ts";
import type { Db } from "../io/store.ts";
import { lastScanned } from "../spend/blocks.ts";
import { btc, sendExact, usd } from "./decimal.ts";
import { type Holding, holdingsOf, placeOf, transactionsPage, unspentSum } from "./holdings.ts";
import { stableOf } from "./stable.ts";
import { asked, ownUser, type User, type UserParts, userNamed } from "./user.ts";

/** A decimal number of BTC or dollars, exact as it stands. */
const amount = z.number();
const utxo = z.strictObject({
  txid: z.string(),
  vout: z.int(),
  amount_sat: z.int(),
  address: z.string(),
  keychain: z.enum(["External", "Internal"]),
  confirmations: z.int(),
  block_height: z.int(),
  stable_value_usd: amount.nullable(),
  spent: z.literal(false),
  spendable: z.boolean(),
});
const userAnswer = z.strictObject({
  user_id: z.string(),
  status: z.strictObject({
    state: z.enum(["begun", "open"]),
    account: z.string(),
    scanned_height: z.int().nullable(),
  }),
  balance: z.strictObject({
    confirmed_btc: amount,
    unconfirmed_btc: amount,
    immature_btc: amount,
    stable_value_usd: amount.nullable(),
  }),
  deposit: z.strictObject({
    address: z.string().nullable(),
    utxo_count: z.int(),
    /** Seconds since 1970; null before the first that was credited. */
    last_deposit_time: z.int().nullable(),
  }),
  utxos: z.array(utxo),
});
const txsAnswer = z.strictObject({
  user_id: z.string(),
  transactions: z.array(
    z.strictObject({
      txid: z.string(),
      type: z.enum(["deposit", "withdrawal"]),
      amount_sat: z.int(),
      amount_btc: amount,
      fee_sat: z.int().nullable(),
      state: z.string(),
      block_height: z.int().nullable(),
      confirmations: z.int(),
      intent: z.string().nullable(),
    }),
  ),
  next: z.string().nullable(),
});
const addressAnswer = z.strictObject({ address: z.string().nullable(), ready: z.boolean() });
const activityAnswer = z.strictObject({
  user_id: z.string(),
  activity: z.array(
    z.strictObject({
      sequence: z.int(),
      kind: z.string(),
      at: z.iso.datetime(),
      data: z.record(z.string(), z.union([z.string(), z.boolean(), z.null()])),
    }),
  ),
  next: z.string().nullable(),
});
const utxosAnswer = z.strictObject({ user_id: z.string(), utxos: z.array(utxo) });

const txsQuery = pageQuery("txs");
const activityQuery = pageQuery("activity");
const EVERYBODY = ["user", "operator", "auditor", "machine"] as const;

export function userRoutes(parts: UserParts): readonly Route[] {
  const { store } = parts;
  const theirs = { method: "get", opens: EVERYBODY, own: ownUser(store) } as const;
  return [
    {
      ...{ ...theirs, path: "/v1/user/{id}", aliases: ["/user/{id}"], answer: userAnswer },
      says: "State, balance, the address to pay to, coins.",
      async handle(request, response) {
        const account = await userNamed(parts, idOf(request));
        sendExact(response, await userView(parts, account, idOf(request)));
      },
    },
    {
      ...{ ...theirs, path: "/v1/user/{id}/txs", aliases: ["/user/{id}/txs"] },
      ...{ query: txsQuery, answer: txsAnswer },
      says: "Deposits and withdrawals, the newest first.",
      handle: (request, response) => transactions(parts, request, response),
    },
    {
      ...{ ...theirs, path: "/v1/user/{id}/address", aliases: ["/user/{id}/address"] },
      answer: addressAnswer,
      says: "The next address to pay to: another after each deposit.",
      async handle(request, response) {
        const { address } = await userNamed(parts, idOf(request));
        response.json({ address, ready: address !== null });
      },
    },
    {
      ...{ ...theirs, path: "/v1/activity/{id}", aliases: ["/activity/{id}"] },
      ...{ query: activityQuery, answer: activityAnswer },
      says: "What happened, the newest first.",
      handle: (request, response) => activity(parts, request, response),
    },
    {
      ...{ ...theirs, path: "/v1/sync_utxos/{id}", aliases: ["/sync_utxos/{id}"] },
      answer: utxosAnswer,
      says: "The coins as they were scanned last.",
      async handle(request, response) {
        const { id } = await userNamed(parts, idOf(request));
        sendExact(response, { user_id: idOf(request), utxos: await utxosOf(parts, id) });
      },
    },
  ];
}

async function userView(parts: UserParts, account: User, userId: string) {
  const { db } = parts.store;
  const { id, state, address } = account;
  const stable = await stableOf(db, id);
  const { count, confirmedSats, unconfirmedSats } = await unspentSum(db, id);
  return {
    user_id: userId,
    status: { state, account: id, scanned_height: (await lastScanned(db))?.height ?? null },
    balance: {
      confirmed_btc: btc(confirmedSats),
      unconfirmed_btc: btc(unconfirmedSats),
      // Nobody mines into a vault here; a coinbase counts as any deposit.
      immature_btc: btc(0n),
      stable_value_usd: stable === null ? null : usd(stable.cents),
    },
    deposit: { address, utxo_count: count, last_deposit_time: await lastDeposit(db, id) },
    utxos: await utxosOf(parts, id),
  };
}

/** How far back a deposit is looked for. */
const EVENTS_LOOKED_AT = 200;

async function lastDeposit(db: Db, account: string): Promise<number | null> {
  const events = await eventsOf(db, { account, before: null, limit: EVENTS_LOOKED_AT });
  const last = events.find(({ kind }) => kind === "deposit");
  return last === undefined ? null : Number(last.at / 1000n);
}

async function utxosOf({ store, scripts }: UserParts, account: string) {
  const height = (await lastScanned(store.db))?.height ?? 0;
  const holdings = await holdingsOf(store.db, account);
  return await Promise.all(
    holdings.map(async (coin) => ({
      ...{ txid: coin.txid, vout: coin.vout, amount_sat: Number(coin.sats) },
      address: await addressAt(store.db, scripts, coin),
      keychain: coin.branch === 0n ? "External" : "Internal",
      confirmations: height - coin.height + 1,
      block_height: coin.height,
      // Of single coins, once deposits are stabilised one by one.
      stable_value_usd: null,
      spent: false,
      spendable: coin.confirmed && !coin.reserved,
    })),
  );
}

async function addressAt(db: Db, scripts: Scripts, coin: Holding): Promise<string> {
  const vault = await scripts.vault(db, coin.vault);
  if (vault === null) throw new Error(`BUG: vault ${coin.vault} has coins and is not registered`);
  const branch = coin.branch === 0n ? RECEIVE : CHANGE;
  return addressOf(vault.at(branch, Number(coin.position)).script, vault.vault.network) ?? "";
}

async function transactions(parts: UserParts, request: Request, response: Response): Promise<void> {
  const { db } = parts.store;
  const { cursor, limit } = asked(txsQuery, request.query);
  const { id: account } = await userNamed(parts, idOf(request));
  const rows = await transactionsPage(db, { account, after: cursor, limit: limit + 1 });
  const page = pageOf("txs", { rows, limit }, placeOf);
  const scanned = (await lastScanned(db))?.height ?? 0;
  sendExact(response, {
    user_id: idOf(request),
    transactions: page.rows.map(({ txid, kind, sats, feeSats, state, height, intent }) => ({
      ...{ txid, type: kind, amount_sat: Number(sats), amount_btc: btc(sats) },
      fee_sat: feeSats === null ? null : Number(feeSats),
      ...{ state, block_height: height },
      confirmations: height === null ? 0 : scanned - height + 1,
      intent,
    })),
    next: page.next,
  });
}

async function activity(parts: UserParts, request: Request, response: Response): Promise<void> {
  const { cursor, limit } = asked(activityQuery, request.query);
  const { id: account } = await userNamed(parts, idOf(request));
  const before = cursor?.at ?? null;
  const rows = await eventsOf(parts.store.db, { account, before, limit: limit + 1 });
  const page = pageOf("activity", { rows, limit }, ({ sequence }) => ({ at: sequence, id: "" }));
  response.json({
    user_id: idOf(request),
    activity: page.rows.map(({ sequence, kind, at, data }) => ({
      sequence: Number(sequence),
      kind,
      at: new Date(Number(at)).toISOString(),
      data,
    })),
    next: page.next,
  });
}
