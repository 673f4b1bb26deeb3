/**
 * Requests that m of n keys sign: transfers, and what an account of several keys unlocks or
 * withdraws. BIP340 over a hash of their own domain that names network and pool; each hash serves
 * once, until the cycle that it expires with.
 */
import { fromHex, hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { verifies } from "../../policies/bitcoin/schnorr.ts";
import type { Pool } from "../pool/pool.ts";
import type { PoolConfig } from "../pool/pool-config.ts";
import { type Account, accountId, accountIdText, isSingle } from "./account.ts";
import type { Authority, OperationOf, Signatures } from "./operation.ts";
import { type Refusal, refuse } from "./refusal.ts";

type Domain = Pick<PoolConfig, "network" | "pool">;

function requestHash({ network, pool }: Domain, fields: readonly (string | number | bigint)[]) {
  const text = [network, pool, ...fields].join("\n");
  return taggedHash("ballast/pool-request@1", new TextEncoder().encode(text));
}

type Transfer = Omit<OperationOf<"transfer">, "signatures" | "reference">;

/** What the keys of `from` sign. */
export function transferHash(domain: Domain, transfer: Transfer): Uint8Array {
  const { nonce, to, cents, meta, until, fee_ppb: fee = "none" } = transfer;
  const from = accountIdText(accountId(transfer.from));
  return requestHash(domain, ["transfer", nonce, from, cents, to, meta, until, fee]);
}

export type Leaving =
  | { readonly kind: "unlock"; readonly account: Account; readonly cents: bigint | "all" }
  | { readonly kind: "withdraw"; readonly account: Account; readonly msats: bigint };

/** What the keys of an account of several keys sign to unlock or withdraw. */
export function leavingHash(
  domain: Domain,
  leaving: Leaving,
  { nonce, until }: Pick<Authority, "nonce" | "until">,
): Uint8Array {
  const amount = leaving.kind === "unlock" ? leaving.cents : leaving.msats;
  const account = accountIdText(accountId(leaving.account));
  return requestHash(domain, [leaving.kind, nonce, account, amount, until]);
}

/** Null where at least the threshold of the account's keys has signed, and nobody else. */
function signatureFault(
  { keys, threshold }: Account,
  signatures: Signatures,
  hash: Uint8Array,
): string | null {
  const given = Object.entries(signatures);
  if (given.length < threshold) return `${given.length} of ${threshold} signatures`;
  for (const [place, signature] of given) {
    const key = keys[Number(place)];
    if (key === undefined) return `the account has no key ${place}`;
    const xOnly = fromHex(key.slice(2));
    if (!verifies({ message: hash, xOnly, signature: fromHex(signature) })) {
      return `the signature of key ${place} does not verify`;
    }
  }
  return null;
}

export type Authorised = { readonly kind: "authorised"; readonly use: () => void } | Refusal;

/**
 * One key alone is spoken for by whoever carries the operation, as in the seed; several sign the
 * request itself (the seed lets them only transfer).
 */
export function authorised(
  pool: Pool,
  leaving: Leaving,
  authority: Authority | undefined,
): Authorised {
  const { account } = leaving;
  if (authority === undefined) {
    if (isSingle(account)) return { kind: "authorised", use: () => undefined };
    return refuse("MultiSigNotAllowed", "an account of several keys signs what it takes out");
  }
  const { until, signatures } = authority;
  const hash = leavingHash(pool.config, leaving, authority);
  const fault = requestFault(pool, { account, signatures, hash, until });
  if (fault !== null) return refuse("InvalidAuthority", fault);
  return { kind: "authorised", use: () => use(pool, hash, until) };
}

export interface SignedRequest {
  readonly account: Account;
  readonly signatures: Signatures;
  readonly hash: Uint8Array;
  readonly until: number;
}

/** Null for a request that is alive, signed and new. */
export function requestFault(pool: Pool, request: SignedRequest): string | null {
  const { account, signatures, hash, until } = request;
  if (pool.cycle !== null && until < pool.cycle.index) return "the request has expired";
  const fault = signatureFault(account, signatures, hash);
  if (fault !== null) return fault;
  return pool.used.has(hex(hash)) ? "the request was used before" : null;
}

export function use(pool: Pool, hash: Uint8Array, until: number): void {
  pool.used.set(hex(hash), until);
}
