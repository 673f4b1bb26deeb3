/** How the app writes an output: as an address, or an OP_RETURN as what it carries. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bech32, bech32m, createBase58check, hex } from "@scure/base";
import { concatBytes } from "@scure/btc-signer/utils.js";
import type { Network } from "./network.ts";

const OP_RETURN = 0x6a;
const OP_PUSHDATA1 = 0x4c;
/** Longest push whose length is its operation. */
const PUSH_MAX = 75;
/** Standardness of the app's time: 80 bytes of data and their operations. */
const RETURN_MAX = 83;
const RETURN_PUSHES_MAX = 5;

const base58check = createBase58check(sha256);

/** The address or the OP_RETURN's text; null for a script that the app does not show. */
export function outputText(script: Uint8Array, network: Network): string | null {
  return addressOf(script, network) ?? returnText(script);
}

export function addressOf(script: Uint8Array, network: Network): string | null {
  const text = hex.encode(script);
  const pubKeyHash = /^76a914(.{40})88ac$/.exec(text)?.[1];
  if (pubKeyHash !== undefined) return base58(network.pubKeyHash, pubKeyHash);
  const scriptHash = /^a914(.{40})87$/.exec(text)?.[1];
  if (scriptHash !== undefined) return base58(network.scriptHash, scriptHash);
  const [first = 0, length = 0] = script;
  const isProgram = first === 0 || (first >= 0x51 && first <= 0x60);
  if (!isProgram || script.length < 4 || script.length > 42 || length !== script.length - 2) {
    return null;
  }
  const version = first === 0 ? 0 : first - 0x50;
  if (version === 0 && length !== 20 && length !== 32) return null;
  const coder = version === 0 ? bech32 : bech32m;
  return coder.encode(network.bech32, [version, ...coder.toWords(script.subarray(2))]);
}

function base58(version: number, hash: string): string {
  return base58check.encode(concatBytes(Uint8Array.of(version), hex.decode(hash)));
}

/** Data in hex, small numbers as numbers, at most five of them. */
function returnText(script: Uint8Array): string | null {
  if (script[0] !== OP_RETURN || script.length > RETURN_MAX) return null;
  const words = ["OP_RETURN"];
  for (let at = 1; at < script.length; ) {
    const push = pushAt(script, at);
    if (push === null || words.length > RETURN_PUSHES_MAX) return null;
    words.push(push.text);
    at = push.next;
  }
  return words.join(" ");
}

/** One push, which must be the shortest way to push it. */
function pushAt(script: Uint8Array, at: number): { text: string; next: number } | null {
  const code = script[at] ?? 0;
  const number = numberOf(code);
  if (number !== null) return { text: number, next: at + 1 };
  const long = code === OP_PUSHDATA1;
  if (code > PUSH_MAX && !long) return null;
  const start = long ? at + 2 : at + 1;
  const length = long ? (script[at + 1] ?? 0) : code;
  const data = script.subarray(start, start + length);
  if (data.length !== length || (long && length <= PUSH_MAX) || isNumber(data)) return null;
  return { text: `0x${hex.encode(data)}`, next: start + length };
}

/** Operations that push a small number. */
function numberOf(code: number): string | null {
  if (code === 0) return "0";
  if (code === 0x4f) return "-1";
  return code >= 0x51 && code <= 0x60 ? String(code - 0x50) : null;
}

/** One byte for which there is an operation. */
function isNumber(data: Uint8Array): boolean {
  const [byte = 0] = data;
  return data.length === 1 && (byte === 0x81 || (byte >= 1 && byte <= 16));
}
