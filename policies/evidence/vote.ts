/**
 * Price votes: what a guardian saw a bitcoin cost at a moment, for one turn of one pool (issue 7
 * produces them). BIP340 over a hash of their own domain, by the guardian's key.
 */
import { z } from "zod";
import { taggedHash } from "../bitcoin/hash.ts";
import type { Network } from "../bitcoin/network.ts";
import { CENTS_MAX, type Price, price } from "../money.ts";
import { type Guardian, guardianFault } from "./guardian.ts";
import { bytes, decimal, name, whole } from "./scalar.ts";

export const voteSchema = z.strictObject({
  guardian: name,
  /** Which pool, and with it which currency: "usd". */
  pool: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  /** The turn of the pool that the vote is for. */
  index: whole,
  /** Seconds since 1970 by the guardian's clock. */
  time: whole,
  /** Cents per bitcoin. */
  price: decimal.refine((value) => value >= 1n && value <= CENTS_MAX, {
    message: "a price is above nothing, and below any that is none",
  }),
  signature: bytes(64),
});

export type VoteDocument = z.output<typeof voteSchema>;

export interface VoteFacts {
  readonly guardian: string;
  readonly pool: string;
  readonly index: number;
  readonly time: number;
  readonly price: Price;
  /** Null for a vote that counts. */
  readonly fault: string | null;
}

type VoteContent = Pick<VoteDocument, "pool" | "index" | "time" | "price">;

/** What a guardian signs. */
export function voteHash(network: Network, { pool, index, time, price: said }: VoteContent) {
  const text = [network, pool, index, time, said].join("\n");
  return taggedHash("ballast/vote@1", new TextEncoder().encode(text));
}

export function voteFacts(
  votes: readonly VoteDocument[],
  { network, guardians }: { readonly network: Network; readonly guardians: readonly Guardian[] },
): readonly VoteFacts[] {
  const heard = new Set<string>();
  return votes.map((vote) => {
    const { guardian, pool, index, time } = vote;
    const fault = guardianFault(vote, voteHash(network, vote), { guardians, heard });
    return { guardian, pool, index, time, price: price(vote.price), fault };
  });
}
