/** Sections A to D and F of the catalogue, each through the whole guard: see README.md. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { judge } from "../../policies/decide.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { askBent, traces } from "../support/bent-room.ts";
import type { SignerRoom } from "../support/signer-room.ts";
import { honest } from "../support/spend.ts";
import { attacks } from "./catalogue.ts";

const curve = openCurvePool(2);
let folder = "";
let room: SignerRoom | null = null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-attack-"));
});
afterEach(async () => {
  await room?.close();
  room = null;
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => curve.close());

describe.each(attacks)("attack $number: $what", ({ by }) => {
  it.each(by.map(({ rule, bend }) => ({ rule, bend, what: bend.what })))(
    "$rule: $what",
    async ({ rule, bend }) => {
      const spend = honest(bend.beyond);
      const said = judge(spend.case).violations.map((violation) => violation.rule);
      expect(said).toContain(rule);

      const asked = await askBent({ folder, curve, spend });
      room = asked.room;
      expect(asked.outcome.kind).toBe(bend.held === true ? "held" : "refused");
      expect(room.key.signed()).toBe(0);
      expect(traces(room)).toEqual({
        claims: 0,
        charges: 0,
        outpoints: 0,
        signatures: 0,
        answers: 0,
      });
      const { lines } = room.journal.auditLog();
      expect(lines).toHaveLength(1);
      expect(JSON.parse(lines[0]?.record ?? "{}")).toMatchObject({
        txid: spend.facts.txid,
        verdict: asked.outcome.kind,
      });
    },
  );
});

it("each number stands once", () => {
  const numbers = attacks.map(({ number }) => number);
  expect(new Set(numbers).size).toBe(numbers.length);
});
