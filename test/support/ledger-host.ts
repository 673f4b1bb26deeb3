/**
 * The client's side of Ledger's protocol, for tests: holds lists and preimages, answers what the
 * app asks, and can be made to answer wrongly. Written from the protocol alone, so that it is a
 * second opinion on `ledger-app/`.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { hex } from "@scure/base";
import { compareBytes, concatBytes } from "@scure/btc-signer/utils.js";

export type Exchange = (apdu: Uint8Array) => Promise<Uint8Array>;

/** Bends a reply; `question` is the app's client command. */
export type Bend = (reply: Uint8Array, question: Uint8Array) => Uint8Array;

export interface Reply {
  readonly status: number;
  /** What stood before the status word. */
  readonly data: Uint8Array;
  readonly yielded: readonly Uint8Array[];
}

/** Everything that the app may ask for. */
export interface Knowledge {
  readonly lists: readonly (readonly Uint8Array[])[];
  readonly preimages: readonly Uint8Array[];
}

export interface PolicyText {
  readonly name: string;
  readonly template: string;
  readonly keys: readonly string[];
}

/** A map of a PSBT: keys in hex, with their type, and values. */
export type PsbtMap = ReadonlyMap<string, Uint8Array>;

export interface PsbtMaps {
  readonly global: PsbtMap;
  readonly inputs: readonly PsbtMap[];
  readonly outputs: readonly PsbtMap[];
}

const NOTHING: Knowledge = { lists: [], preimages: [] };
const INTERRUPTED = 0xe000;
const PROOF_MAX = 6;

/** Runs one command to its end. */
export async function run(
  exchange: Exchange,
  command: { readonly ins: number; readonly data: Uint8Array },
  { known = NOTHING, bend }: { readonly known?: Knowledge; readonly bend?: Bend | undefined } = {},
): Promise<Reply> {
  const host = hostOf(known);
  let answer = await exchange(apdu([0xe1, command.ins, 0, 1], command.data));
  while (statusOf(answer) === INTERRUPTED) {
    const question = answer.subarray(0, -2);
    const honest = host.answer(question);
    answer = await exchange(apdu([0xf8, 1, 0, 0], bend?.(honest, question) ?? honest));
  }
  return { status: statusOf(answer), data: answer.subarray(0, -2), yielded: host.yielded };
}

export function apdu(header: readonly number[], data: Uint8Array = new Uint8Array()): Uint8Array {
  return Uint8Array.from([...header, data.length, ...data]);
}

export function statusOf(answer: Uint8Array): number {
  const [high = 0, low = 0] = answer.subarray(-2);
  return high * 256 + low;
}

/** REGISTER_WALLET; the data of the answer is id and HMAC. */
export function register(exchange: Exchange, policy: PolicyText, bend?: Bend): Promise<Reply> {
  const bytes = policyBytes(policy);
  const data = concatBytes(compactSize(bytes.length), bytes);
  return run(exchange, { ins: 0x02, data }, { known: policyKnowledge(policy), bend });
}

export interface AddressRequest {
  readonly policy: PolicyText;
  readonly hmac: Uint8Array;
  readonly display?: number;
  readonly change?: number;
  readonly index?: number;
}

/** GET_WALLET_ADDRESS; the data of the answer is the address. */
export function address(
  exchange: Exchange,
  { policy, hmac, display = 0, change = 0, index = 0 }: AddressRequest,
  bend?: Bend,
): Promise<Reply> {
  const data = concatBytes(
    Uint8Array.of(display),
    sha256(policyBytes(policy)),
    hmac,
    Uint8Array.of(change),
    big32(index),
  );
  return run(exchange, { ins: 0x03, data }, { known: policyKnowledge(policy), bend });
}

export interface SignRequest {
  readonly policy: PolicyText;
  readonly hmac: Uint8Array;
  readonly psbt: PsbtMaps;
  /** Puts a map's keys in order; a client that lies has another. */
  readonly order?: (keys: Uint8Array[]) => Uint8Array[];
}

