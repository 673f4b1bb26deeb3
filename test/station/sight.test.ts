/** What a person is shown of each kind of spend: every sat of it, and nothing that others can paint. */
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { IN } from "../../policies/bitcoin/psbt-fields.ts";
import { judge } from "../../policies/decide.ts";
import type { Purpose } from "../../policies/intent.ts";
import { centsOfSatsFloor, price } from "../../policies/money.ts";
import { openTerminal } from "../../scripts/terminal.ts";
import { KeyError } from "../../signer/key-error.ts";
import { plain, plainJson } from "../../signer/station/plain.ts";
import { StationError, type StationRequest } from "../../signer/station/requests.ts";
import { goThrough } from "../../signer/station/session.ts";
import { type Sight, sightOf } from "../../signer/station/sight.ts";
import type { Station } from "../../signer/station/station.ts";
import { tellSight } from "../../signer/station/words.ts";
import { HONEST, LAW, recoveryLspGone } from "../support/purposes.ts";
import { registrationOf, requestOf } from "../support/signer-room.ts";
import {
  honest,
  type Maps,
  type SpendOptions,
  USER_VAULT,
  withoutFields,
} from "../support/spend.ts";

const QUOTE = { price: price(6_543_210n), source: "prices.example" };
const PURPOSES = Object.keys(HONEST) as Purpose[];

function seen(options: SpendOptions, quote: typeof QUOTE | null = QUOTE) {
  const spend = honest(options);
  const sight = sightOf({ verdict: judge(spend.case), spend: spend.case }, quote);
  return { spend, sight };
}

const page = (sight: Sight, device = false) =>
  tellSight(sight, { deadline: "block 1", device }).join("\n");
const sum = (parts: readonly { readonly sats: string }[]) =>
  parts.reduce((total, { sats }) => total + BigInt(sats), 0n);
const grouped = (address: string) => address.match(/.{1,4}/g)?.join(" ") ?? "";
const written = (sats: bigint | string) => `${BigInt(sats).toLocaleString("en-US")} sat`;

/** Whom each honest spend pays, besides its own vault. */
const PAID: Readonly<Record<Purpose, readonly string[]>> = {
  withdrawal: ["outside"],
  migration: ["user"],
  collect: ["treasury"],
  "top-up": ["user"],
  refresh: [],
  consolidation: [],
  margin: ["outside"],
  "escrow-in": ["escrow"],
  "escrow-out": ["user"],
  "channel-open": ["outside"],
  cancel: [],
  "recovery-lsp-gone": ["outside"],
  "recovery-user-lost": ["user"],
  "proof-of-reserves": [],
};

describe.each(PURPOSES)("an honest %s", (purpose) => {
  const { spend, sight } = seen(HONEST[purpose]());

  it("is told as what it is, to whom, and what returns", () => {
    expect(sight).toMatchObject({ purpose, verdict: "approved", violations: [] });
    expect(sight.payees.map(({ whose }) => whose)).toEqual(PAID[purpose]);
    const said = page(sight);
    for (const { address, sats, cents } of sight.payees) {
      expect(said).toContain(`Pays     ${written(sats)} (about $`);
      expect(said).toContain(grouped(address));
      expect(cents).toBe(String(centsOfSatsFloor(BigInt(sats), QUOTE.price)));
    }
    for (const { sats, branch, index } of sight.change) {
      expect(said).toContain(`Returns  ${written(sats)} to `);
      expect(said).toContain(`, at ${branch}/${index}`);
    }
    expect(said.includes("Nobody outside the vault is paid.")).toBe(PAID[purpose].length === 0);
  });

  it("is told whole: payees, change and fee are all that goes in", () => {
    const { payees, change, fee, inputs } = sight;
    expect(payees.length + change.length).toBe(spend.tx.outputs.length);
    expect(sum(payees) + sum(change) + BigInt(fee.sats ?? 0)).toBe(BigInt(inputs.sats ?? -1));
    expect(page(sight)).toContain(`Fee      ${written(fee.sats ?? "")}`);
    expect(page(sight)).toContain(sight.spendHash);
  });

  it("is told with the other purposes' words of none", () => {
    const first = PURPOSES.map((other) => page({ ...sight, purpose: other }).split("\n")[0]);
    expect(new Set(first).size).toBe(PURPOSES.length);
    expect(page({ ...sight, purpose: null })).toMatch(/^This transaction is NOT what it is said/);
  });
});

