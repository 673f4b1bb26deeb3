/** Keys of a token: found by their name, judged by their attributes, made where there is none. */
import {
  CKR,
  type Cryptoki,
  CryptokiError,
  type KeyHandle,
  type SessionHandle,
} from "../pkcs11/cryptoki.ts";
import {
  type KeyAttributes,
  type KeyKind,
  type KeyName,
  recipientTemplates,
  sealingTemplate,
  signingTemplates,
  type TemplateExtras,
} from "../pkcs11/template.ts";
import { TokenError } from "../pkcs11/token-error.ts";
import { attributeViolations, type KeyUse } from "./attributes.ts";

export interface FoundKey {
  readonly key: KeyHandle;
  readonly attributes: KeyAttributes;
}

export interface TokenSession {
  readonly cryptoki: Cryptoki;
  readonly session: SessionHandle;
}

/** The key of this name, or null. Two of one name and an unsafe one are refused, every time. */
export function findKey(
  { cryptoki, session }: TokenSession,
  name: KeyName,
  use: KeyUse,
): FoundKey | null {
  const [key, second] = cryptoki.find(session, use.kind, name);
  if (key === undefined) return null;
  if (second !== undefined) throw new TokenError("key-ambiguous", `label ${name.label}`);
  const attributes = cryptoki.read(session, key);
  const violations = attributeViolations(attributes, use);
  if (violations.length > 0) {
    throw new TokenError("key-unsafe", `${name.label} ${violations.join(", ")}`);
  }
  return { key, attributes };
}

/** The public half of a pair, by the name that both halves bear. */
export function findPublic(
  { cryptoki, session }: TokenSession,
  kind: Extract<KeyKind, "verifying" | "sealed-for">,
  name: KeyName,
): KeyHandle {
  const [key, second] = cryptoki.find(session, kind, name);
  if (key === undefined) throw new TokenError("key-missing", `public half of ${name.label}`);
  if (second !== undefined) throw new TokenError("key-ambiguous", `label ${name.label}`);
  return key;
}

/** Makes the key and reads it back. Refuses where the name is taken: nothing is ever replaced. */
export function makeKey(at: TokenSession, name: KeyName, use: KeyUse): FoundKey {
  const { cryptoki, session } = at;
  const byLabel = { label: name.label };
  if (cryptoki.find(session, use.kind, byLabel).length > 0) {
    throw new TokenError("key-exists", name.label);
  }
  for (const extras of EXTRAS) {
    try {
      generate(at, { name, use, extras });
      break;
    } catch (error) {
      const unknown = error instanceof CryptokiError && TEMPLATE_REFUSALS.has(error.ckr ?? -1);
      if (!unknown || extras === EXTRAS.at(-1)) throw error;
    }
  }
  const made = findKey(at, name, use);
  if (made === null) throw new TokenError("key-missing", `${name.label} was made and is not found`);
  return made;
}

function generate(
  { cryptoki, session }: TokenSession,
  {
    name,
    use,
    extras,
  }: {
    readonly name: KeyName;
    readonly use: KeyUse;
    readonly extras: TemplateExtras;
  },
): void {
  switch (use.kind) {
    case "sealing":
      cryptoki.generateKey(session, sealingTemplate(name, extras));
      break;
    case "signing":
      cryptoki.generatePair(session, "ec", signingTemplates(name, use.mechanism, extras));
      break;
    case "recipient":
      cryptoki.generatePair(session, "rsa", recipientTemplates(name, extras));
      break;
    default:
      use satisfies never;
  }
}

/** Tokens that do not know the newer attributes refuse the whole template: ask for less, once each. */
const EXTRAS: readonly TemplateExtras[] = [
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
