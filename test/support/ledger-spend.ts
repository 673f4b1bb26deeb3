/** Spends for the emulator of Ledger's app, as maps of a PSBT (BIP370) that a test can bend. */
import { hex } from "@scure/base";
import { Address, OutScript, TEST_NETWORK } from "@scure/btc-signer";
import { concatBytes } from "@scure/btc-signer/utils.js";
import { address, type Exchange, type PolicyText, type PsbtMaps } from "./ledger-host.ts";
import { compactSize } from "./ledger-knowledge.ts";
import { HARDENED, rootOf, type Who } from "./ledger-policies.ts";

/** An input's coin or an output; `fields` are further fields of its map, keys in hex. */
export interface SpendPart {
  readonly sats: bigint;
  readonly script: Uint8Array;
  readonly fields: readonly (readonly [key: string, value: Uint8Array])[];
}

export interface Place {
  readonly change?: number;
  readonly index?: number;
  readonly sats?: bigint;
}

export interface LedgerSpend {
  /** A coin of the policy or an output to it, with the derivation of the user's key. */
  own(place?: Place): Promise<SpendPart>;
  /** One coin of 100,000 sats, 60,000 to somebody, 39,000 in change. */
  psbt(parts?: { inputs?: readonly SpendPart[]; outputs?: readonly SpendPart[] }): PsbtMaps;
}

export const ACCOUNT = [48 + HARDENED, 1 + HARDENED, HARDENED, 2 + HARDENED];

/** To a witness key hash that is nobody's. */
export function payment(sats: bigint): SpendPart {
  return { sats, script: Uint8Array.of(0, 20, ...new Uint8Array(20).fill(0x75)), fields: [] };
}

/** A field with the derivation of a person's key; 0x16 in inputs, 0x07 in outputs. */
export function derivation(
  type: "16" | "07",
  steps: readonly number[],
  who: Who = "user",
): readonly [string, Uint8Array] {
  const root = rootOf(who);
  const key = [...ACCOUNT, ...steps].reduce((node, step) => node.deriveChild(step), root);
  const name = hex.encode(key.publicKey?.subarray(1) ?? new Uint8Array());
  const path = [...ACCOUNT, ...steps].map(little32);
  const leaf = new Uint8Array(32);
  const origin = hex.decode(root.fingerprint.toString(16).padStart(8, "0"));
  return [type + name, concatBytes(Uint8Array.of(1), leaf, origin, ...path)];
}

export async function ledgerSpend(
  exchange: Exchange,
  wallet: { readonly policy: PolicyText; readonly hmac: Uint8Array },
): Promise<LedgerSpend> {
  const scriptAt = async (change: number, index: number): Promise<Uint8Array> => {
    const { data } = await address(exchange, { ...wallet, change, index });
    return OutScript.encode(Address(TEST_NETWORK).decode(Buffer.from(data).toString()));
  };
  const own = async ({
    change = 0,
    index = 0,
    sats = 100_000n,
  }: Place = {}): Promise<SpendPart> => ({
    sats,
    script: await scriptAt(change, index),
    fields: [derivation("16", [change, index])],
  });
  const inputs = [await own()];
  const outputs = [payment(60_000n), await own({ change: 1, sats: 39_000n })];
  return { own, psbt: (parts = {}) => psbtMaps({ inputs, outputs, ...parts }) };
}

function psbtMaps(spend: {
  readonly inputs: readonly SpendPart[];
  readonly outputs: readonly SpendPart[];
}): PsbtMaps {
  return {
    global: new Map([
      ["02", little32(2)],
      ["03", little32(0)],
      ["04", compactSize(spend.inputs.length)],
      ["05", compactSize(spend.outputs.length)],
      ["fb", little32(2)],
    ]),
    inputs: spend.inputs.map(
      ({ sats, script, fields }, i) =>
        new Map([
          ["01", concatBytes(little64(sats), compactSize(script.length), script)],
          ["0e", new Uint8Array(32).fill(i + 1)],
          ["0f", little32(i)],
          ["10", little32(0xfffffffd)],
          ...fields,
        ]),
    ),
    outputs: spend.outputs.map(
      ({ sats, script, fields }) =>
        new Map([
          ["03", little64(sats)],
          ["04", script],
          ...fields.map(([key, value]) => [key.replace(/^16/, "07"), value] as const),
        ]),
    ),
  };
}

export function little32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

function little64(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}
