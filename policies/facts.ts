/**
 * What a PSBT does: computed from its bytes and the registered vaults, never believed. A PSBT's own
 * words about keys, leaves and paths serve as hints to where to look; what decides is the script
 * that the vault recomputes. Where words and recomputation differ, the difference is a `Lie`.
 *
 * This is where the curve work is (derivation, signatures): it runs off the main thread.
 */
import * as ecc from "tiny-secp256k1";
import { hex, taggedHash } from "./bitcoin/hash.ts";
import type { Psbt } from "./bitcoin/psbt.ts";
import { fieldsOf, IN, OUT, type PsbtMap, valueOf } from "./bitcoin/psbt-fields.ts";
import { verifies } from "./bitcoin/schnorr.ts";
import { type ScriptType, scriptTypeOf } from "./bitcoin/script-type.ts";
import { type Midstates, midstates, SIGHASH_DEFAULT, taprootSighash } from "./bitcoin/sighash.ts";
import { addressOf } from "./bitcoin/taproot.ts";
import {
  outpoint,
  outputSum,
  shown,
  type Tx,
  type TxInput,
  type TxOutput,
  txidOf,
  writeUnsignedTx,
} from "./bitcoin/transaction.ts";
import { concat, equal, reader, sized, u8, u64 } from "./bitcoin/wire.ts";
import { foreignOutputLies, inputLies, type Lie, ownOutputLies, readUtxo } from "./lies.ts";
import { type Found, locator } from "./locate.ts";
import { type Branch, type Role, THRESHOLD, type VaultKind } from "./vault.ts";
import type { VaultScript, VaultScripts } from "./vault-scripts.ts";

export interface SpendFacts {
  readonly txid: string;
  /** 32 bytes in hex over the unsigned transaction and every output that it spends: what approvals are bound to. */
  readonly spendHash: string;
  readonly psbtVersion: 0 | 2;
  readonly version: number;
  readonly locktime: number;
  readonly locktimeDetermined: boolean;
  readonly inputs: readonly InputFacts[];
  readonly outputs: readonly OutputFacts[];
  /** Null where an amount is missing or no amount of sats. */
  readonly inputSats: bigint | null;
  readonly outputSats: bigint | null;
  /** Inputs less outputs: negative when more is paid out than comes in. */
  readonly feeSats: bigint | null;
  /** What leaves all registered vaults, without the fee. */
  readonly externalSats: bigint;
  /** Size of the finished transaction by the vaults' own witness, whatever the PSBT says. */
  readonly vbytes: number;
}

/** An address of a registered vault, found by recomputing its script. */
export interface Coin {
  readonly vault: string;
  readonly kind: VaultKind;
  readonly branch: Branch;
  readonly index: number;
  /** Blocks of rest after which the user may take it alone; null where nobody may. */
  readonly exitBlocks: number | null;
}

/** Fields that a Taproot multisig spend to be co-signed has no use for. */
export type Burden = "final" | "key-path-signature" | "legacy" | "musig" | "hash-preimage";

export interface InputFacts {
  readonly outpoint: string;
  readonly sequence: number;
  readonly coin: Coin | null;
  /** From WITNESS_UTXO; null when there is none. */
  readonly sats: bigint | null;
  readonly script: Uint8Array | null;
  /** As declared; null when the field is absent. */
  readonly sighashType: number | null;
  readonly lies: readonly Lie[];
  readonly burdens: readonly Burden[];
  readonly signatures: readonly SignatureFacts[];
  /** What each holder's key would sign; null for a foreign input or when amounts are missing. */
  readonly signing: SigningFacts | null;
}

export interface SignatureFacts {
  /** Whose key it is; null for a key that the vault does not have. */
  readonly role: Role | null;
  readonly valid: boolean;
  readonly detail: string;
}

export interface SigningFacts {
  readonly sighash: Uint8Array;
  readonly leafHash: Uint8Array;
  readonly keys: VaultScript["keys"];
}

export interface OutputFacts {
  readonly sats: bigint;
  readonly script: Uint8Array;
  /** For people; null when the script has no address, or no vault tells the network. */
  readonly address: string | null;
  readonly scriptType: ScriptType;
  readonly coin: Coin | null;
  readonly lies: readonly Lie[];
}

/** Inputs from `first` up to, not including, `end`. */
export interface Part {
  readonly first: number;
  readonly end: number;
}

/**
 * The facts of one PSBT whose signatures were verified in parts, each by another thread: every input
 * comes from the part that it lies in.
 */
export function joinFacts(parts: readonly (Part & { readonly facts: SpendFacts })[]): SpendFacts {
  const [one] = parts;
  if (one === undefined) throw new RangeError("no parts");
  return {
    ...one.facts,
    inputs: one.facts.inputs.map((_, i) => {
      const input = parts.find(({ first, end }) => i >= first && i < end)?.facts.inputs[i];
      if (input === undefined) throw new RangeError(`no part holds input ${i}`);
      return input;
    }),
  };
}

