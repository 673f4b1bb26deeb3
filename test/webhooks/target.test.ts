/** Where a webhook may go: every range on both of its sides, every odd way to write an address. */
import { lookup as systemLookup } from "node:dns";
import { describe, expect, it } from "vitest";
import { closedAddress } from "../../orchestrator/webhooks/address.ts";
import {
  type Allowances,
  objectionsTo,
  openLookup,
  USUAL_PORTS,
} from "../../orchestrator/webhooks/target.ts";

const STRICT: Allowances = { allowPrivate: false, hosts: [], ports: USUAL_PORTS };
const PRIVATE: Allowances = { ...STRICT, allowPrivate: true };
const LISTED: Allowances = { ...STRICT, hosts: ["hooks.internal", "10.1.2.3", "[fd00::1]"] };

/** Last open, first closed, last closed, first open; null where a side is closed for another reason. */
const RANGES: readonly (readonly [string | null, string, string, string | null])[] = [
  [null, "0.0.0.0", "0.255.255.255", "1.0.0.0"],
  ["9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"],
  ["100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"],
  ["126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"],
  ["169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"],
  ["172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"],
  ["191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"],
  ["192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"],
  ["192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"],
  ["192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"],
  ["198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"],
  ["198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"],
  ["203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"],
  ["223.255.255.255", "224.0.0.0", "239.255.255.255", null],
  [null, "240.0.0.0", "255.255.255.255", null],
  [null, "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"],
  [
    "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001::",
    "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:200::",
  ],
  [
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db8::",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
  ],
  [
    "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002::",
    "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2003::",
  ],
  [
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff::",
    "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff:1000::",
  ],
  [
    "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    null,
  ],
];

