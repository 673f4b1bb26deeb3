/**
 * Custody `native`: account keys that are made in the token, never leave it, and sign BIP340 there by
 * a vendor's mechanism that the profile names. Their files are name cards.
 */
import { randomBytes } from "node:crypto";
import { isPoint, pointCompress } from "tiny-secp256k1";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import type { Cryptoki, KeyHandle, SessionHandle } from "../pkcs11/cryptoki.ts";
import type { ChildConfig } from "../pkcs11/protocol.ts";
import { TokenError } from "../pkcs11/token-error.ts";
import type { CustodyKind, SignItem, TokenAccess } from "./custody.ts";
import { chainCodeOf, KEY_ID_BYTES, NATIVE_FORMAT, type NativeKey } from "./key-file.ts";
import { findKey, findPublic, makeKey, type TokenSession } from "./made-key.ts";

const SIGNATURE_BYTES = 64;
/** CKF_SIGN of CK_MECHANISM_INFO. */
const CKF_SIGN = 0x800;
const PROBE = "probe";

export const nativeCustody: CustodyKind = {
  async open(access) {
    const { cryptoki, pool, config } = access;
    const mechanism = mechanismOf(access);
    /** Handles die with the process; a process lives no longer than its connection. */
    const handles = new Map<string, KeyHandle>();

    async function card(label: string): Promise<NativeKey | null> {
      return await pool.use(async (session) => {
        const at = { cryptoki, session };
        const found = findKey(at, { label: objectOf(config, label) }, useOf(mechanism));
        return found === null ? null : cardOf({ ...access, session }, label, found.key);
      });
    }

    function handle(session: SessionHandle, { object, id }: NativeKey): KeyHandle {
      const known = handles.get(id);
      if (known !== undefined) return known;
      const name = { label: object, id: fromHex(id) };
      const found = findKey({ cryptoki, session }, name, useOf(mechanism));
      if (found === null) throw new TokenError("key-missing", object);
      handles.set(id, found.key);
      return found.key;
    }

    async function sign({ file, tweak, message }: SignItem): Promise<Uint8Array> {
      if (file.format !== NATIVE_FORMAT) throw new TokenError("request", "is no key of a token");
      return await pool.use(async (session) =>
        cryptoki.sign({
          session,
          key: handle(session, file),
          mechanism: { kind: "vendor", id: mechanism, parameter: tweak },
          data: message,
          bytes: SIGNATURE_BYTES,
        }),
      );
    }

    async function make(label: string): Promise<NativeKey> {
      const there = await card(label);
      if (there !== null) return there;
      await pool.use(async (session) => makePair(access, { cryptoki, session }, label));
      const made = await card(label);
      if (made === null) throw new TokenError("key-missing", `${label} was made and is not found`);
      return made;
    }

    const probe = await card(PROBE);
    return probe === null ? null : { probe, make, sign, verifies: false };
  },

  async init(access) {
    const { cryptoki, pool } = access;
    await pool.use(async (session) => makePair(access, { cryptoki, session }, PROBE));
  },
};

function makePair(access: TokenAccess, at: TokenSession, label: string): void {
  const name = { label: objectOf(access.config, label), id: randomBytes(KEY_ID_BYTES) };
  makeKey(at, name, useOf(mechanismOf(access)));
}

/** Refuses a token without the mechanism; that it signs BIP340 by it, the probe must prove. */
function mechanismOf({ config, cryptoki, token }: TokenAccess): number {
  const { custody } = config;
  if (custody.kind !== "native") throw new TokenError("protocol", "native was not asked for");
  const found = cryptoki.mechanisms(token.handle).find(({ id }) => id === custody.mechanism);
  const name = `0x${custody.mechanism.toString(16)}`;
  if (found === undefined) throw new TokenError("mechanism", `${token.label} has no ${name}`);
  if ((found.flags & CKF_SIGN) === 0) {
    throw new TokenError("mechanism", `${token.label} does not sign by ${name}`);
  }
  return custody.mechanism;
}

const useOf = (mechanism: number) => ({ kind: "signing", mechanism }) as const;

/** The label of the pair in the token: its network is in it, so that one token may serve two. */
function objectOf({ object, network }: ChildConfig, label: string): string {
  return `${object}.${network}.${label}`;
}

function cardOf(access: TokenAccess & TokenSession, label: string, key: KeyHandle): NativeKey {
  const { cryptoki, session, config, token } = access;
  const object = objectOf(config, label);
  const id = cryptoki.id(session, key);
  if (id?.length !== KEY_ID_BYTES)
    throw new TokenError("key-unsafe", `${object} has no id of ours`);
  const publicKey = publicPoint(access, { label: object, id });
  return {
    format: NATIVE_FORMAT,
    network: config.network,
    label,
    publicKey: hex(publicKey),
    chainCode: hex(chainCodeOf(publicKey)),
    token: { label: token.label, serial: token.serial },
    object,
    id: hex(id),
  };
}

/**
 * The compressed point of a pair's public half. The standard wraps CKA_EC_POINT in a DER OCTET
 * STRING; tokens give it bare, and some compressed.
 */
export function publicPoint(
  at: { readonly cryptoki: Cryptoki; readonly session: SessionHandle },
  name: { readonly label: string; readonly id: Uint8Array },
): Uint8Array {
  const raw = at.cryptoki.point(at.session, findPublic(at, "verifying", name));
  const wrapped = raw !== null && raw[0] === 0x04 && raw[1] === raw.length - 2;
  const point = wrapped ? raw.subarray(2) : raw;
  if (point === null || !isPoint(point)) {
    throw new TokenError("key-unsafe", `${name.label} has no point on secp256k1`);
  }
  return pointCompress(point, true);
}
