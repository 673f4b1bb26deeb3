/** What a token says of itself and of its keys, with a signature that proves one of them at work. */
import type { MechanismDescription } from "../pkcs11/cryptoki.ts";
import { type KeyAttributes, type KeyKind, MECHANISMS } from "../pkcs11/template.ts";
import type { KeyUse } from "./attributes.ts";
import type { TokenAccess } from "./custody.ts";
import { findKey } from "./made-key.ts";

export interface KeyReport {
  readonly name: string;
  readonly kind: KeyKind;
  readonly attributes: KeyAttributes;
}

export interface TokenReport {
  readonly mechanisms: readonly { readonly id: string; readonly flags: string }[];
  readonly keys: readonly KeyReport[];
}

/** Every key of this signer that is in the token; an unsafe one is a fault, as at every start. */
export async function reportToken(access: TokenAccess): Promise<TokenReport> {
  const { cryptoki, token, pool, config } = access;
  const { object, network, custody } = config;
  const ecdsa: KeyUse = { kind: "signing", mechanism: MECHANISMS.ecdsa };
  const wanted: readonly (readonly [string, KeyUse])[] = [
    ...(custody.kind === "sealed" ? [[object, { kind: "sealing" }] as const] : []),
    ...(custody.kind === "native"
      ? [[`${object}.${network}.probe`, { kind: "signing", mechanism: custody.mechanism }] as const]
      : []),
    [`${object}.audit`, ecdsa],
    [`${object}.recipient`, { kind: "recipient" }],
  ];
  const keys = await pool.use(async (session) =>
    wanted.flatMap(([name, use]) => {
      const found = findKey({ cryptoki, session }, { label: name }, use);
      return found === null ? [] : [{ name, kind: use.kind, attributes: found.attributes }];
    }),
  );
  return { mechanisms: cryptoki.mechanisms(token.handle).map(described), keys };
}

function described({ id, flags }: MechanismDescription) {
  return { id: `0x${id.toString(16)}`, flags: `0x${flags.toString(16)}` };
}

/** What a probe is over: the ceremony's own words, under a tag that no transaction has. */
export const PROBE_TAG = "ballast/probe";
