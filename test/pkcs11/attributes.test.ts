import { describe, expect, it } from "vitest";
import type { KekAttributes } from "../../signer/pkcs11/cryptoki.ts";
import { kekViolations } from "../../signer/pkcs11/kek.ts";

const safe: KekAttributes = {
  secretKey: true,
  aes: true,
  bytes: 32,
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
  sign: false,
  encrypt: true,
  decrypt: true,
  gcmOnly: true,
};

/** Take a safe key, bend exactly one attribute, expect exactly one objection. */
const bends: Record<keyof KekAttributes, { readonly unknownIsFine?: true }> = {
  secretKey: {},
  aes: {},
  bytes: {},
  token: {},
  private: {},
  sensitive: {},
  extractable: {},
  local: {},
  alwaysSensitive: {},
  neverExtractable: {},
  modifiable: {},
  copyable: { unknownIsFine: true },
  wrap: {},
  unwrap: {},
  derive: {},
  sign: {},
  encrypt: {},
  decrypt: {},
  gcmOnly: { unknownIsFine: true },
};

describe("the sealing key's attributes", () => {
  it("are accepted when all are safe", () => {
    expect(kekViolations(safe)).toEqual([]);
  });

  it.each(Object.entries(bends))("are refused with a wrong or missing %s", (name, bend) => {
    const wrong = name === "bytes" ? 16 : !safe[name as keyof KekAttributes];
    expect(kekViolations({ ...safe, [name]: wrong })).toHaveLength(1);
    const missing = kekViolations({ ...safe, [name]: null });
    expect(missing).toHaveLength(bend.unknownIsFine === true ? 0 : 1);
  });
});
