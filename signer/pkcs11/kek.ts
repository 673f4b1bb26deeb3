/** The sealing key (key-encryption key): made in the token, never outside it, good for one thing. */
import {
  CKR,
  type Cryptoki,
  CryptokiError,
  type KekAttributes,
  type KekTemplateExtras,
  type KeyHandle,
  type SessionHandle,
} from "./cryptoki.ts";
import { TokenError } from "./token-error.ts";

/** The sealing key with this label, or null. Its attributes are read and judged every time. */
export function findKek(
  cryptoki: Cryptoki,
  session: SessionHandle,
  label: string,
): { readonly key: KeyHandle; readonly attributes: KekAttributes } | null {
  const [key, second] = cryptoki.findAesKeys(session, label);
  if (key === undefined) return null;
  if (second !== undefined) throw new TokenError("key-ambiguous", `label ${label}`);
  const attributes = cryptoki.readKek(session, key);
  const violations = kekViolations(attributes);
  if (violations.length > 0) {
    throw new TokenError("kek-unsafe", `${label} ${violations.join(", ")}`);
  }
  return { key, attributes };
}

/** Makes the sealing key. Refuses where the label is taken: sealed keys would be lost with it. */
export function createKek(cryptoki: Cryptoki, session: SessionHandle, label: string): void {
  if (cryptoki.findAesKeys(session, label).length > 0) throw new TokenError("key-exists", label);
  for (const extras of EXTRAS) {
    try {
      cryptoki.generateKek(session, label, extras);
      break;
    } catch (error) {
      const unknown = error instanceof CryptokiError && TEMPLATE_REFUSALS.has(error.ckr ?? -1);
      if (!unknown || extras === EXTRAS.at(-1)) throw error;
    }
  }
  if (findKek(cryptoki, session, label) === null) {
    throw new TokenError("key-missing", `${label} was made and is not found`);
  }
}

/**
 * Why this key must not seal anything; empty where it may. Attributes that every token must know
 * have to be there; the two that came with PKCS#11 2.40 may be unknown, but not wrong. All five
 * marks of origin are asked for, because "not extractable" alone does not prove that the key
 * never was outside (an imported key says the same).
 */
export function kekViolations(attributes: KekAttributes): readonly string[] {
  return requirements
    .filter(({ name, expected, mayBeUnknown }) => {
      const actual = attributes[name];
      return actual === null ? !mayBeUnknown : actual !== expected;
    })
    .map(({ name, words }) => (attributes[name] === null ? `does not say ${name}` : words));
}

interface Requirement {
  readonly name: keyof KekAttributes;
  readonly expected: boolean | number;
  readonly mayBeUnknown?: true;
  readonly words: string;
}

const requirements: readonly Requirement[] = [
  { name: "secretKey", expected: true, words: "is not a secret key" },
  { name: "aes", expected: true, words: "is not an AES key" },
  { name: "bytes", expected: 32, words: "is not 256 bits long" },
  { name: "token", expected: true, words: "is lost with its session" },
  { name: "private", expected: true, words: "is usable without a login" },
  { name: "sensitive", expected: true, words: "is readable (not SENSITIVE)" },
  { name: "extractable", expected: false, words: "is EXTRACTABLE" },
  {
    name: "local",
    expected: true,
    words: "was not made in the token (not LOCAL)",
  },
  {
    name: "alwaysSensitive",
    expected: true,
    words: "was readable once (not ALWAYS_SENSITIVE)",
  },
  {
    name: "neverExtractable",
    expected: true,
    words: "could leave once (not NEVER_EXTRACTABLE)",
  },
  {
    name: "modifiable",
    expected: false,
    words: "can be given other uses (MODIFIABLE)",
  },
  {
    name: "copyable",
    expected: false,
    mayBeUnknown: true,
    words: "can be copied (COPYABLE)",
  },
  { name: "wrap", expected: false, words: "may WRAP other keys" },
  { name: "unwrap", expected: false, words: "may UNWRAP other keys" },
  { name: "derive", expected: false, words: "may DERIVE other keys" },
  { name: "sign", expected: false, words: "may SIGN" },
  { name: "encrypt", expected: true, words: "may not ENCRYPT" },
  { name: "decrypt", expected: true, words: "may not DECRYPT" },
  {
    name: "gcmOnly",
    expected: true,
    mayBeUnknown: true,
    words: "is allowed more than AES-GCM",
  },
];

/** Tokens that do not know the newer attributes refuse the whole template: ask for less, once each. */
const EXTRAS: readonly KekTemplateExtras[] = [
  { copyable: true, allowedMechanisms: true },
  { copyable: true, allowedMechanisms: false },
  { copyable: false, allowedMechanisms: true },
  { copyable: false, allowedMechanisms: false },
];
const TEMPLATE_REFUSALS: ReadonlySet<number> = new Set([
  CKR.attributeTypeInvalid,
  CKR.attributeValueInvalid,
  CKR.templateInconsistent,
]);
