/** Taproot outputs: BIP341 commitments, BIP342 leaves, BIP350 addresses. */
import { bech32, bech32m } from "@scure/base";
import { address as addresses, initEccLib } from "bitcoinjs-lib";
import * as ecc from "tiny-secp256k1";
import { taggedHash } from "./hash.ts";
import { type Network, PARAMETERS } from "./network.ts";
import { scriptTypeOf } from "./script-type.ts";
import { compare, concat, reader, sized, u8 } from "./wire.ts";

initEccLib(ecc);

/** BIP342 tapscript. Any other leaf version is unencumbered today: it would let anyone spend. */
export const LEAF_VERSION = 0xc0;

/**
 * BIP341's point H with no known discrete logarithm: lift_x of SHA256 of the standard generator in
 * uncompressed form. With H as internal key nobody can spend by key path.
 */
export const UNSPENDABLE = Uint8Array.from([
  0x50, 0x92, 0x9b, 0x74, 0xc1, 0xa0, 0x49, 0x54, 0xb7, 0x8b, 0x4b, 0x60, 0x35, 0xe9, 0x7a, 0x5e,
  0x07, 0x8a, 0x5a, 0x0f, 0x28, 0xec, 0x96, 0xd5, 0x47, 0xbf, 0xee, 0x9a, 0xce, 0x80, 0x3a, 0xc0,
]);

const OP_CHECKSIG = 0xac;
const OP_CHECKSIGVERIFY = 0xad;
const OP_CHECKSEQUENCEVERIFY = 0xb2;
const OP_CHECKSIGADD = 0xba;
const OP_NUMEQUAL = 0x9c;
/** OP_1 to OP_16 stand in a row. */
const OP_NUMBER = 0x50;

/** `multi_a(threshold, keys…)` in the order given (BIP387): CHECKSIG, then CHECKSIGADD each. */
export function multiLeaf(threshold: number, keys: readonly Uint8Array[]): Uint8Array {
  const pushes = keys.flatMap((key, i) => [sized(key), u8(i === 0 ? OP_CHECKSIG : OP_CHECKSIGADD)]);
  return concat([...pushes, Uint8Array.of(OP_NUMBER + threshold, OP_NUMEQUAL)]);
}

/** What BIP68 takes for a relative lock in blocks: 16 bits. */
const BLOCKS_MAX = 0xffff;

/** Miniscript's `and_v(v:pk(key),older(blocks))`: one signature, of a coin that has rested. */
export function timelockLeaf(key: Uint8Array, blocks: number): Uint8Array {
  if (!Number.isInteger(blocks) || blocks < 1 || blocks > BLOCKS_MAX) {
    throw new RangeError(`${blocks} is no relative lock in blocks`);
  }
  const verify = [sized(key), u8(OP_CHECKSIGVERIFY)];
  return concat([...verify, numberPush(blocks), u8(OP_CHECKSEQUENCEVERIFY)]);
}

/** The shortest push of a positive number: little-endian, the top bit of the last byte its sign. */
function numberPush(value: number): Uint8Array {
  if (value <= 16) return u8(OP_NUMBER + value);
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.push(rest % 256);
  if ((bytes.at(-1) ?? 0) >= 0x80) bytes.push(0);
  return sized(Uint8Array.from(bytes));
}

export function leafHashOf(script: Uint8Array): Uint8Array {
  return taggedHash("TapLeaf", u8(LEAF_VERSION), sized(script));
}

/** The hash over two subtrees, which have no order of their own (BIP341). */
export function branchHash(one: Uint8Array, other: Uint8Array): Uint8Array {
  return taggedHash("TapBranch", ...[one, other].sort(compare));
}

/** OUT_TAP_TREE of one leaf, or of two side by side (BIP371). */
export function tapTree(leaf: Uint8Array, other?: Uint8Array): Uint8Array {
  const leaves = other === undefined ? [leaf] : [leaf, other];
  const depth = u8(leaves.length - 1);
  return concat(leaves.flatMap((script) => [depth, u8(LEAF_VERSION), sized(script)]));
}

