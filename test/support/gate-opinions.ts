/**
 * What others say of bytes that the gate has let through: @scure/btc-signer of both versions, a real
 * node of v0 (Bitcoin Core and Knots read no v2 before version 31). Nothing may pass the gate that
 * they refuse, but for what stands in `KNOWN`.
 */
import { setImmediate } from "node:timers/promises";
import { base64 } from "@scure/base";
import * as ecc from "tiny-secp256k1";
import { hex } from "../../policies/bitcoin/hash.ts";
import { type Psbt, PsbtFault, readPsbt } from "../../policies/bitcoin/psbt.ts";
import { GLOBAL, IN, OUT, type PsbtField } from "../../policies/bitcoin/psbt-fields.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import { isSats } from "../../policies/money.ts";
import type { Bitcoind } from "../../signer/node/bitcoind.ts";
import { scureObjection } from "./second-opinion.ts";

/** Somebody refuses what the gate has let through. */
export interface Disagreement {
  readonly who: "scure" | "node";
  readonly says: string;
  /** Why the gate may still be right, or null. */
  readonly known: string | null;
  readonly bytes: Uint8Array;
}

interface Known {
  readonly who: readonly Disagreement["who"][];
  readonly says: RegExp;
  readonly only: (psbt: Psbt) => boolean;
  readonly reason: string;
}

const KNOWN: readonly Known[] = [
  {
    who: ["scure", "node"],
    says: /./,
    only: (psbt) => !keysOnCurve(psbt),
    reason:
      "a key is off the curve: the gate does no curve work, and facts find no key of ours in it",
  },
  {
    who: ["scure"],
    says: /witnessUtxo different from nonWitnessUtxo/,
    only: () => true,
    reason: "rule utxo-consistent judges it",
  },
  {
    who: ["scure"],
    says: /sintView/,
    only: () => true,
    reason: "rule tx-version judges it",
  },
  {
    who: ["scure"],
    says: /incompatible height-based and time-based locktime/,
    only: ({ locktimeDetermined }) => !locktimeDetermined,
    reason: "rule locktime-recent judges it",
  },
  {
    who: ["scure"],
    says: /./,
    only: ({ tx }) => tx.outputs.some(({ sats }) => !isSats(sats)),
    reason: "rule amounts-in-range judges it",
  },
  {
    who: ["scure"],
    says: /./,
    only: (psbt) => !leafVersionsAgree(psbt),
    reason: "rule leaf-as-registered judges it",
  },
  {
    who: ["scure"],
    says: /./,
    only: (psbt) => !knowsEveryType(psbt),
    reason: "scure gives meaning to fields of later BIPs, which the gate keeps and does not read",
  },
];

/** The PSBT as the gate reads it; null when it refuses. Anything else thrown is a fault of it. */
export function gateRead(bytes: Uint8Array): Psbt | null {
  try {
    return readPsbt(bytes);
  } catch (error) {
    if (error instanceof PsbtFault) return null;
    throw error;
  }
}

export function scureDisagreement(psbt: Psbt, bytes: Uint8Array): Disagreement | null {
  const says = scureObjection(bytes);
  return says === null ? null : disagreement("scure", says, psbt, bytes);
}

/** Asks the node about all of them at once; those of v2 are left out. */
export async function nodeDisagreements(
  rpc: Bitcoind,
  read: readonly { readonly psbt: Psbt; readonly bytes: Uint8Array }[],
): Promise<{ readonly asked: number; readonly found: readonly Disagreement[] }> {
  const asked = read.filter(({ psbt }) => psbt.version === 0);
  // Whoever made mutants for half a minute has not yet heard that the node closed its connection.
  await setImmediate();
  const answers = await rpc.batch(
    asked.map(({ bytes }) => ({ method: "decodepsbt", params: [base64.encode(bytes)] })),
  );
  const found = asked.flatMap(({ psbt, bytes }, i) => {
    const answer = answers[i];
    if (answer === undefined) throw new Error("the node left a call without an answer");
    if (answer.kind === "result") return [];
    if (answer.error.code !== "rpc") throw answer.error;
    return [disagreement("node", answer.error.message, psbt, bytes)];
  });
  return { asked: asked.length, found };
}