/** SIGN_PSBT; results are in `yielded`. */
export function sign(exchange: Exchange, request: SignRequest, bend?: Bend): Promise<Reply> {
  const { policy, hmac, psbt, order = sorted } = request;
  const commit = (map: PsbtMap): Committed => committed(map, order);
  const [global, inputs, outputs] = [
    commit(psbt.global),
    psbt.inputs.map(commit),
    psbt.outputs.map(commit),
  ];
  const inputCommitments = inputs.map(({ commitment }) => commitment);
  const outputCommitments = outputs.map(({ commitment }) => commitment);
  const data = concatBytes(
    global.commitment,
    compactSize(inputs.length),
    merkleRoot(inputCommitments),
    compactSize(outputs.length),
    merkleRoot(outputCommitments),
    sha256(policyBytes(policy)),
    hmac,
  );
  const { preimages, lists } = policyKnowledge(policy);
  const known = {
    preimages,
    lists: [
      ...lists,
      inputCommitments,
      outputCommitments,
      ...[global, ...inputs, ...outputs].flatMap((map) => [map.keys, map.values]),
    ],
  };
  return run(exchange, { ins: 0x04, data }, { known, bend });
}

/** SIGN_MESSAGE; the data of the answer is the signature. */
export function signMessage(
  exchange: Exchange,
  request: { readonly path: readonly number[]; readonly message: Uint8Array },
  bend?: Bend,
): Promise<Reply> {
  const { path, message } = request;
  const chunks = Array.from({ length: Math.ceil(message.length / 64) }, (_, i) =>
    message.subarray(64 * i, 64 * i + 64),
  );
  const data = concatBytes(pathBytes(path), compactSize(message.length), merkleRoot(chunks));
  return run(exchange, { ins: 0x10, data }, { known: { lists: [chunks], preimages: [] }, bend });
}

export function pathBytes(path: readonly number[]): Uint8Array {
  return concatBytes(Uint8Array.of(path.length), ...path.map(big32));
}

/** BIP388 policy in Ledger's second format, template and keys by their hashes. */
export function policyBytes({ name, template, keys }: PolicyText): Uint8Array {
  return concatBytes(
    Uint8Array.of(2, name.length),
    ascii(name),
    compactSize(template.length),
    sha256(ascii(template)),
    compactSize(keys.length),
    merkleRoot(keys.map(ascii)),
  );
}

export function compactSize(value: number): Uint8Array {
  if (value < 0xfd) return Uint8Array.of(value);
  return Uint8Array.of(0xfd, value & 0xff, value >> 8);
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "latin1"));
}

/** RFC 6962's tree; the empty list has a root of zeros here. */
export function merkleRoot(list: readonly Uint8Array[]): Uint8Array {
  return list.length === 0 ? new Uint8Array(32) : rootOfHashes(list.map(leafHash));
}

interface Committed {
  readonly keys: readonly Uint8Array[];
  readonly values: readonly Uint8Array[];
  readonly commitment: Uint8Array;
}

function committed(map: PsbtMap, order: (keys: Uint8Array[]) => Uint8Array[]): Committed {
  const keys = order([...map.keys()].map((key) => hex.decode(key)));
  const values = keys.map((key) => map.get(hex.encode(key)) ?? new Uint8Array());
  const commitment = concatBytes(compactSize(keys.length), merkleRoot(keys), merkleRoot(values));
  return { keys, values, commitment };
}

function sorted(keys: Uint8Array[]): Uint8Array[] {
  return [...keys].sort(compareBytes);
}

function policyKnowledge(policy: PolicyText): Knowledge {
  return {
    lists: [policy.keys.map(ascii)],
    preimages: [policyBytes(policy), ascii(policy.template)],
  };
}

interface Host {
  answer(question: Uint8Array): Uint8Array;
  readonly yielded: Uint8Array[];
}

