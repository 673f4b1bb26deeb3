export type ScriptType = "p2tr" | "p2wpkh" | "p2wsh" | "p2pkh" | "p2sh" | "op-return" | "unknown";

/** Scripts that nodes relay and people know; everything else is `unknown` (attacks.md 16). */
export function scriptTypeOf(script: Uint8Array): ScriptType {
  for (const { type, head, tail, length } of FORMS) {
    if (
      script.length === length &&
      head.every((byte, i) => script[i] === byte) &&
      tail.every((byte, i) => script[length - tail.length + i] === byte)
    ) {
      return type;
    }
  }
  return script[0] === 0x6a ? "op-return" : "unknown";
}

const FORMS = [
  { type: "p2tr", head: [0x51, 0x20], tail: [], length: 34 },
  { type: "p2wpkh", head: [0x00, 0x14], tail: [], length: 22 },
  { type: "p2wsh", head: [0x00, 0x20], tail: [], length: 34 },
  { type: "p2pkh", head: [0x76, 0xa9, 0x14], tail: [0x88, 0xac], length: 25 },
  { type: "p2sh", head: [0xa9, 0x14], tail: [0x87], length: 23 },
] as const;