describe("what a person is shown", () => {
  it("is not what is said where the facts are others", () => {
    const { sight } = seen(HONEST.withdrawal({ spend: { purpose: "margin" } }));
    expect([sight.purpose, sight.verdict]).toEqual([null, "refused"]);
    expect(page(sight)).toContain("Your law says NO, and will sign nothing:");
  });

  it("is without a vault where none is known", () => {
    const { sight } = seen({ law: LAW, bend: { vault: () => null } });
    expect(sight.vault).toBeNull();
    expect(page(sight)).toContain("From     a vault that this station does not know");
    expect(page(sight, true)).toContain("From    ?");
  });

  it("has no dollars without a price", () => {
    const { sight } = seen(HONEST.withdrawal(), null);
    const said = page(sight);
    expect([sight.price, sight.fee.cents, sight.payees[0]?.cents]).toEqual([null, null, null]);
    expect(said).toContain("this station has no price of its own: no dollars are shown");
    expect(said).not.toContain("(about $");
    // The guardians' own prices are told as theirs.
    expect(said).toContain("the guardians voted $99,900.00, $100,000.00, $100,100.00");
  });

  it("says NOT YET where it may be asked again", () => {
    const { sight } = seen(recoveryLspGone({ heard: 857 }));
    expect(sight.verdict).toBe("held");
    const said = page(sight);
    expect(said).toContain("Your law says NOT YET, and would sign nothing now:");
    expect(said).toContain(
      "recovery-announced: the recovery may go on from block 1001 (again in 1 blocks",
    );
  });

  it.each([
    [[], "by nobody yet"],
    [["user"], "by the user"],
    [["user", "trustee"], "by the user and the trustee"],
  ] as const)("says who has signed: %j", (signed, words) => {
    expect(page(seen({ signed }).sight)).toContain(`Signed   ${words}`);
  });

  it("names nobody who has signed one coin of two", () => {
    const bend = { maps: (maps: Maps) => withoutFields(maps, 1, [IN.TAP_SCRIPT_SIG]) };
    expect(seen({ coins: 2, bend }).sight.signedBy).toEqual([]);
  });

  it("is on a device what its screen says, in its own letters", () => {
    const { sight } = seen({ payments: [{ script: payee, sats: 2_000_000n }] });
    const said = page(sight, true);
    expect(said).toMatch(/Amount {2}0\.02 TEST\n {4}To {6}tb1q/);
    expect(said).toContain("Fees    0.0000");
    expect(page(seen(HONEST.refresh()).sight, true)).toContain("Amount  0 TEST (self-transfer)");
    expect(page({ ...sight, network: "bitcoin" }, true)).toContain("Amount  0.02 BTC");
  });

  it.each([
    ["1", "0.00000001"],
    ["100000000", "1"],
    ["150000000", "1.5"],
    ["2100000000000000", "21000000"],
  ])("is written by a device in bitcoins: %s sat is %s", (sats, bitcoins) => {
    const { sight } = seen({});
    const payees = sight.payees.map((one) => ({ ...one, sats }));
    expect(page({ ...sight, payees }, true)).toContain(`Amount  ${bitcoins} TEST\n`);
  });

  it("names the vault where another than the spent one gets change", () => {
    const { sight } = seen({});
    const [own] = sight.change;
    expect(page(sight)).toContain("to the same vault, at 1/3");
    const change = own === undefined ? [] : [{ ...own, vault: "5a".repeat(20) }];
    expect(page({ ...sight, change })).toContain(`to vault ${"5a".repeat(20)}, at 1/3`);
  });
});

const payee = honest({}).tx.outputs[0]?.script ?? new Uint8Array();

/** What a terminal would obey, or what hides, turns or breaks what it stands beside. */
const PAINT = [
  "\u001b[2J\u001b[H",
  "\u001b]0;title\u0007",
  "\r\n  Your law agrees: 45 rules of 45.",
  "\u009b31m",
  "\u0008\u0008\u007f",
  "\u2028\u2029\u0085\u000b\u000c",
  "\u202e\u2066\u200b\u200f\ufeff\u00ad",
  "\ud800",
  "\u{e0041}",
];
const UNPAINTED = /^[^\p{C}\p{Zl}\p{Zp}]*$/u;

