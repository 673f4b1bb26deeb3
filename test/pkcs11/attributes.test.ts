import { describe, expect, it } from "vitest";
import { attributeViolations, type KeyUse } from "../../signer/custody/attributes.ts";
import type { KeyAttributes } from "../../signer/pkcs11/template.ts";

const kept = {
  token: true,
  private: true,
  sensitive: true,
  extractable: false,
  local: true,
  alwaysSensitive: true,
  neverExtractable: true,
  modifiable: false,
  copyable: false,
  wrap: false,
  unwrap: false,
  derive: false,
} as const;

type Name = keyof KeyAttributes;

interface Case {
  readonly use: KeyUse;
  readonly safe: KeyAttributes;
  /** May be null without harm; every other one must be said. */
  readonly mayBeUnknown: readonly Name[];
  /** Not asked of a key of this kind. */
  readonly notAsked: readonly Name[];
}

const cases: Readonly<Record<string, Case>> = {
  "sealing key": {
    use: { kind: "sealing" },
    safe: {
      ...{ ...kept, class: "secret", type: "aes", bytes: 32 },
      ...{ sign: false, encrypt: true, decrypt: true, allowed: "0x1087" },
    },
    mayBeUnknown: ["copyable", "allowed"],
    notAsked: [],
  },
  "key that signs BIP340": {
    use: { kind: "signing", mechanism: 0x80340340 },
    safe: {
      ...{ ...kept, class: "private", type: "ec", bytes: null },
      ...{ sign: true, encrypt: false, decrypt: false, allowed: "0x80340340" },
    },
    mayBeUnknown: ["copyable", "allowed", "wrap", "encrypt"],
    notAsked: ["bytes"],
  },
  "audit key": {
    use: { kind: "signing", mechanism: 0x1041 },
    safe: {
      ...{ ...kept, class: "private", type: "ec", bytes: null },
      ...{ sign: true, encrypt: false, decrypt: false, allowed: "0x1041" },
    },
    mayBeUnknown: ["copyable", "allowed", "wrap", "encrypt"],
    notAsked: ["bytes"],
  },
  "recipient's key": {
    use: { kind: "recipient" },
    safe: {
      ...{ ...kept, class: "private", type: "rsa", bytes: null },
      ...{ sign: false, encrypt: false, decrypt: true, allowed: "0x9" },
    },
    mayBeUnknown: ["copyable", "allowed", "wrap", "encrypt"],
    notAsked: ["bytes"],
  },
};

const WRONG: Readonly<Partial<Record<Name, KeyAttributes[Name]>>> = {
  class: "public",
  type: "other",
  bytes: 16,
  allowed: "0x1087 0x1041",
};

/** Take a safe key, bend exactly one attribute, expect exactly one objection. */
describe.each(Object.entries(cases))("the attributes of a %s", (_, each) => {
  const { use, safe, mayBeUnknown, notAsked } = each;

  it("are accepted when all are safe", () => {
    expect(attributeViolations(safe, use)).toEqual([]);
  });

  const asked = (Object.keys(safe) as Name[]).filter((name) => !notAsked.includes(name));
  it.each(asked)("are refused with a wrong or missing %s", (name) => {
    const wrong = WRONG[name] ?? !safe[name];
    expect(attributeViolations({ ...safe, [name]: wrong }, use)).toHaveLength(1);
    const missing = attributeViolations({ ...safe, [name]: null }, use);
    expect(missing).toHaveLength(mayBeUnknown.includes(name) ? 0 : 1);
  });

  it("are refused when nothing restricts the mechanism", () => {
    expect(attributeViolations({ ...safe, allowed: "" }, use)).toHaveLength(1);
  });
});
