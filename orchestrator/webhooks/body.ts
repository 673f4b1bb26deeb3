/**
 * An event as Pulser's webhooks say it: `{event, user_id, data, timestamp}`. Its own fields come
 * first in `data`, as numbers written digit by digit; ours follow, as the event has them.
 */
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import type { AccountEvent, EventData } from "../accounts/events.ts";
import { btc, exactText, usd } from "../pulser/decimal.ts";

export interface Addressee {
  /** The number that another service gave the account, else our own id; null: of no account. */
  readonly userId: string | null;
}

export function bodyOf(
  { kind, data, at }: Pick<AccountEvent, "kind" | "data" | "at">,
  { userId }: Addressee,
): string {
  const said = { ...pulserData(kind, data), ...data };
  return exactText({ event: kind, user_id: userId, data: said, timestamp: Number(at / 1_000n) });
}

/** The same whenever the event is told, to whomever. */
export function eventId({ key }: Pick<AccountEvent, "key">): string {
  return `evt-${hex(taggedHash("ballast/event", new TextEncoder().encode(key))).slice(0, 32)}`;
}

const AMOUNT = /^[0-9]{1,16}$/;

function pulserData(kind: AccountEvent["kind"], data: EventData) {
  const { sats, cents, currency, outpoint, txid } = data;
  if (kind === "deposit") {
    const dollars = currency === undefined || currency === null || currency === "USD";
    // What stays in sats is worth no dollars to its account.
    return dollars ? { amount_usd: usd(amountOf(cents)) } : {};
  }
  if (kind === "deposit_mempool") {
    const named = typeof txid === "string" ? txid : String(outpoint ?? "").split(":")[0];
    return {
      amount_btc: btc(amountOf(sats)),
      amount_sats: Number(amountOf(sats)),
      tx_count: 1,
      txids: [named],
    };
  }
  return {};
}

function amountOf(value: EventData[string] | undefined): bigint {
  return typeof value === "string" && AMOUNT.test(value) ? BigInt(value) : 0n;
}