const ALL: Part = { first: 0, end: Number.POSITIVE_INFINITY };

/**
 * Facts of a PSBT, with `vaults` the registered vaults that it may touch. The first one's network
 * writes the addresses.
 */
export function spendFacts(
  psbt: Psbt,
  vaults: readonly VaultScripts[],
  { first, end }: Part = ALL,
): SpendFacts {
  const { tx } = psbt;
  const locate = locator(vaults);
  const network = vaults[0]?.vault.network;

  const utxos = psbt.inputs.map((map, i) => readUtxo(map, tx.inputs[i]?.vout ?? 0));
  const spent = utxos.map(({ output }) => output);
  const complete = spent.every((output): output is TxOutput => output !== null);
  const states = complete ? midstates(tx, spent) : null;

  const inputs = psbt.inputs.map((map, i) => {
    const txInput = tx.inputs[i];
    const utxo = utxos[i];
    if (txInput === undefined || utxo === undefined) throw new RangeError(`no input ${i}`);
    const { output } = utxo;
    const found = output === null ? null : locate(output.script, map, IN.TAP_BIP32_DERIVATION);
    const facts =
      found === null
        ? FOREIGN
        : ownInput(map, found, signingOf(tx, states, i, found), i >= first && i < end);
    return { ...commonInput(map, txInput, output), ...facts, lies: [...utxo.lies, ...facts.lies] };
  });

  const outputs = tx.outputs.map((output, i): OutputFacts => {
    const map = psbt.outputs[i] ?? [];
    const found = locate(output.script, map, OUT.TAP_BIP32_DERIVATION);
    return {
      sats: output.sats,
      script: output.script,
      address: network === undefined ? null : addressOf(output.script, network),
      scriptType: spendableType(output.script),
      coin: found === null ? null : coinOf(found),
      lies:
        found === null ? foreignOutputLies(map, output.script, vaults) : ownOutputLies(map, found),
    };
  });

  const inputSats = complete ? outputSum(spent) : null;
  const outputSats = outputSum(tx.outputs);
  const external = outputs.filter(({ coin }) => coin === null);
  return {
    txid: shown(txidOf(tx)),
    spendHash: spendHashOf(tx, spent),
    psbtVersion: psbt.version,
    version: tx.version,
    locktime: tx.locktime,
    locktimeDetermined: psbt.locktimeDetermined,
    inputs,
    outputs,
    inputSats,
    outputSats,
    feeSats: inputSats === null || outputSats === null ? null : inputSats - outputSats,
    externalSats: external.reduce((sum, output) => sum + output.sats, 0n),
    vbytes: finishedVbytes(
      tx.inputs.length,
      tx.outputs,
      inputs.filter(({ coin }) => coin !== null && coin.exitBlocks !== null).length,
    ),
  };
}

/** The hash alone, for who needs no other fact. */
export function spendHash(psbt: Psbt): string {
  const { tx } = psbt;
  const spent = psbt.inputs.map((map, i) => readUtxo(map, tx.inputs[i]?.vout ?? 0).output);
  return spendHashOf(tx, spent);
}

/** Signatures and hints in a PSBT do not change it; amounts and scripts of the coins do. */
function spendHashOf(tx: Tx, spent: readonly (TxOutput | null)[]): string {
  const coins = spent.map((output) =>
    output === null ? u8(0) : concat([u8(1), u64(output.sats), sized(output.script)]),
  );
  return hex(taggedHash("ballast/spend@1", sized(writeUnsignedTx(tx)), ...coins));
}

/** A Taproot output whose key is no point on the curve pays nobody, ever. */
function spendableType(script: Uint8Array): ScriptType {
  const type = scriptTypeOf(script);
  return type === "p2tr" && !ecc.isXOnlyPoint(script.subarray(2)) ? "unknown" : type;
}

type CommonInput = Pick<
  InputFacts,
  "outpoint" | "sequence" | "sats" | "script" | "sighashType" | "burdens"
>;
type OwnInput = Pick<InputFacts, "coin" | "lies" | "signatures" | "signing">;

/** What can be said of any input, ours or not. */
function commonInput(map: PsbtMap, input: TxInput, output: TxOutput | null): CommonInput {
  const type = valueOf(map, IN.SIGHASH_TYPE);
  return {
    outpoint: outpoint(input),
    sequence: input.sequence,
    sats: output?.sats ?? null,
    script: output?.script ?? null,
    sighashType: type === undefined ? null : reader(type).u32(),
    burdens: burdensOf(map),
  };
}

const FOREIGN: OwnInput = { coin: null, lies: [], signatures: [], signing: null };

function ownInput(
  map: PsbtMap,
  found: Found,
  signing: SigningFacts | null,
  verifying: boolean,
): OwnInput {
  return {
    coin: coinOf(found),
    lies: inputLies(map, found),
    signatures: signaturesOf(
      map,
      found.script,
      verifying ? (signing?.sighash ?? null) : "elsewhere",
    ),
    signing,
  };
}