/** Each is closed for a reason that has a name elsewhere. */
const CLOSED = [
  ...["::1", "::", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1"],
  ...["64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "fc00::1", "fd12:3456::1", "fe80::1"],
  ...["fe80::1%eth0", "2606:4700::1%lo", "ff02::1", "2001:0:7f00:1::", "2002:7f00:1::1"],
  ...["", "localhost", "127.1", "0x7f.0.0.1", "8.8.8"],
];

describe("addresses", () => {
  it.each(RANGES)("%s is open, %s to %s is not, %s is", (before, first, last, after) => {
    expect(closedAddress(first)).not.toBeNull();
    expect(closedAddress(last)).not.toBeNull();
    if (before !== null) expect(closedAddress(before)).toBeNull();
    if (after !== null) expect(closedAddress(after)).toBeNull();
  });

  it.each(CLOSED)("%s is closed", (address) => {
    expect(closedAddress(address)).not.toBeNull();
  });

  it("of the open internet are open", () => {
    for (const address of ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111"]) {
      expect(closedAddress(address)).toBeNull();
    }
  });
});

describe("URLs", () => {
  it.each([
    "https://example.com/",
    "https://example.com/hooks/a?b=c",
    "https://example.com:8443/",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    `https://example.com/${"a".repeat(480)}`,
  ])("%s may be one", (url) => {
    expect(objectionsTo(url, STRICT)).toEqual([]);
  });

  it.each([
    ["http://example.com/", "https"],
    ["ftp://example.com/", "https"],
    ["file:///etc/passwd", "https"],
    ["gopher://example.com/", "https"],
    ["javascript:alert(1)", "https"],
    ["//example.com/", "no URL"],
    ["example.com", "no URL"],
    ["", "no URL"],
    ["https://", "no URL"],
    ["https://127.0.0.1/", "loopback"],
    ["https://[::1]/", "not global"],
    ["https://[::ffff:7f00:1]/", "not global"],
    ["https://169.254.169.254/latest/meta-data", "link-local"],
    ["https://0x7f.1/", "plain form"],
    ["https://2130706433/", "plain form"],
    ["https://0177.0.0.1/", "plain form"],
    ["https://127.1/", "loopback"],
    ["https://127.0.0.1./", "loopback"],
    ["https://１２７.0.0.1/", "loopback"],
    ["https://localhost/", "local name"],
    ["https://localhost./", "local name"],
    ["https://a.localhost/", "local name"],
    ["https://router/", "local name"],
    ["https://printer.local/", "local name"],
    ["https://hooks.internal/", "local name"],
    ["https://user@example.com/", "plain form"],
    ["https://user:pass@example.com/", "plain form"],
    ["https://example.com@127.0.0.1/", "loopback"],
    ["https://example.com/#a", "plain form"],
    ["https://EXAMPLE.com/", "plain form"],
    ["https://example.com", "plain form"],
    ["https://example.com:443/", "plain form"],
    ["https:\\\\example.com/", "plain form"],
    ["https://example.com/\n", "plain form"],
    [" https://example.com/", "plain form"],
    ["https://example.com/a/../b", "plain form"],
    ["https://example.com:22/", "port 22"],
    ["https://example.com:80/", "port 80"],
    ["https://example.com:8442/", "port 8442"],
    ["https://example.com:8444/", "port 8444"],
    [`https://example.com/${"a".repeat(481)}`, "longer"],
  ])("%s may not: %s", (url, words) => {
    expect(objectionsTo(url, STRICT).join("; ")).toContain(words);
  });

  it("never repeat a password", () => {
    const said = objectionsTo("https://user:hunter2@example.com/", STRICT).join();
    expect(said).not.toContain("hunter2");
    expect(said).not.toContain("user@");
  });

  it("of one's own network may be ones where that is configured, in their plain form", () => {
    for (const url of ["http://127.0.0.1:8080/", "https://router/", "http://[::1]:1/"]) {
      expect(objectionsTo(url, PRIVATE)).toEqual([]);
    }
    for (const url of ["http://2130706433/", "http://u@127.0.0.1/", "ftp://127.0.0.1/"]) {
      expect(objectionsTo(url, PRIVATE)).not.toEqual([]);
    }
    for (const url of ["http://hooks.internal:99/", "https://10.1.2.3/", "http://[fd00::1]/"]) {
      expect(objectionsTo(url, LISTED)).toEqual([]);
    }
    for (const url of ["https://a.hooks.internal/", "https://10.1.2.4/", "http://example.com/"]) {
      expect(objectionsTo(url, LISTED)).not.toEqual([]);
    }
  });
});

type Answers = readonly { readonly address: string; readonly family: number }[];

/** A name server that answers as it is told. */
function resolver(answers: Answers): typeof systemLookup {
  const lookup = (_name: string, _options: object, callback: (...told: unknown[]) => void) =>
    callback(null, answers);
  return lookup as unknown as typeof systemLookup;
}

function resolved(answers: Answers, allowed: Allowances, all: boolean): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const lookup = openLookup("hooks.example", allowed, resolver(answers));
    lookup("hooks.example", { all }, (error, address) => {
      if (error === null) resolve(address);
      else reject(error);
    });
  });
}

const OPEN = { address: "8.8.8.8", family: 4 };
const HOME = { address: "127.0.0.1", family: 4 };

describe("names", () => {
  it.each([true, false])("with open addresses alone are resolved (all: %s)", async (all) => {
    expect(await resolved([OPEN], STRICT, all)).toEqual(all ? [OPEN] : OPEN.address);
  });

  it.each([[[HOME]], [[OPEN, HOME]], [[HOME, OPEN]], [[]]])("with %j are not", async (answers) => {
    for (const all of [true, false]) {
      await expect(resolved(answers, STRICT, all)).rejects.toMatchObject({
        code: "closed-address",
      });
    }
  });

  it("that are allowed are resolved by the system alone", async () => {
    expect(openLookup("hooks.internal", LISTED)).toBe(systemLookup);
    expect(openLookup("hooks.internal", STRICT)).not.toBe(systemLookup);
  });
});