/** In words for a failing test: what was said, and the bytes. */
export function told({ who, says, bytes }: Disagreement): string {
  return `${who}: ${says}: ${hex(bytes)}`;
}

function disagreement(
  who: Disagreement["who"],
  says: string,
  psbt: Psbt,
  bytes: Uint8Array,
): Disagreement {
  const known = KNOWN.find((one) => one.who.includes(who) && one.says.test(says) && one.only(psbt));
  return { who, says, bytes, known: known?.reason ?? null };
}

function leafVersionsAgree({ inputs }: Psbt): boolean {
  return inputs
    .flat()
    .filter(({ type }) => type === IN.TAP_LEAF_SCRIPT)
    .every(({ keyData, value }) => value.at(-1) === ((keyData[0] ?? 0) & 0xfe));
}

function knowsEveryType({ global, inputs, outputs }: Psbt): boolean {
  const known = (map: readonly PsbtField[], types: Readonly<Record<string, number>>) =>
    map.every(({ type }) => Object.values(types).includes(type) || type >= 0x40);
  return (
    known(global, GLOBAL) &&
    inputs.every((map) => known(map, IN)) &&
    outputs.every((map) => known(map, OUT))
  );
}

function keysOnCurve({ global, inputs, outputs }: Psbt): boolean {
  const keys = [
    ...global.flatMap(({ type, keyData }) => (type === GLOBAL.XPUB ? [keyData.subarray(45)] : [])),
    ...inputs.flat().flatMap(inputKeys),
    ...outputs.flat().flatMap(outputKeys),
  ];
  return keys.every((key) => (key.length === 32 ? ecc.isXOnlyPoint(key) : ecc.isPoint(key)));
}

function inputKeys({ type, keyData, value }: PsbtField): readonly Uint8Array[] {
  if (type === IN.TAP_INTERNAL_KEY) return [value];
  if (type === IN.TAP_LEAF_SCRIPT) return [keyData.subarray(1, 33)];
  if (type === IN.TAP_SCRIPT_SIG) return [keyData.subarray(0, 32)];
  if (!KEYED_INPUTS.has(type)) return [];
  return pointsOf(concat([keyData, MUSIG.has(type) ? value : NONE]));
}

function outputKeys({ type, keyData, value }: PsbtField): readonly Uint8Array[] {
  if (type === OUT.TAP_INTERNAL_KEY) return [value];
  if (!KEYED_OUTPUTS.has(type)) return [];
  return pointsOf(concat([keyData, type === OUT.MUSIG2_PARTICIPANT_PUBKEYS ? value : NONE]));
}

const NONE = new Uint8Array(0);
const MUSIG: ReadonlySet<number> = new Set([IN.MUSIG2_PARTICIPANT_PUBKEYS, IN.MUSIG2_PUB_NONCE]);
const KEYED_INPUTS: ReadonlySet<number> = new Set([
  IN.PARTIAL_SIG,
  IN.BIP32_DERIVATION,
  IN.TAP_BIP32_DERIVATION,
  IN.MUSIG2_PARTICIPANT_PUBKEYS,
  IN.MUSIG2_PUB_NONCE,
  IN.MUSIG2_PARTIAL_SIG,
]);
const KEYED_OUTPUTS: ReadonlySet<number> = new Set([
  OUT.BIP32_DERIVATION,
  OUT.TAP_BIP32_DERIVATION,
  OUT.MUSIG2_PARTICIPANT_PUBKEYS,
]);

/** The keys in a row of compressed ones, or the one key that the bytes are. */
function pointsOf(bytes: Uint8Array): readonly Uint8Array[] {
  if (bytes.length === 32 || bytes.length === 65) return [bytes];
  return Array.from({ length: Math.floor(bytes.length / 33) }, (_, i) =>
    bytes.subarray(33 * i, 33 * i + 33),
  );
}
