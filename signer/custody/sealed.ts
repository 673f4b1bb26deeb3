/**
 * Custody `sealed`: account keys that rest sealed under an AES key of the token and are opened, by
 * the token, for one signature each. Two engines do the opening: `sealed-javascript.ts` and
 * `sealed-module.ts`.
 */
import {
  CryptokiError,
  type KeyHandle,
  type OaepHash,
  type SessionHandle,
} from "../pkcs11/cryptoki.ts";
import { TokenError } from "../pkcs11/token-error.ts";
import type { CustodyKind, SignItem, TokenAccess } from "./custody.ts";
import { SEALED_FORMAT, type SealedKey } from "./key-file.ts";
import { findKey, makeKey } from "./made-key.ts";

export interface SealedItem extends SignItem {
  readonly file: SealedKey;
}

/** What opens sealed keys and draws new ones. */
export interface SealedEngine {
  readonly verifies: boolean;
  seal(label: string): Promise<SealedKey>;
  sign(item: SealedItem): Promise<Uint8Array>;
  /** Opens a sealed key, checks whose it is, and seals it for another key. */
  move(session: SessionHandle, what: Move): Promise<Moved>;
}

export type Seal =
  | { readonly kind: "gcm"; readonly key: KeyHandle; readonly aad: Uint8Array }
  | { readonly kind: "oaep"; readonly key: KeyHandle };

export interface Move {
  readonly from:
    | (Extract<Seal, { kind: "gcm" }> & { readonly iv: Uint8Array })
    | Extract<Seal, { kind: "oaep" }>;
  readonly to:
    | Extract<Seal, { kind: "gcm" }>
    | (Extract<Seal, { kind: "oaep" }> & { readonly bytes: number });
  /** The account's public key, compressed. */
  readonly point: Uint8Array;
  readonly ciphertext: Uint8Array;
}

export interface Moved {
  /** Empty where the target has none. */
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

export function sealedCustody(
  engineOf: (access: TokenAccess, kek: KeyHandle) => SealedEngine,
): CustodyKind {
  return {
    async open(access) {
      const { cryptoki, pool, config } = access;
      const name = { label: config.object };
      const kek = await pool.use(async (session) =>
        findKey({ cryptoki, session }, name, { kind: "sealing" }),
      );
      if (kek === null) return null;
      const engine = engineOf(access, kek.key);
      const probe = await engine.seal("probe");

      /** A key that does not open while another one does is damaged; else the token is away. */
      async function sign(item: SignItem): Promise<Uint8Array> {
        const { file } = item;
        if (file.format !== SEALED_FORMAT) throw new TokenError("request", "is no sealed key");
        try {
          return await engine.sign({ ...item, file });
        } catch (error) {
          if (!(error instanceof CryptokiError) || file === probe) throw error;
          await engine.sign({ ...item, file: probe, tweak: new Uint8Array(32) });
          const detail = `${file.label}: ${error.message}`;
          throw new TokenError("key-file-damaged", detail, { cause: error });
        }
      }
      return {
        probe,
        make: (label) => engine.seal(label),
        sign,
        verifies: engine.verifies,
        sealed: { engine, kek: kek.key },
      };
    },

    async init({ cryptoki, pool, config }) {
      const name = { label: config.object };
      await pool.use(async (session) => makeKey({ cryptoki, session }, name, { kind: "sealing" }));
    },
  };
}

/** The file of a new key. */
export function sealedKey(
  { config, token }: TokenAccess,
  made: Pick<SealedKey, "label" | "publicKey" | "chainCode" | "iv" | "ciphertext">,
): SealedKey {
  return {
    format: SEALED_FORMAT,
    network: config.network,
    label: made.label,
    publicKey: made.publicKey,
    chainCode: made.chainCode,
    epoch: FIRST_EPOCH,
    kek: { token: token.label, object: config.object },
    iv: made.iv,
    ciphertext: made.ciphertext,
  };
}

export const FIRST_EPOCH = 1;

/** The hash of the OAEP that this kind of token does. */
export function oaepOf({ custody }: TokenAccess["config"]): OaepHash {
  if (custody.kind === "sealed") return custody.oaep;
  throw new TokenError("protocol", "copies are of sealed keys");
}
