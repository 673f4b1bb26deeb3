/**
 * The funding output of a Lightning channel: two keys, each vouched for by the node that it belongs
 * to, make one script that the signer recomputes (BOLT 3, P2WSH of a 2-of-2 over sorted keys).
 */
import { z } from "zod";
import { fromHex, sha256 } from "../bitcoin/hash.ts";
import { signsAsNode } from "../bitcoin/message.ts";
import type { Network } from "../bitcoin/network.ts";
import { compare, concat, sized } from "../bitcoin/wire.ts";
import { type Sats, sats } from "../money.ts";
import { writeLine } from "./line.ts";
import { amountSats, bytes, publicKey } from "./scalar.ts";

export const fundingSchema = z.strictObject({
  sats: amountSats,
  /** Node ids and funding keys of both sides, and each node's word for the keys of this channel. */
  user: z.strictObject({ node: publicKey, key: publicKey, signature: bytes(65) }),
  lsp: z.strictObject({ node: publicKey, key: publicKey, signature: bytes(65) }),
});

export type FundingDocument = z.output<typeof fundingSchema>;

export interface FundingFacts {
  readonly sats: Sats;
  readonly script: Uint8Array;
  /** Node ids in hex. */
  readonly user: string;
  readonly lsp: string;
  readonly faults: readonly string[];
}

/** The line that each node signs, for its vault's channel. */
export function fundingText(
  network: Network,
  vault: string,
  {
    user,
    lsp,
    sats: value,
  }: Pick<FundingDocument, "sats"> & {
    readonly user: { readonly key: string };
    readonly lsp: { readonly key: string };
  },
): string {
  const fields = { vault, user: user.key, lsp: lsp.key, sats: String(value) };
  return writeLine({ kind: "funding", network, fields });
}

const OP_2 = 0x52;
const OP_CHECKMULTISIG = 0xae;

/** P2WSH of `2 <lesser key> <greater key> 2 CHECKMULTISIG` (BOLT 3). */
export function fundingScript(keys: readonly [Uint8Array, Uint8Array]): Uint8Array {
  const sorted = [...keys].sort(compare).map(sized);
  const script = concat([Uint8Array.of(OP_2), ...sorted, Uint8Array.of(OP_2, OP_CHECKMULTISIG)]);
  return concat([Uint8Array.of(0x00, 0x20), sha256(script)]);
}

export function fundingFacts(
  funding: FundingDocument,
  { network, vault }: { readonly network: Network; readonly vault: string },
): FundingFacts {
  const text = fundingText(network, vault, funding);
  const { user, lsp } = funding;
  const faults = Object.entries({ user, lsp }).flatMap(([side, { node, signature }]) =>
    signsAsNode(text, signature, fromHex(node))
      ? []
      : [`the ${side}'s node has not signed for the keys of this channel`],
  );
  if (user.node === lsp.node || user.key === lsp.key) faults.push("both sides are one");
  return {
    sats: sats(funding.sats),
    script: fundingScript([fromHex(user.key), fromHex(lsp.key)]),
    user: user.node,
    lsp: lsp.node,
    faults,
  };
}
