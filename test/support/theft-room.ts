/**
 * A room for thefts: an LSP's and a trustee's guard, opened anew for each test, and what a test
 * expects of them: both refuse and nothing moves, or those asked sign and the transaction is finished.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect } from "vitest";
import { RECEIVE, type Role } from "../../policies/vault.ts";
import { openCurvePool } from "../../signer/curve.ts";
import type { SignOutcome } from "../../signer/signer.ts";
import { traces } from "./bent-room.ts";
import { mandateFields } from "./proofs.ts";
import { cancel, type Knobs, withdrawal } from "./purposes.ts";
import { consensusObjection } from "./second-opinion.ts";
import { signedBytes } from "./signer-room.ts";
import {
  honest,
  recipient,
  type Spend,
  type SpendOptions,
  type TestVault,
  USER_VAULT,
} from "./spend.ts";
import {
  ask,
  finishedBy,
  openTwoSigners,
  SEATS,
  type Seat,
  type SeatRole,
  see,
  type TwoSigners,
  type TwoSignersOptions,
  wordsOf,
} from "./two-signers.ts";

const BOTH = ["lsp", "trustee"] as const;

/** The same spend for both, or for each what it shall believe. */
type Asked = Spend | Readonly<Record<SeatRole, Spend>>;

const askedOf = (asked: Asked, seat: SeatRole): Spend => ("facts" in asked ? asked : asked[seat]);

export interface TheftRoom {
  readonly two: () => TwoSigners;
  /** Anew, with another law or more vaults. */
  readonly open: (options?: Partial<TwoSignersOptions>) => Promise<void>;
  /** What both say to a theft; no key was asked, and nothing was claimed, charged or remembered. */
  readonly expectTheft: (
    asked: Asked,
    said: string | Readonly<Record<SeatRole, string>>,
  ) => Promise<void>;
  /** Those asked sign, and with them, or with the user, the transaction is finished. */
  readonly expectSigned: (
    asked: Asked,
    by?: readonly SeatRole[],
    roles?: readonly [Role, Role],
  ) => Promise<readonly Uint8Array[]>;
  /** Both hear the word of a vault's user. */
  readonly tell: (
    kind: Parameters<typeof wordsOf>[0],
    fields: Parameters<typeof wordsOf>[1],
    by?: TestVault,
  ) => Promise<void>;
  readonly mandated: (
    part?: Parameters<typeof mandateFields>[1],
    vault?: TestVault,
  ) => Promise<void>;
  /** A cancel of what the LSP signs for this, without its coin's fee of 2,000 sat. */
  readonly cancelOf: (original: Spend, knobs?: Knobs) => Promise<Spend>;
}

