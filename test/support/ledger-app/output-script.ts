/** The script of an address: keys fetched one by one as the app does, leaves, tree, output key. */
import { sha256 } from "@noble/hashes/sha2.js";
import { HDKey } from "@scure/bip32";
import { keyAggregate, sortKeys } from "@scure/btc-signer/musig2.js";
import { Script as Codec, type ScriptType } from "@scure/btc-signer/script.js";
import {
  compareBytes,
  concatBytes,
  hash160,
  tagSchnorr,
  taprootTweakPubkey,
} from "@scure/btc-signer/utils.js";
import { varint } from "./reader.ts";
import { refuse, STATUS } from "./status.ts";
import type { KeyExpression, Multi, Script, Template, Tree } from "./template.ts";

/** Where an address lies: the receiving or the change branch of each key, and the index. */
export interface Place {
  readonly change: boolean;
  readonly index: number;
}

/** Fetches a key of the policy and gives its extended public key. */
export type Xpub = (index: number) => Promise<HDKey>;

/** Version of all leaves (BIP342). */
const LEAF_VERSION = 0xc0;

/** BIP328: the chain code of aggregates. */
const AGGREGATE_CHAIN_CODE = sha256(Buffer.from("MuSig2MuSig2MuSig2"));

export async function outputScript(
  xpub: Xpub,
  { template, place }: { readonly template: Template; readonly place: Place },
): Promise<Uint8Array> {
  const key = (expression: KeyExpression): Promise<Uint8Array> => child(xpub, expression, place);
  switch (template.kind) {
    case "tr": {
      const internal = (await key(template.internal)).subarray(1);
      const root =
        template.tree === null ? new Uint8Array() : await treeHash(xpub, template.tree, place);
      return Codec.encode([1, taprootTweakPubkey(internal, root)[0]]);
    }
    case "wsh":
      return Codec.encode([0, sha256(Codec.encode(await multiParts(xpub, template.multi, place)))]);
    case "pkh":
      return Codec.encode([
        "DUP",
        "HASH160",
        hash160(await key(template.key)),
        "EQUALVERIFY",
        "CHECKSIG",
      ]);
    case "wpkh":
      return Codec.encode([0, hash160(await key(template.key))]);
    case "sh-wpkh": {
      const inner = Codec.encode([0, hash160(await key(template.key))]);
      return Codec.encode(["HASH160", hash160(inner), "EQUAL"]);
    }
  }
}

export async function treeHash(xpub: Xpub, tree: Tree, place: Place): Promise<Uint8Array> {
  if (tree.kind === "leaf") return leafHash(await leafScript(xpub, tree.script, place));
  const left = await treeHash(xpub, tree.left, place);
  const right = await treeHash(xpub, tree.right, place);
  return tagSchnorr("TapBranch", ...[left, right].sort(compareBytes));
}

export function leafHash(script: Uint8Array): Uint8Array {
  return tagSchnorr(
    "TapLeaf",
    concatBytes(Uint8Array.of(LEAF_VERSION), varint(script.length), script),
  );
}

/** Built twice over fetched keys, as the app does: once for the length, once for the hash. */
export async function leafScript(xpub: Xpub, script: Script, place: Place): Promise<Uint8Array> {
  await scriptParts(xpub, script, place);
  return Codec.encode(await scriptParts(xpub, script, place));
}

async function scriptParts(xpub: Xpub, script: Script, place: Place): Promise<ScriptType> {
  const parts = (inner: Script): Promise<ScriptType> => scriptParts(xpub, inner, place);
  switch (script.kind) {
    case "pk":
      return [(await child(xpub, script.key, place)).subarray(1), "CHECKSIG"];
    case "pkh": {
      const key = (await child(xpub, script.key, place)).subarray(1);
      return ["DUP", "HASH160", hash160(key), "EQUALVERIFY", "CHECKSIG"];
    }
    case "multi":
      return multiParts(xpub, script, place);
    case "older":
      return [script.value, "CHECKSEQUENCEVERIFY"];
    case "after":
      return [script.value, "CHECKLOCKTIMEVERIFY"];
    case "hash": {
      const op = script.name.toUpperCase() as "SHA256" | "HASH256" | "RIPEMD160" | "HASH160";
      return ["SIZE", Uint8Array.of(32), "EQUALVERIFY", op, script.digest, "EQUAL"];
    }
    case "verify":
      return verified(await parts(script.of));
    case "and_v":
    case "or_d":
    case "or_i":
    case "andor":
      return joined(script.kind, await inOrder(script.of, parts));
  }
}

