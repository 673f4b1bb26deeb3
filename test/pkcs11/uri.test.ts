import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatPkcs11Uri, Pkcs11UriError, parsePkcs11Uri } from "../../signer/pkcs11/uri.ts";

const QUERY =
  "module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin&mode=sealed&profile=softhsm&keys=/var/keys";
const GOOD = `pkcs11:token=ballast-lsp;object=kek?${QUERY}`;

describe("a token's URI", () => {
  it("is read into its parts, with the defaults named", () => {
    expect(parsePkcs11Uri(GOOD)).toEqual({
      token: "ballast-lsp",
      serial: null,
      object: "kek",
      modulePath: "/usr/lib/softhsm/libsofthsm2.so",
      pinSource: "/run/pin",
      mode: "sealed",
      profile: "softhsm",
      openedBy: null,
      maxSessions: 2,
      keys: "/var/keys",
    });
  });

  it.each([
    [
      "percent-encoding",
      GOOD.replace("ballast-lsp", "b%61llast%20%E2%82%BF"),
      { token: "ballast ₿" },
    ],
    [
      "serial alone",
      GOOD.replace("token=ballast-lsp", "serial=0a1b"),
      { token: null, serial: "0a1b" },
    ],
    ["serial and label", GOOD.replace(";object", ";serial=0a1b;object"), { serial: "0a1b" }],
    ["the key's type", GOOD.replace("?", ";type=secret-key?"), { object: "kek" }],
    ["file:///", GOOD.replace("file:/run", "file:///run"), { pinSource: "/run/pin" }],
    ["mode native", GOOD.replace("sealed", "native"), { mode: "native", openedBy: null }],
    ["a native key's type", GOOD.replace("?", ";type=private?").replace("sealed", "native"), {}],
    ["sealed keys opened by the module", `${GOOD}&opened-by=module`, { openedBy: "module" }],
    ["or in JavaScript", `${GOOD}&opened-by=javascript`, { openedBy: "javascript" }],
    [
      "a profile of one's own",
      GOOD.replace("=softhsm", "=/etc/hsm.json"),
      { profile: "/etc/hsm.json" },
    ],
    ["one session", `${GOOD}&max-sessions=1`, { maxSessions: 1 }],
    ["an ampersand in the path", GOOD.replace("ballast-lsp", "a&b"), { token: "a&b" }],
    ["a plus, which is no blank", GOOD.replace("ballast-lsp", "a+b"), { token: "a+b" }],
  ])("takes %s", (_, uri, parts) => {
    expect(parsePkcs11Uri(uri)).toMatchObject(parts);
  });

  it.each([
    ["scheme", GOOD.replace("pkcs11:", "PKCS11:")],
    ["scheme", ""],
    ["uri", `${GOOD}&keys=/${"x".repeat(5000)}`],
    ["token", GOOD.replace("token=ballast-lsp;", "")],
    ["token", GOOD.replace("ballast-lsp", "x".repeat(33))],
    ["token", GOOD.replace("ballast-lsp", "")],
    ["token", GOOD.replace("ballast-lsp", "lsp%20")],
    ["token", GOOD.replace("ballast-lsp", "l%zz")],
    ["token", GOOD.replace("ballast-lsp", "l%ff")],
    ["token", GOOD.replace("ballast-lsp", "l%00x")],
    ["token", GOOD.replace("ballast-lsp", "l sp")],
    ["token", GOOD.replace(";object", ";token=other;object")],
    ["serial", GOOD.replace("token=ballast-lsp", `serial=${"1".repeat(17)}`)],
    ["object", GOOD.replace(";object=kek", "")],
    ["type", GOOD.replace("?", ";type=private?")],
    ["slot-id", GOOD.replace("token=", "slot-id=0;token=")],
    ["module-path", GOOD.replace("/usr/lib/softhsm/", "")],
    ["module-path", GOOD.replace("/usr/lib", "/usr/../lib")],
    ["module-path", GOOD.replace("module-path", "module-name")],
    ["module-path", GOOD.replace(";object", ";module-path=/x;object")],
    ["pin-source", GOOD.replace("file:/run/pin", "/run/pin")],
    ["pin-source", GOOD.replace("file:/run/pin", "file:pin")],
    ["pin-source", GOOD.replace("file:/run/pin", "file://host/pin")],
    ["pin-source", GOOD.replace("file:/run/pin", "|/bin/cat /run/pin")],
    ["pin-source", GOOD.replace("&pin-source=file:/run/pin", "")],
    ["pin-value", `${GOOD}&pin-value=1234`],
    ["type", GOOD.replace("?", ";type=secret-key?").replace("sealed", "native")],
    ["profile", GOOD.replace("&profile=softhsm", "")],
    ["profile", GOOD.replace("=softhsm", "=../softhsm")],
    ["profile", GOOD.replace("=softhsm", "=/etc/../hsm.json")],
    ["profile", GOOD.replace("=softhsm", "=SoftHSM")],
    ["opened-by", `${GOOD}&opened-by=hand`],
    ["opened-by", `${GOOD.replace("sealed", "native")}&opened-by=module`],
    ["mode", GOOD.replace("mode=sealed", "mode=split")],
    ["mode", GOOD.replace("mode=sealed", "mode=software")],
    ["mode", GOOD.replace("&mode=sealed", "")],
    ["mode", `${GOOD}&mode=sealed`],
    ["max-sessions", `${GOOD}&max-sessions=0`],
    ["max-sessions", `${GOOD}&max-sessions=65`],
    ["max-sessions", `${GOOD}&max-sessions=1.5`],
    ["keys", GOOD.replace("&keys=/var/keys", "")],
    ["keys", GOOD.replace("/var/keys", "keys")],
    ["key", GOOD.replace("keys=", "key=")],
    ["uri", `${GOOD}&`],
  ])("is refused for its %s: %s", (attribute, uri) => {
    // A misspelt attribute is reported by the name it was given.
    const named = uri.includes("module-name") ? "module-name" : attribute;
    expect(() => parsePkcs11Uri(uri)).toThrow(Pkcs11UriError);
    expect(() => parsePkcs11Uri(uri)).toThrow(expect.objectContaining({ attribute: named }));
  });

  it("never repeats a PIN in its error", () => {
    expect(() => parsePkcs11Uri(`${GOOD}&pin-value=7391`)).toThrow(/^(?!.*7391)/);
  });

  it("survives being written and read, whatever the names are", () => {
    const name = fc
      .string({ unit: "grapheme", minLength: 1, maxLength: 8 })
      .filter((text) => text === text.trim() && !/\p{Cc}/u.test(text))
      .filter((text) => Buffer.from(text).toString() === text && Buffer.byteLength(text) <= 16);
    const path = name
      .filter((text) => text !== ".." && !text.includes("/"))
      .map((text) => `/${text}`);
    const parts = fc.record({
      token: name,
      serial: fc.option(name),
      object: name,
      modulePath: path,
      pinSource: path,
      mode: fc.constant("sealed" as const),
      profile: fc.oneof(path, fc.constant("softhsm")),
      openedBy: fc.constantFrom(null, "module" as const, "javascript" as const),
      maxSessions: fc.integer({ min: 1, max: 64 }),
      keys: path,
    });
    fc.assert(
      fc.property(parts, (each) => {
        expect(parsePkcs11Uri(formatPkcs11Uri(each))).toEqual(each);
      }),
    );
  });
});
