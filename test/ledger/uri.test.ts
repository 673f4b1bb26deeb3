import { afterAll, describe, expect, it } from "vitest";
import { openLedgerKey } from "../../signer/ledger/open.ts";
import { parseLedgerUri } from "../../signer/ledger/uri.ts";
import { ledgerStand } from "../support/ledger-stand.ts";

const COMMON = { fingerprint: null, allowNewer: false };

describe("a Ledger's URI", () => {
  it.each([
    ["ledger:hid", { kind: "hid", path: null, ...COMMON }],
    ["ledger:hid?path=%2Fdev%2Fhidraw3", { kind: "hid", path: "/dev/hidraw3", ...COMMON }],
    ["ledger:hid?path=/dev/hidraw3", { kind: "hid", path: "/dev/hidraw3", ...COMMON }],
    [
      "ledger:hid?fingerprint=f5acc2fd",
      { kind: "hid", path: null, ...COMMON, fingerprint: "f5acc2fd" },
    ],
    ["ledger:hid?allow-newer=yes", { kind: "hid", path: null, ...COMMON, allowNewer: true }],
    ["ledger:speculos", { kind: "speculos", host: "127.0.0.1", port: 5000, ...COMMON }],
    ["ledger:speculos?port=1&host=box", { kind: "speculos", host: "box", port: 1, ...COMMON }],
    ["ledger:emulator?port=65535", { kind: "emulator", host: "127.0.0.1", port: 65535, ...COMMON }],
  ])("%s", (text, parts) => {
    expect(parseLedgerUri(text)).toEqual(parts);
  });

  it.each([
    ["ledger:", "expected ledger:hid"],
    ["ledger:usb", "expected ledger:hid"],
    ["ledger:HID", "expected ledger:hid"],
    ["ledger:hid?pth=/dev/hidraw3", 'unknown parameter "pth"'],
    ["ledger:hid?port=1", 'unknown parameter "port"'],
    ["ledger:emulator?port=1&host=box", 'unknown parameter "host"'],
    ["ledger:hid?path=a&path=b", "stands twice"],
    ["ledger:hid?path=", "no name of a device"],
    ["ledger:hid?path=%00", "no name of a device"],
    ["ledger:hid?path=%zz", "percent-encoded"],
    ["ledger:hid?fingerprint=F5ACC2FD", "eight lower-case"],
    ["ledger:hid?fingerprint=f5acc2f", "eight lower-case"],
    ["ledger:hid?allow-newer=no", "allow-newer"],
    ["ledger:hid?allow-newer", "allow-newer"],
    ["ledger:emulator", "port is a number"],
    ["ledger:emulator?port=0", "port is a number"],
    ["ledger:emulator?port=65536", "port is a number"],
    ["ledger:emulator?port=5000x", "port is a number"],
    ["ledger:speculos?host=a%20b", "host is no host name"],
    ["ledger:speculos?host=-a", "host is no host name"],
  ])("%s is refused", (text, words) => {
    expect(() => parseLedgerUri(text)).toThrow(words);
  });
});

describe("mainnet", () => {
  const stand = ledgerStand();
  afterAll(() => stand.close());
  const open = (uri: string) => {
    const { journal } = stand;
    const rest = { vaultOf: () => null, look: () => undefined, log: () => undefined };
    return openLedgerKey(uri, { network: "bitcoin", database: journal.database, ...rest });
  };

  it.each(["ledger:emulator?port=1", "ledger:speculos"])("is refused to %s", (uri) => {
    expect(() => open(uri)).toThrow("refuses mainnet");
  });

  it("is for devices, which are not touched before they are used", () => {
    const key = open("ledger:hid?fingerprint=f5acc2fd");
    expect(key.name).toBe("ledger:f5acc2fd");
    expect(key.custody).toBe("Ledger: the device signs, and a person approves each spend on it");
  });
});