function joined(
  kind: "and_v" | "or_d" | "or_i" | "andor",
  [first = [], second = [], third = []]: readonly ScriptType[],
): ScriptType {
  switch (kind) {
    case "and_v":
      return [...first, ...second];
    case "or_d":
      return [...first, "IFDUP", "NOTIF", ...second, "ENDIF"];
    case "or_i":
      return ["IF", ...first, "ELSE", ...second, "ENDIF"];
    case "andor":
      return [...first, "NOTIF", ...third, "ELSE", ...second, "ENDIF"];
  }
}

/** The last operation has a form that verifies, or VERIFY follows it. */
function verified(parts: ScriptType): ScriptType {
  const last = parts.at(-1);
  const before = parts.slice(0, -1);
  switch (last) {
    case "CHECKSIG":
      return [...before, "CHECKSIGVERIFY"];
    case "EQUAL":
      return [...before, "EQUALVERIFY"];
    case "NUMEQUAL":
      return [...before, "NUMEQUALVERIFY"];
    default:
      return [...parts, "VERIFY"];
  }
}

async function multiParts(xpub: Xpub, multi: Multi, place: Place): Promise<ScriptType> {
  const tap = multi.name.endsWith("_a");
  const key = async (expression: KeyExpression): Promise<Uint8Array> =>
    (await child(xpub, expression, place)).subarray(tap ? 1 : 0);
  const keys = multi.name.startsWith("sorted")
    ? await selected(multi.keys, key)
    : await inOrder(multi.keys, key);
  if (!tap) return [multi.threshold, ...keys, keys.length, "CHECKMULTISIG"];
  const checks = keys.flatMap((pubkey, i) => [
    pubkey,
    i === 0 ? ("CHECKSIG" as const) : ("CHECKSIGADD" as const),
  ]);
  return [...checks, multi.threshold, "NUMEQUAL"];
}

/** Sorted without room for all keys: the app fetches those that are left to find the next one. */
async function selected(
  expressions: readonly KeyExpression[],
  key: (expression: KeyExpression) => Promise<Uint8Array>,
): Promise<Uint8Array[]> {
  const sorted: Uint8Array[] = [];
  for (let left = [...expressions]; left.length > 0; ) {
    const keys = await inOrder(left, key);
    const [next] = [...keys].sort(compareBytes);
    if (next === undefined) break;
    sorted.push(next);
    left = left.filter((_, i) => i !== keys.indexOf(next));
  }
  return sorted;
}

/** A child of the key, compressed; aggregates are made of the unsorted list's sorted keys. */
async function child(
  xpub: Xpub,
  { kind, indexes, branches }: KeyExpression,
  { change, index }: Place,
): Promise<Uint8Array> {
  const keys = await inOrder(indexes, xpub);
  const parent = kind === "key" ? keys[0] : aggregate(keys);
  if (parent === undefined) return refuse(STATUS.badState);
  return childKey(parent, [branches[change ? 1 : 0], index]);
}

/** BIP327 and BIP328: an extended key over the aggregate of the participants' own keys. */
function aggregate(keys: readonly HDKey[]): HDKey {
  const points = keys.map(({ publicKey }) => publicKey ?? refuse(STATUS.badState));
  const [first] = keys;
  if (first === undefined) return refuse(STATUS.badState);
  return new HDKey({
    versions: first.versions,
    chainCode: AGGREGATE_CHAIN_CODE,
    publicKey: keyAggregate(sortKeys(points)).aggPublicKey.toBytes(true),
  });
}

/** Derived again for every input of a transaction, so remembered. */
const children = new Map<string, Uint8Array>();
const CHILDREN_MAX = 10_000;

function childKey(parent: HDKey, path: readonly number[]): Uint8Array {
  const name = `${parent.publicExtendedKey}/${path.join("/")}`;
  const known = children.get(name);
  if (known !== undefined) return known;
  const key = path.reduce((node, step) => node.deriveChild(step), parent).publicKey;
  if (!key) return refuse(STATUS.badState);
  if (children.size >= CHILDREN_MAX) children.clear();
  children.set(name, key);
  return key;
}

/** One after the other: the client answers one question at a time. */
async function inOrder<T, R>(list: readonly T[], of: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of list) results.push(await of(item));
  return results;
}
