import { hex } from "./hash.ts";

export type ScriptType = "p2tr" | "p2wpkh" | "p2wsh" | "p2pkh" | "p2sh" | "op-return" | "unknown";

/** Scripts that nodes relay and people know; everything else is `unknown` (attacks.md 16). */
export function scriptTypeOf(script: Uint8Array): ScriptType {
  const text = hex(script);
  if (/^5120[0-9a-f]{64}$/.test(text)) return "p2tr";
  if (/^0014[0-9a-f]{40}$/.test(text)) return "p2wpkh";
  if (/^0020[0-9a-f]{64}$/.test(text)) return "p2wsh";
  if (/^76a914[0-9a-f]{40}88ac$/.test(text)) return "p2pkh";
  if (/^a914[0-9a-f]{40}87$/.test(text)) return "p2sh";
  return script[0] === 0x6a ? "op-return" : "unknown";
}