/** Opens and closes with the tests of the file that calls it. */
export function theftRoom(): TheftRoom {
  const curve = openCurvePool(2);
  let folder = "";
  let two: TwoSigners | null = null;

  function shut(): void {
    two?.close();
    two = null;
    rmSync(folder, { recursive: true, force: true });
  }

  async function open(options: Partial<TwoSignersOptions> = {}): Promise<void> {
    shut();
    folder = mkdtempSync(join(tmpdir(), "ballast-thefts-"));
    two = await openTwoSigners({ folder, curve, ...options });
  }

  beforeEach(() => open());
  afterEach(shut);
  afterAll(() => curve.close());

  const opened = (): TwoSigners => {
    if (two === null) throw new Error("the room is open while a test runs");
    return two;
  };

  async function expectTheft(
    asked: Asked,
    said: string | Readonly<Record<SeatRole, string>>,
  ): Promise<void> {
    for (const seat of SEATS) {
      const spend = askedOf(asked, seat);
      see(opened(), spend);
      await expectNothing(opened()[seat], async () => {
        const heard = `${seat} ${verdict(await ask(opened()[seat], spend))}`;
        expect(heard).toBe(`${seat} ${typeof said === "string" ? said : said[seat]}`);
        return spend;
      });
    }
  }

  async function expectSigned(
    asked: Asked,
    by: readonly SeatRole[] = SEATS,
    roles: readonly [Role, Role] = BOTH,
  ): Promise<readonly Uint8Array[]> {
    const spend = askedOf(asked, "lsp");
    const psbts: Uint8Array[] = [];
    for (const seat of by) {
      const own = askedOf(asked, seat);
      see(opened(), own);
      psbts.push(signedBytes(await ask(opened()[seat], own)));
    }
    expect(consensusObjection(finishedBy(spend, psbts, roles), spend.spent)).toBeNull();
    return psbts;
  }

  async function tell(
    kind: Parameters<typeof wordsOf>[0],
    fields: Parameters<typeof wordsOf>[1],
    by: TestVault = USER_VAULT,
  ): Promise<void> {
    for (const seat of SEATS) {
      const outcome = await opened()[seat].signer.tell(wordsOf(kind, fields, by));
      expect(outcome).toMatchObject({ kind: "heard" });
    }
  }

  async function cancelOf(original: Spend, { spend = {}, ...knobs }: Knobs = {}): Promise<Spend> {
    see(opened(), original);
    const signed = signedBytes(await ask(opened().lsp, original));
    const sats = coinOf(original);
    return honest(
      cancel({
        intent: (content) => ({ ...content, cancels: original.intent.id }),
        evidence: (evidence) => ({ ...evidence, original: base64(signed) }),
        ...knobs,
        spend: { coins: [{ branch: RECEIVE, index: 0, sats }], change: sats - 2_000n, ...spend },
      }),
    );
  }

  return {
    ...{ two: opened, open, expectTheft, expectSigned, tell, cancelOf },
    mandated: (part = {}, vault = USER_VAULT) => tell("mandate", mandateFields(vault, part), vault),
  };
}

/** Asks for a theft: no key is used, no row moves, and the decision log gains one record of it. */
async function expectNothing(seat: Seat, theft: () => Promise<Spend>): Promise<void> {
  const state = () => ({
    traces: traces(seat),
    charges: chargesIn(seat),
    calls: seat.key.signed(),
  });
  const before = state();
  const { lines } = seat.journal.auditLog();
  const spend = await theft();
  expect(state()).toEqual(before);
  const [record, ...more] = seat.journal.auditLog().lines.slice(lines.length);
  expect(more).toEqual([]);
  expect(JSON.parse(record?.record ?? "{}")).toMatchObject({
    intent: spend.intent.id,
    txid: spend.facts.txid,
    verdict: expect.stringMatching(/^(?:refused|held)$/),
  });
}

function chargesIn({ journal }: Seat): readonly unknown[] {
  return journal.database.prepare("SELECT * FROM charges").all();
}

export function verdict(outcome: SignOutcome): string {
  if (outcome.kind === "signed") return "signed";
  const rules = [...new Set(outcome.violations.map(({ rule }) => rule))].sort();
  return `${outcome.kind}: ${rules.join(", ")}`;
}

/** Another intent of the same kind. */
export const named =
  (reference: string): NonNullable<Knobs["intent"]> =>
  (content) => ({ ...content, reference });

/** Another intent on an account that both signers remember: no change of it is to be explained. */
export const again = (more: Knobs = {}): Knobs => ({
  intent: named("another"),
  evidence: known,
  ...more,
});

export const known: NonNullable<Knobs["evidence"]> = (evidence) => ({ ...evidence, logs: [] });

export const pay = (sats: bigint, n = 0) => ({ script: recipient(n), sats });
export const receive = (vault: TestVault) => vault.scripts.at(RECEIVE, 0).script;
export const coinOf = (spend: Spend) => spend.spent[0]?.sats ?? 0n;
export const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

/** A payment that needs no statement, and that the trustee signs with the user alone. */
export const small = (knobs: Knobs = {}, spend: SpendOptions = {}) =>
  honest(
    withdrawal({
      ...{ votes: null, statement: null, cycle: null },
      ...knobs,
      spend: { payments: [pay(400_000n)], ...spend },
    }),
  );
