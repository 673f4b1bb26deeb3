/** The sealed module over a SoftHSM token of the test's own, and the parameters of its mechanism. */
import { readFileSync } from "node:fs";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { findSoftHsm } from "../../signer/pkcs11/softhsm.ts";
import { BALLAST_MODULE } from "./c-modules.ts";
import { type OpenModule, openModule } from "./pkcs11-process.ts";
import { readyToken, type SoftToken } from "./soft-token.ts";

export const SEALED_BIP340 = 0x8b340340;
export const AES_GCM = 0x1087;
export const N = secp256k1.Point.CURVE().n;

export const concat = (...parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));

/** Big-endian. */
export function scalar(value: bigint, bytes = 32): Uint8Array {
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(bytes * 2, "0"), "hex"));
}

export const number16 = (value: number): Uint8Array => scalar(BigInt(value), 2);

export const toNumber = (bytes: Uint8Array): bigint =>
  BigInt(`0x${Buffer.from(bytes).toString("hex")}`);

/** With one bit turned over. */
export function flipped(bytes: Uint8Array, at = 0): Uint8Array {
  return bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
}

/** A sealed key as it rests. */
export interface Sealed {
  readonly publicKey: Uint8Array;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly aad: Uint8Array;
}

export function signParameter(
  { publicKey, iv, ciphertext, aad }: Sealed,
  tweak: Uint8Array = new Uint8Array(32),
  form = 1,
): Uint8Array {
  return concat(Uint8Array.of(form), tweak, publicKey, iv, ciphertext, aad);
}

/** The x coordinate that a signature by this key and tweak verifies under. */
export function xOnly(publicKey: Uint8Array, tweak: Uint8Array): Uint8Array {
  const point = secp256k1.Point.fromBytes(publicKey);
  const step = toNumber(tweak);
  const tweaked = step === 0n ? point : point.add(secp256k1.Point.BASE.multiply(step));
  return tweaked.toBytes(true).slice(1);
}

export const sealedMechanism = (parameter: Uint8Array) => ({ mechanism: SEALED_BIP340, parameter });

/** The 48-byte block of PKCS#11 2.40, as pkcs11js writes it (its type 7). */
export const gcm = (iv: Uint8Array, aad: Uint8Array) => ({
  mechanism: AES_GCM,
  parameter: { type: 7, iv, ivBits: 96, aad, tagBits: 128 },
});

/** What somebody with the PIN can do: seals 32 bytes of his own under the sealing key. */
export async function sealByHand(
  module: OpenModule,
  options: { readonly kek: Uint8Array; readonly secret: Uint8Array; readonly aad: Uint8Array },
): Promise<Pick<Sealed, "iv" | "ciphertext" | "aad">> {
  const { kek, secret, aad } = options;
  const iv = crypto.getRandomValues(new Uint8Array(12));
  await module.must("C_EncryptInit", module.session, gcm(iv, aad), kek);
  const ciphertext = await module.must("C_Encrypt", module.session, secret, new Uint8Array(48));
  return { iv, ciphertext: ciphertext as Uint8Array, aad };
}

export interface SealedModule {
  readonly token: SoftToken;
  readonly kek: Uint8Array;
  readonly module: OpenModule;
  /** Another process with the same module and token. */
  another(env?: Readonly<Record<string, string>>): Promise<OpenModule>;
  remove(): Promise<void>;
}

/** A ready token, and a process that is logged in to it through `library`. */
export async function sealedModule(library = BALLAST_MODULE): Promise<SealedModule> {
  const token = await readyToken();
  const opened: OpenModule[] = [];
  async function another(env: Readonly<Record<string, string>> = {}): Promise<OpenModule> {
    const module = await openModule({
      library,
      pin: readFileSync(token.pinFile, "utf8").trim(),
      env: { ...token.env, BALLAST_PKCS11_MODULE: findSoftHsm() ?? "", ...env },
    });
    opened.push(module);
    return module;
  }
  const module = await another();
  const [kek] = await module.find("kek");
  if (kek === undefined) throw new Error("the token has no sealing key");
  return {
    token,
    kek,
    module,
    another,
    async remove() {
      await Promise.all(opened.map((process) => process.end()));
      await token.remove();
    },
  };
}
