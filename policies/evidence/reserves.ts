/**
 * Proof of reserves: a transaction that can never be final, because its first input is a coin that
 * cannot exist, signed over all coins of a vault (after BIP127). The virtual outpoint is a hash over
 * what is attested, so each signer recomputes it.
 */
import { z } from "zod";
import { hex, taggedHash } from "../bitcoin/hash.ts";
import type { Network } from "../bitcoin/network.ts";
import { hash, whole } from "./scalar.ts";

export const reservesSchema = z.strictObject({
  /** What is attested, in words: printable ASCII. */
  message: z.string().regex(/^[\x20-\x7e]{1,200}$/),
  /** Root of the statement whose liabilities these coins stand for. */
  root: hash,
  height: whole,
});

export type ReservesDocument = z.output<typeof reservesSchema>;

/** The outpoint that only this proof spends; no transaction has a tagged hash for its id. */
export function reservesOutpoint(
  network: Network,
  { message, root, height }: ReservesDocument,
): string {
  const text = [network, root, height, message].join("\n");
  return `${hex(taggedHash("ballast/reserves@1", new TextEncoder().encode(text)))}:0`;
}