function hostOf({ lists, preimages }: Knowledge): Host {
  const trees = new Map(lists.map((list) => [hex.encode(merkleRoot(list)), list.map(leafHash)]));
  const leaves = lists.flat().map((leaf) => concatBytes(Uint8Array.of(0), leaf));
  const known = new Map(
    [...preimages, ...leaves].map((bytes) => [hex.encode(sha256(bytes)), bytes]),
  );
  const yielded: Uint8Array[] = [];
  let queue: Uint8Array[] = [];

  const treeAt = (root: Uint8Array): readonly Uint8Array[] => {
    const tree = trees.get(hex.encode(root));
    if (tree === undefined) throw new Error("the app asks for a list that the client has not");
    return tree;
  };

  const preimageOf = (hash: Uint8Array): Uint8Array => {
    const bytes = known.get(hex.encode(hash));
    if (bytes === undefined) throw new Error("the app asks for a preimage that the client has not");
    const length = compactSize(bytes.length);
    const first = Math.min(255 - length.length - 1, bytes.length);
    queue = Array.from(bytes.subarray(first), (byte) => Uint8Array.of(byte));
    return concatBytes(length, Uint8Array.of(first), bytes.subarray(0, first));
  };

  const proofOf = (rest: Uint8Array): Uint8Array => {
    const tree = treeAt(rest.subarray(0, 32));
    const [size, after] = readCompact(rest.subarray(32));
    const [index] = readCompact(after);
    const proof = merkleProof(tree, index);
    if (size !== tree.length) throw new Error("the app thinks of a list of another size");
    queue = proof.slice(PROOF_MAX);
    const now = proof.slice(0, PROOF_MAX);
    return concatBytes(
      tree[index] ?? new Uint8Array(),
      Uint8Array.of(proof.length, now.length),
      ...now,
    );
  };

  const more = (): Uint8Array => {
    const size = queue[0]?.length ?? 0;
    const now = queue.splice(0, size === 0 ? 0 : Math.floor(253 / size));
    return concatBytes(Uint8Array.of(now.length, size), ...now);
  };

  return {
    yielded,
    answer: (question) => {
      const rest = question.subarray(1);
      switch (question[0]) {
        case 0x10:
          yielded.push(rest);
          return new Uint8Array();
        case 0x40:
          return preimageOf(rest.subarray(1));
        case 0x41:
          return proofOf(rest);
        case 0x42: {
          const sought = hex.encode(rest.subarray(32));
          const at = treeAt(rest.subarray(0, 32)).findIndex((hash) => hex.encode(hash) === sought);
          return concatBytes(Uint8Array.of(at < 0 ? 0 : 1), compactSize(Math.max(0, at)));
        }
        case 0xa0:
          return more();
        default:
          throw new Error(`the app asks something unknown: ${hex.encode(question)}`);
      }
    },
  };
}

function leafHash(leaf: Uint8Array): Uint8Array {
  return sha256(concatBytes(Uint8Array.of(0), leaf));
}

function rootOfHashes(hashes: readonly Uint8Array[]): Uint8Array {
  const [only] = hashes;
  if (hashes.length === 1 && only !== undefined) return only;
  const split = splitOf(hashes.length);
  const [left, right] = [hashes.slice(0, split), hashes.slice(split)];
  return sha256(concatBytes(Uint8Array.of(1), rootOfHashes(left), rootOfHashes(right)));
}

/** Siblings from the leaf upwards. */
function merkleProof(hashes: readonly Uint8Array[], index: number): Uint8Array[] {
  if (hashes.length <= 1) return [];
  const split = splitOf(hashes.length);
  const [left, right] = [hashes.slice(0, split), hashes.slice(split)];
  return index < split
    ? [...merkleProof(left, index), rootOfHashes(right)]
    : [...merkleProof(right, index - split), rootOfHashes(left)];
}

/** The largest power of two below the number. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

function readCompact(bytes: Uint8Array): [value: number, rest: Uint8Array] {
  const [first = 0, low = 0, high = 0] = bytes;
  return first < 0xfd ? [first, bytes.subarray(1)] : [low + 256 * high, bytes.subarray(3)];
}

function big32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}
