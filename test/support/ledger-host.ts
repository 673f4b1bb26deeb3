/**
 * The client's side of Ledger's protocol, for tests: holds lists and preimages, answers what the
 * app asks, and can be made to answer wrongly. Written from the protocol alone, so that it is a
 * second opinion on `ledger-app/`.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { hex } from "@scure/base";
import { compareBytes, concatBytes } from "@scure/btc-signer/utils.js";
import { compactSize, hostOf, type Knowledge, merkleRoot } from "./ledger-knowledge.ts";

export type Exchange = (apdu: Uint8Array) => Promise<Uint8Array>;

/** Bends a reply; `question` is the app's client command. */
export type Bend = (reply: Uint8Array, question: Uint8Array) => Uint8Array;

export interface Reply {
  readonly status: number;
  /** What stood before the status word. */
  readonly data: Uint8Array;
  readonly yielded: readonly Uint8Array[];
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
function policyBytes({ name, template, keys }: PolicyText): Uint8Array {
  return concatBytes(
    Uint8Array.of(2, name.length),
    ascii(name),
    compactSize(template.length),
    sha256(ascii(template)),
    compactSize(keys.length),
    merkleRoot(keys.map(ascii)),
  );
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "latin1"));
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

function big32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}
