/** What a person can say, composed of a few figures: what is taken, what is refused, what it means. */
import { describe, expect, it } from "vitest";
import { LINE_BYTES_MAX } from "../../policies/evidence/line.ts";
import { NOTICE_KINDS, type NoticeKind, readNotice } from "../../policies/evidence/notice.ts";
import { compose, inWords, type Speech, type SpeechParts } from "../../signer/station/speech.ts";

const VAULT = "1a".repeat(20);
const KEY = `02${"3c".repeat(32)}`;
const FIELDS: Readonly<Record<NoticeKind, Readonly<Record<string, string>>>> = {
  mandate: {
    may: "collect,top-up",
    sats30d: "5000000",
    fees30d: "50001",
    bump: "5002",
    refresh: "12",
    claimbps: "53",
    treasury: "2b".repeat(20),
    recovery: "4d".repeat(20),
    until: "21004",
  },
  revoke: {},
  node: { node: KEY },
  delegate: { key: KEY, sats: "250000", until: "21004" },
  "lsp-gone": {},
  "user-lost": { to: "5e".repeat(20) },
  stop: {},
};

const parts = (kind: NoticeKind, bend: Partial<SpeechParts> = {}): SpeechParts => ({
  ...{ kind, network: "regtest", vault: VAULT, number: 7, fields: FIELDS[kind] },
  ...bend,
});

function composed(asked: SpeechParts): Speech {
  const speech = compose(asked);
  if (Array.isArray(speech)) throw new Error(speech.join("; "));
  return speech;
}

function reasons(asked: SpeechParts): string {
  const speech = compose(asked);
  if (!Array.isArray(speech)) throw new Error(`composed: ${speech.text}`);
  expect(speech).not.toEqual([]);
  return speech.join("; ");
}

const NAMED = NOTICE_KINDS.flatMap((kind) =>
  Object.keys(FIELDS[kind]).map((name) => [kind, name] as const),
);
/** What stands in a mandate where a person says nothing of it. */
const USUAL = ["may", "bump", "refresh", "claimbps", "recovery"];

describe("a speech", () => {
  it.each(NOTICE_KINDS)("of the kind %s is one line with all that was said", (kind) => {
    const { text, notice } = composed(parts(kind));
    expect(text).toMatch(/^[\x20-\x7e]{1,300}$/);
    expect(text.startsWith(`Ballast ${kind} 1 regtest vault=${VAULT} no=7`)).toBe(true);
    for (const pair of Object.entries(FIELDS[kind])) expect(text).toContain(` ${pair.join("=")}`);
    expect(readNotice(text)).toEqual(notice);
  });

  it.each(NAMED)("of the kind %s without %s says so, or what is usual", (kind, name) => {
    const { [name]: _, ...fields } = FIELDS[kind];
    if (USUAL.includes(name)) expect(composed(parts(kind, { fields })).text).toContain(`${name}=`);
    else expect(reasons(parts(kind, { fields }))).toBe(`a ${kind} needs "${name}"`);
  });

  it("allows by itself nothing but what is usual", () => {
    const { sats30d = "", fees30d = "", treasury = "", until = "" } = FIELDS.mandate;
    const { notice } = composed(
      parts("mandate", { fields: { sats30d, fees30d, treasury, until } }),
    );
    expect(notice).toMatchObject({
      may: ["collect", "top-up", "consolidation", "cancel"],
      ...{ bump: 0n, refresh: 0, claimbps: 0, recovery: null },
    });
  });

  it.each(
    NOTICE_KINDS.flatMap((kind) =>
      ["color", "no", "vault", "__proto__"].map((name) => [kind, name] as const),
    ),
  )("of the kind %s has no %s", (kind, name) => {
    const fields = Object.fromEntries([...Object.entries(FIELDS[kind]), [name, "1"]]);
    expect(reasons(parts(kind, { fields }))).toBe(`a ${kind} has no "${name}"`);
  });

  /** Wrong in every field. */
  const NEVER = ["", " ", "-1", "1.5", "1e3", "0x10", "07", "1 until=9", "1\nno=9", "é", "\u202e1"];
  it.each([
    ...NAMED.flatMap(([kind, name]) => NEVER.map((value) => [kind, name, value] as const)),
    ["mandate", "may", "withdrawal"],
    ["mandate", "may", "top-up,collect"],
    ["mandate", "may", "collect,collect"],
    ["mandate", "sats30d", "10000000000000000"],
    ["mandate", "refresh", "1001"],
    ["mandate", "claimbps", "10001"],
    ["mandate", "until", "100000001"],
    ["mandate", "treasury", "2B".repeat(20)],
    ["mandate", "treasury", "2b".repeat(21)],
    ["mandate", "recovery", "nobody"],
    ["mandate", "recovery", "4d".repeat(32)],
    ["node", "node", `04${"3c".repeat(32)}`],
    ["node", "node", "3c".repeat(32)],
    ["delegate", "key", KEY.toUpperCase()],
    ["delegate", "until", "100000001"],
    ["user-lost", "to", VAULT.slice(2)],
  ] as const)("of the kind %s does not take %s=%j", (kind, name, value) => {
    const fields = { ...FIELDS[kind], [name]: value };
    expect(reasons(parts(kind, { fields }))).toContain(`${name}=${value}`);
  });

  it.each(NOTICE_KINDS)("of the kind %s is about a vault, with a number", (kind) => {
    for (const number of [Number.NaN, -1, 1.5, 1e21, 1_000_000_001]) {
      expect(reasons(parts(kind, { number }))).toContain(`number=${number}`);
    }
    for (const vault of ["", "1a", `${VAULT} `, VAULT.toUpperCase().replaceAll("1", "F")]) {
      expect(reasons(parts(kind, { vault }))).toContain(`vault=${vault}`);
    }
    expect(composed(parts(kind, { number: 1_000_000_000 })).notice.no).toBe(1_000_000_000);
  });

  it("of all that a mandate may allow fits a device, up to ten bitcoin a month", () => {
    const fields = {
      may: "collect,top-up,consolidation,cancel",
      ...{ sats30d: "999999999", fees30d: "9999999", bump: "999999" },
      ...{ refresh: "99", claimbps: "99", until: "999999" },
      ...{ treasury: "2b".repeat(20), recovery: "4d".repeat(20) },
    };
    const long = (bend: object = {}) =>
      parts("mandate", { number: 99, fields: { ...fields, ...bend } });
    for (const network of ["bitcoin", "testnet", "signet", "regtest"] as const) {
      const { text } = composed({ ...long(), network });
      expect(text.length).toBeLessThanOrEqual(LINE_BYTES_MAX);
    }
    expect(composed(long()).text).toHaveLength(LINE_BYTES_MAX);
    expect(reasons(long({ sats30d: "9999999999" }))).toBe(
      "it would have 301 characters, a device shows 300",
    );
    // What it leaves out makes room.
    expect(composed(long({ sats30d: "9999999999", recovery: "none" })).text).toContain("=none ");
  });
});

