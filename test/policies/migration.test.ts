/** A migration: everything that is spent goes to one other registered vault of a user, who signs first. */
import { describe, expect, it } from "vitest";
import { judge } from "../../policies/decide.ts";
import { type PolicyDocument, readPolicy } from "../../policies/document/policy.ts";
import { NO_EVIDENCE } from "../../policies/evidence.ts";
import { spendFacts } from "../../policies/facts.ts";
import {
  type HistoryDocument,
  historyOf,
  historyQuery,
  NO_HISTORY,
} from "../../policies/history.ts";
import { intentOf, readIntent, writeIntent } from "../../policies/intent.ts";
import { type Branch, CHANGE, RECEIVE } from "../../policies/vault.ts";
import { honest, NOW, OTHER_VAULT, POLICY, type SpendOptions, TREASURY } from "../support/spend.ts";

const LIMITS = { sats_per_spend: 3_000_000, windows: [{ hours: 24, sats: 10_000_000 }] };
const NEW = OTHER_VAULT;

interface Bends {
  readonly to?: { readonly branch: Branch; readonly index: number };
  readonly sats?: bigint;
  readonly feeSats?: bigint;
  readonly more?: SpendOptions;
  readonly parties?: readonly string[];
  readonly policy?: Partial<PolicyDocument["purposes"]>;
  readonly fees?: Partial<PolicyDocument["fees"]>;
  readonly history?: HistoryDocument;
  readonly known?: readonly (typeof OTHER_VAULT)[];
}

/** The rules that object to a migration, bent in one place. */
function objections(bends: Bends = {}): readonly string[] {
  const { to = { branch: RECEIVE, index: 0 }, sats = 3_000_000n, known = [NEW] } = bends;
  const script = NEW.scripts.at(to.branch, to.index).script;
  const spend = honest({
    payments: [{ script, sats }],
    change: null,
    ...(bends.feeSats !== undefined && { feeSats: bends.feeSats }),
    ...bends.more,
  });
  const seen = spendFacts(spend.psbt, [
    spend.vault.scripts,
    ...known.map(({ scripts }) => scripts),
  ]);
  // As if the PSBT had given the path, without which only indices 0 to 19 are searched.
  const coin = { vault: NEW.vault.id, kind: "user", exitBlocks: null, ...to } as const;
  const facts =
    to.index < 20
      ? seen
      : { ...seen, externalSats: 0n, outputs: seen.outputs.map((one) => ({ ...one, coin })) };
  const intent = intentOf({
    ...spend.intent,
    purpose: "migration",
    parties: bends.parties ?? [NEW.vault.id],
    outputs: [],
  });
  const policy = readPolicy({
    ...POLICY,
    fees: { ...POLICY.fees, ...bends.fees },
    purposes: { migration: LIMITS, ...bends.policy },
  });
  const query = historyQuery({ facts, intent, policy, evidence: NO_EVIDENCE, chain: null });
  const history = historyOf(bends.history ?? NO_HISTORY, query, { now: NOW, height: 1_000 });
  const parties = known.map(({ vault }) => vault);
  const { violations } = judge({ ...spend.case, facts, intent, policy, history, parties });
  return [...new Set(violations.map(({ rule }) => rule))];
}

describe("a migration", () => {
  it("is approved, to either branch of the new vault", () => {
    expect(objections()).toEqual([]);
    expect(objections({ to: { branch: CHANGE, index: 0 } })).toEqual([]);
  });

  it("needs the user's signature first", () => {
    expect(objections({ more: { signed: [] } })).toEqual(["user-signs-first"]);
    expect(objections({ more: { signed: ["trustee"] } })).toEqual(["user-signs-first"]);
  });

  it("goes to a registered vault: to another script it is a payment", () => {
    expect(objections({ known: [] })).toEqual([
      "vault-registered",
      "purpose-fits",
      "outputs-as-intended",
    ]);
  });

  it("goes to the vault that the intent names", () => {
    expect(objections({ parties: ["00".repeat(20)] })).toEqual([
      "vault-registered",
      "change-to-change",
    ]);
  });

  it("goes to a user's vault, not to the house's", () => {
    const script = TREASURY.scripts.at(RECEIVE, 0).script;
    const payments = [{ script, sats: 3_000_000n }];
    const parties = [TREASURY.vault.id];
    expect(objections({ more: { payments }, known: [TREASURY], parties })).toEqual([
      "purpose-fits",
      "house-vaults-known",
    ]);
  });

  it("takes all with it: no change, no second output", () => {
    expect(objections({ more: { change: 500_000n } })).toEqual(["purpose-fits"]);
  });

  it("goes where the new vault's owner looks: index 19, not 20", () => {
    for (const branch of [RECEIVE, CHANGE] as const) {
      expect(objections({ to: { branch, index: 19 } })).toEqual([]);
      expect(objections({ to: { branch, index: 20 } })).toEqual(["change-findable"]);
    }
  });

  it("keeps its limit a spend, to the sat", () => {
    expect(objections({ sats: 3_000_001n })).toEqual(["spend-limit"]);
  });

  it("keeps its window, fee included, to the sat", () => {
    const window = (sats: number) => ({
      migration: { ...LIMITS, windows: [{ hours: 24, sats }] },
    });
    expect(objections({ feeSats: 1_000n, policy: window(3_001_000) })).toEqual([]);
    expect(objections({ feeSats: 1_000n, policy: window(3_000_999) })).toEqual(["window-limit"]);
  });

  it("keeps the fee's share of what is moved", () => {
    expect(objections({ feeSats: 3_000n, fees: { share_bps: 10 } })).toEqual([]);
    expect(objections({ feeSats: 3_001n, fees: { share_bps: 10 } })).toEqual(["fee-share"]);
  });

  it("is not signed where the policy is silent about it", () => {
    const { withdrawal } = POLICY.purposes;
    expect(objections({ policy: { migration: undefined, withdrawal } })).toEqual([
      "purpose-allowed",
    ]);
  });
});

describe("an intent of a migration", () => {
  const OTHER = "00".repeat(20);
  const { intent } = honest();
  const document = writeIntent(
    intentOf({ ...intent, purpose: "migration", parties: [NEW.vault.id], outputs: [] }),
  );

  it("is written and read back", () => {
    expect(readIntent(JSON.parse(JSON.stringify(document))).parties).toEqual([NEW.vault.id]);
  });

  it.each([
    ["no vault to go to", { ...document, parties: [] }],
    ["two vaults to go to", { ...document, parties: [NEW.vault.id, "00".repeat(20)] }],
    ["the vault that it leaves", { ...document, parties: [intent.vault] }],
    ["a payment", { ...document, outputs: writeIntent(intent).outputs }],
    ["an intent that it cancels", { ...document, cancels: "00".repeat(32) }],
    ["parties of a withdrawal", { ...writeIntent(intent), parties: [NEW.vault.id, OTHER] }],
  ])("with %s is refused", (_, value) => {
    expect(() => readIntent(value)).toThrow();
  });
});