/**
 * The Merkle root of OUT_TAP_TREE: depth, leaf version and script of each leaf in depth-first order
 * (BIP371). The gate has checked that the leaves make one complete tree.
 */
export function tapTreeRoot(tree: Uint8Array): Uint8Array {
  const r = reader(tree);
  const open: { depth: number; hash: Uint8Array }[] = [];
  while (r.left() > 0) {
    let depth = r.u8();
    let hash = taggedHash("TapLeaf", u8(r.u8()), sized(r.sized()));
    for (let left = open.at(-1); left !== undefined && left.depth === depth; left = open.at(-1)) {
      hash = branchHash(left.hash, hash);
      depth -= 1;
      open.pop();
    }
    open.push({ depth, hash });
  }
  const root = open[0];
  if (root === undefined) throw new RangeError("a tree without leaves has no root");
  return root.hash;
}

export interface TaprootOutput {
  /** The scriptPubKey: OP_1 and the output key. */
  readonly script: Uint8Array;
  /** Of the leaf that `path` leads up from; without a path, of the only leaf. */
  readonly controlBlock: Uint8Array;
}

/**
 * The output that commits to `merkleRoot` under the internal key (BIP341 taproot_tweak_pubkey).
 * `path` are the hashes beside a leaf on its way up to the root.
 */
export function taprootOutput(
  internalKey: Uint8Array,
  merkleRoot: Uint8Array,
  path: readonly Uint8Array[] = [],
): TaprootOutput {
  const tweak = taggedHash("TapTweak", internalKey, merkleRoot);
  // lift_x: the even one of the two points. Faster than the library's own tweak, see childrenOf.
  const even = concat([Uint8Array.of(0x02), internalKey]);
  const multiple = ecc.isPrivate(tweak) ? ecc.pointFromScalar(tweak, false) : null;
  const tweaked = multiple === null ? null : ecc.pointAdd(even, multiple, true);
  if (tweaked === null) throw new RangeError("internal key and root make no output key");
  const parity = (tweaked[0] ?? 0) & 1;
  return {
    script: concat([Uint8Array.of(0x51, 0x20), tweaked.subarray(1)]),
    controlBlock: concat([u8(LEAF_VERSION | parity), internalKey, ...path]),
  };
}

/** The address that pays a script on a network, or null where there is none that we know. */
export function addressOf(script: Uint8Array, network: Network): string | null {
  // The library would give a future witness version an address, with a warning on the console.
  const type = scriptTypeOf(script);
  if (type === "unknown" || type === "op-return") return null;
  // What is no point on the curve can be paid and never spent.
  if (type === "p2tr" && !ecc.isXOnlyPoint(script.subarray(2))) return null;
  const parameters = PARAMETERS[network].addresses;
  // The library tries every form and throws its way to the right one: 0.1 ms for a Taproot output.
  if (type === "p2tr" || type === "p2wpkh" || type === "p2wsh") {
    return addresses.toBech32(script.subarray(2), type === "p2tr" ? 1 : 0, parameters.bech32);
  }
  try {
    return addresses.fromOutputScript(script, parameters);
  } catch {
    return null;
  }
}

/** The script that an address pays, or null when it is no address of this network (BIP173/350). */
export function scriptOf(address: string, network: Network): Uint8Array | null {
  if (isFutureWitness(address)) return null;
  try {
    return addresses.toOutputScript(address, PARAMETERS[network].addresses);
  } catch {
    return null;
  }
}

/** A witness version from 2 on: nobody can say yet who may spend it. */
function isFutureWitness(address: string): boolean {
  const words = (bech32m.decodeUnsafe(address) ?? bech32.decodeUnsafe(address))?.words;
  return words !== undefined && (words[0] ?? 0) > 1;
}