/** Every text inside, with paint behind it. */
function painted<Value>(value: Value, paint: string): Value {
  if (typeof value === "string") return `${value}${paint}` as Value;
  if (Array.isArray(value)) return value.map((each) => painted(each, paint)) as Value;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, painted(each, paint)]),
  ) as Value;
}

/** Figures stay figures, and words that choose a sentence choose it. */
const FIXED = ["sats", "cents", "rate", "left", "most", "purpose", "whose", "verdict", "voted"];
function kept(from: unknown, into: unknown): unknown {
  if (typeof from !== "object" || from === null) return into;
  const changed = into as Record<string, unknown>;
  return Array.isArray(from)
    ? from.map((each, i) => kept(each, changed[i]))
    : Object.fromEntries(
        Object.entries(from).map(([key, each]) => [
          key,
          FIXED.includes(key) ? each : kept(each, changed[key]),
        ]),
      );
}

describe.each(PAINT)("words of others that hold %j", (paint) => {
  it("are letters in a sight, line for line", () => {
    const { sight } = seen(
      HONEST.withdrawal({ spend: { payments: [{ script: payee, sats: 9_000_000_000n }] } }),
    );
    const around = { deadline: "block 1", device: true };
    const before = tellSight(sight, around);
    const bent = kept(sight, painted(sight, paint)) as Sight;
    const after = tellSight(bent, { ...around, deadline: `block 1${paint}` });
    expect(after).toHaveLength(before.length);
    for (const line of after) expect(line).toMatch(UNPAINTED);
    expect(after.join("\n")).not.toBe(before.join("\n"));
  });

  it("are letters in a session: reasons, faults, names of ceremonies", async () => {
    const spend = honest();
    const waits: StationRequest = {
      ...{ id: spend.intent.id, request: requestOf(spend), deadline: paint, ceremony: null },
      vaults: [registrationOf(USER_VAULT)],
    };
    const shown: string[] = [];
    const person = {
      show: (lines: readonly string[]) => void shown.push(...lines),
      ask: async () => "sign",
    };
    const said = (fault: Error): Station => ({
      list: async () => [waits, waits],
      meet: async () => [{ vault: USER_VAULT.vault, reasons: [`no${paint}`] }],
      look: async () => seen({}).sight,
      approve: async () => Promise.reject(fault),
      decline: async () => undefined,
      attest: async () => [`c${paint}`],
      enrol: async () => false,
      hear: async () => ({ heard: 1, refused: [`r${paint}`] }),
    });
    for (const fault of [
      new StationError("refused", `it says ${paint}`),
      new KeyError("unavailable", `gone ${paint}`),
      new KeyError("rejected", `said ${paint}`),
    ]) {
      await goThrough({ station: said(fault), person, device: true });
    }
    const station = said(new Error());
    const attest = async () => Promise.reject(new StationError("refused", `not ${paint}`));
    await goThrough({
      station: { ...station, list: async () => [], attest },
      person,
      device: true,
    });
    expect(shown.join("")).toContain("law: no\\u{");
    for (const line of shown) expect(line).toMatch(UNPAINTED);
  });

  it("are letters on the terminal, whoever shows them, and in its JSON", () => {
    const out = new PassThrough();
    const terminal = openTerminal(out);
    terminal.show([`a ${paint}`, "b"]);
    terminal.close();
    const text = String(out.read());
    expect(text.split("\n")).toHaveLength(3);
    expect(text.replaceAll("\n", "")).toMatch(UNPAINTED);
    const json = plainJson({ [paint]: [`a ${paint}`] });
    expect(json).toMatch(UNPAINTED);
    expect(JSON.parse(json)).toEqual({ [paint]: [`a ${paint}`] });
  });
});

describe("letters", () => {
  it("of people stay as they are", () => {
    for (const text of ["", "Zürich, 2 €", "東京 🔒", "naïve — “yes”"])
      expect(plain(text)).toBe(text);
  });

  it("of a QR code keep their ink on the terminal, and nothing else does", () => {
    const out = new PassThrough();
    const terminal = openTerminal(out);
    const code = "\u001b[38;5;16;48;5;231m▀▄\u001b[0m";
    terminal.show([code, "\u001b[8m hidden"]);
    terminal.close();
    expect(String(out.read())).toBe(`${code}\n\\u{1b}[8m hidden\n`);
  });
});