describe("in words", () => {
  /** Another value of each field, and how a person reads it. */
  const OTHER: Readonly<Record<string, readonly [string, string]>> = {
    may: ["cancel", "cancel"],
    sats30d: ["6000000", "at most 6000000 sat"],
    fees30d: ["60001", "at most 60001 sat of fees"],
    bump: ["6002", "by at most 6002 sat"],
    refresh: ["13", "at most 13 coins a year"],
    claimbps: ["54", "charge 54 bps"],
    treasury: ["2c".repeat(20), "2c".repeat(20)],
    recovery: ["4e".repeat(20), "4e".repeat(20)],
    until: ["21005", "until block 21005"],
    node: [`03${"3d".repeat(32)}`, `03${"3d".repeat(32)}`],
    key: [`03${"3d".repeat(32)}`, `03${"3d".repeat(32)}`],
    sats: ["260000", "at most 260000 sat"],
    to: ["5f".repeat(20), "5f".repeat(20)],
  };
  const page = (asked: SpeechParts) => inWords(composed(asked).notice).join("\n");

  it.each(NAMED)("a %s tells %s", (kind, name) => {
    const [value, words] = OTHER[name] ?? ["", ""];
    const fields = { ...FIELDS[kind], [name]: value };
    const [before, after] = [page(parts(kind)), page(parts(kind, { fields }))];
    expect(after).toContain(words);
    expect(before).not.toContain(words);
  });

  it.each(NOTICE_KINDS)("a %s tells of which vault, where, and its number", (kind) => {
    const other = { vault: "6f".repeat(20), network: "signet", number: 8 } as const;
    for (const [bend, words] of [
      [{ vault: other.vault }, `vault ${other.vault} on regtest, number 7`],
      [{ network: other.network }, `vault ${VAULT} on signet, number 7`],
      [{ number: other.number }, `vault ${VAULT} on regtest, number 8`],
    ] as const) {
      expect(page(parts(kind, bend))).toContain(words);
      expect(page(parts(kind))).not.toContain(words);
    }
  });

  it("says what nobody may, and that nobody recovers", () => {
    const fields = { ...FIELDS.mandate, may: "none", recovery: "none" };
    const said = page(parts("mandate", { fields }));
    expect(said).toContain("do nothing by name");
    expect(said).toContain("Nobody can recover your coins if you are lost.");
  });

  it("no two kinds read the same", () => {
    const pages = NOTICE_KINDS.map((kind) => inWords(composed(parts(kind)).notice)[0]);
    expect(new Set(pages).size).toBe(NOTICE_KINDS.length);
  });
});