/** Null where an amount is missing: a Taproot signature commits to all of them. */
function signingOf(
  tx: Tx,
  states: Midstates | null,
  input: number,
  { script }: Found,
): SigningFacts | null {
  if (states === null) return null;
  const { leafHash, keys } = script;
  const sighash = taprootSighash({ tx, midstates: states, input, type: SIGHASH_DEFAULT, leafHash });
  return { sighash, leafHash, keys };
}

/** Witness of `sortedmulti_a(2, three keys)`: two signatures, an empty element, leaf, control. */
const INPUT_WITNESS_WEIGHT = 1 + THRESHOLD * 65 + 1 + (1 + 104) + (1 + 33);
/** Where an exit stands beside that leaf, its hash is in the control block. */
const SIBLING_WEIGHT = 32;
const INPUT_BASE_BYTES = 41;

/**
 * Virtual bytes of the finished spend, rounded up: a lying PSBT cannot change it (attacks.md 21).
 * `exits` of the inputs are coins of a `multi+exit` vault.
 */
export function finishedVbytes(
  inputs: number,
  outputs: readonly { readonly script: Uint8Array }[],
  exits = 0,
): number {
  const outputBytes = outputs.reduce(
    (sum, { script }) => sum + 8 + sizeBytes(script.length) + script.length,
    0,
  );
  const base =
    8 + sizeBytes(inputs) + sizeBytes(outputs.length) + inputs * INPUT_BASE_BYTES + outputBytes;
  const witness = 2 + inputs * INPUT_WITNESS_WEIGHT + exits * SIBLING_WEIGHT;
  return Math.ceil((base * 4 + witness) / 4);
}

function sizeBytes(value: number): number {
  return value < 0xfd ? 1 : 3;
}

function coinOf({ vault, script }: Found): Coin {
  const { branch, index } = script;
  const exitBlocks = vault.exit?.blocks ?? null;
  return { vault: vault.id, kind: vault.kind, branch, index, exitBlocks };
}

const BURDENS: ReadonlyMap<number, Burden> = new Map<number, Burden>([
  [IN.FINAL_SCRIPTSIG, "final"],
  [IN.FINAL_SCRIPTWITNESS, "final"],
  [IN.TAP_KEY_SIG, "key-path-signature"],
  [IN.PARTIAL_SIG, "legacy"],
  [IN.REDEEM_SCRIPT, "legacy"],
  [IN.WITNESS_SCRIPT, "legacy"],
  [IN.BIP32_DERIVATION, "legacy"],
  [IN.MUSIG2_PARTICIPANT_PUBKEYS, "musig"],
  [IN.MUSIG2_PUB_NONCE, "musig"],
  [IN.MUSIG2_PARTIAL_SIG, "musig"],
  [IN.RIPEMD160, "hash-preimage"],
  [IN.SHA256, "hash-preimage"],
  [IN.HASH160, "hash-preimage"],
  [IN.HASH256, "hash-preimage"],
]);

function burdensOf(map: PsbtMap): Burden[] {
  return [...new Set(map.flatMap(({ type }) => BURDENS.get(type) ?? []))];
}

function signaturesOf(
  map: PsbtMap,
  script: VaultScript,
  sighash: Uint8Array | "elsewhere" | null,
): SignatureFacts[] {
  return fieldsOf(map, IN.TAP_SCRIPT_SIG).map(({ keyData, value }) => {
    const key = keyData.subarray(0, 32);
    const role = ownerOf(script, key);
    const bad = (detail: string): SignatureFacts => ({ role, valid: false, detail });
    if (role === null) return bad(`${hex(key)} is no key of the vault`);
    // The exit key signs another leaf, whatever the field says.
    if (isExitKey(script, key) || !equal(keyData.subarray(32), script.leafHash)) {
      return bad(`the ${role}'s signature is for another leaf`);
    }
    // 64 bytes say SIGHASH_DEFAULT; a 65th byte would choose another type.
    if (value.length !== 64)
      return bad(`the ${role}'s signature has ${value.length} bytes, not 64`);
    if (sighash === null)
      return bad(`the ${role}'s signature cannot be checked without all amounts`);
    if (sighash === "elsewhere") return bad(`the ${role}'s signature is checked elsewhere`);
    return verifies({ message: sighash, xOnly: key, signature: value })
      ? { role, valid: true, detail: `signed by the ${role}` }
      : bad(`the ${role}'s signature does not verify over this transaction`);
  });
}

function ownerOf(script: VaultScript, key: Uint8Array): Role | null {
  if (isExitKey(script, key)) return script.exit?.role ?? null;
  return script.keys.find(({ xOnly }) => equal(xOnly, key))?.role ?? null;
}

function isExitKey({ exit }: VaultScript, key: Uint8Array): boolean {
  return exit !== null && equal(exit.xOnly, key);
}
