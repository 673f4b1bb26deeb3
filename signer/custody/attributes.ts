/**
 * What a key of the token must say of itself before it is used, at every start. All five marks of
 * origin are asked for, because "not extractable" alone does not prove that the key never was
 * outside: an imported key says the same.
 */
import { type KeyAttributes, MECHANISMS } from "../pkcs11/template.ts";

/** What a key may be used for; everything else is refused. */
export type KeyUse =
  | { readonly kind: "sealing" }
  /** `mechanism`: the only one that it may sign by. */
  | { readonly kind: "signing"; readonly mechanism: number }
  | { readonly kind: "recipient" };

/**
 * Why this key must not be used; empty where it may. Attributes that every token must know have
 * to be there; those that came with PKCS#11 2.40, and those that do not belong to a key of the
 * kind, may be unknown, but not wrong.
 */
export function attributeViolations(attributes: KeyAttributes, use: KeyUse): readonly string[] {
  return requirementsOf(use)
    .filter(({ name, expected, mayBeUnknown }) => {
      const actual = attributes[name];
      return actual === null ? mayBeUnknown !== true : actual !== expected;
    })
    .map(({ name, words }) => (attributes[name] === null ? `does not say ${name}` : words));
}

interface Requirement {
  readonly name: keyof KeyAttributes;
  readonly expected: KeyAttributes[keyof KeyAttributes];
  readonly mayBeUnknown?: true;
  readonly words: string;
}

function requirementsOf(use: KeyUse): readonly Requirement[] {
  switch (use.kind) {
    case "sealing":
      return SEALING;
    case "signing":
      return [...SIGNING, onlyBy(use.mechanism)];
    case "recipient":
      return RECIPIENT;
    default:
      return use satisfies never;
  }
}

const onlyBy = (mechanism: number): Requirement => ({
  name: "allowed",
  expected: `0x${mechanism.toString(16)}`,
  mayBeUnknown: true,
  words: `is allowed other mechanisms than 0x${mechanism.toString(16)}`,
});

/** Made in the token, never outside it, never to be changed. */
const KEPT: readonly Requirement[] = [
  { name: "token", expected: true, words: "is lost with its session" },
  { name: "private", expected: true, words: "is usable without a login" },
  { name: "sensitive", expected: true, words: "is readable (not SENSITIVE)" },
  { name: "extractable", expected: false, words: "is EXTRACTABLE" },
  { name: "local", expected: true, words: "was not made in the token (not LOCAL)" },
  { name: "alwaysSensitive", expected: true, words: "was readable once (not ALWAYS_SENSITIVE)" },
  {
    name: "neverExtractable",
    expected: true,
    words: "could leave once (not NEVER_EXTRACTABLE)",
  },
  { name: "modifiable", expected: false, words: "can be given other uses (MODIFIABLE)" },
  { name: "copyable", expected: false, mayBeUnknown: true, words: "can be copied (COPYABLE)" },
  { name: "derive", expected: false, words: "may DERIVE other keys" },
  { name: "unwrap", expected: false, words: "may UNWRAP other keys" },
];

const SEALING: readonly Requirement[] = [
  { name: "class", expected: "secret", words: "is not a secret key" },
  { name: "type", expected: "aes", words: "is not an AES key" },
  { name: "bytes", expected: 32, words: "is not 256 bits long" },
  ...KEPT,
  { name: "wrap", expected: false, words: "may WRAP other keys" },
  { name: "sign", expected: false, words: "may SIGN" },
  { name: "encrypt", expected: true, words: "may not ENCRYPT" },
  { name: "decrypt", expected: true, words: "may not DECRYPT" },
  onlyBy(MECHANISMS.aesGcm),
];

const SIGNING: readonly Requirement[] = [
  { name: "class", expected: "private", words: "is not a private key" },
  { name: "type", expected: "ec", words: "is not an EC key" },
  ...KEPT,
  { name: "wrap", expected: false, mayBeUnknown: true, words: "may WRAP other keys" },
  { name: "sign", expected: true, words: "may not SIGN" },
  { name: "encrypt", expected: false, mayBeUnknown: true, words: "may ENCRYPT" },
  { name: "decrypt", expected: false, words: "may DECRYPT" },
];

const RECIPIENT: readonly Requirement[] = [
  { name: "class", expected: "private", words: "is not a private key" },
  { name: "type", expected: "rsa", words: "is not an RSA key" },
  ...KEPT,
  { name: "wrap", expected: false, mayBeUnknown: true, words: "may WRAP other keys" },
  { name: "sign", expected: false, words: "may SIGN" },
  { name: "encrypt", expected: false, mayBeUnknown: true, words: "may ENCRYPT" },
  { name: "decrypt", expected: true, words: "may not DECRYPT" },
  onlyBy(MECHANISMS.rsaOaep),
];
