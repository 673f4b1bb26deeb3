/**
 * The signer's memory at every end. A whole signer (journal, mirror, audit key, software key, guard)
 * answers a fixed list of requests, once, while every call that changes its files is numbered. Then
 * it lives that life again and is killed before and after each call; and from the recorded bytes its
 * folder is made as a power cut after each call may leave it. Whenever it was: no signature has left
 * that the memory does not have, no coin has two intents, and asking again gives the same.
 */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openJournal } from "../../signer/journal.ts";
import { inspect } from "../support/afterlife.ts";
import {
  buildDiskShim,
  buildProgram,
  type DiskCall,
  diskShimPart,
  readRecord,
  startProgram,
} from "../support/disk-shim.ts";
import { planOfLife, provisionLife, writeLifePlan } from "../support/life-plan.ts";
import {
  type Image,
  imageAfter,
  readImage,
  type Survives,
  writeImage,
} from "../support/power-loss.ts";
import { random } from "../support/random.ts";
import { describeReal } from "../support/real-part.ts";
import { placesIn, WHOSE } from "../support/whole-signer.ts";

/** As many children at once as the project's machines have cores. */
const LANES = 2;
const LONG_MS = 600_000;
/** Of an earlier life. A head is signed after every other decision of this one, and at its end. */
const DECISIONS_BEFORE = 14;

describeReal(diskShimPart(), "a signer that dies", () => {
  const plan = planOfLife(0);
  let folder = "";
  let born = "";
  let planFile = "";
  let shim = "";
  let program = "";
  let calls: readonly DiskCall[] = [];
  const boundaries = () => calls.filter(({ kind }) => kind !== "say");

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ballast-crash-"));
    born = join(folder, "born");
    mkdirSync(born);
    await provisionLife(born, { decisions: DECISIONS_BEFORE });
    planFile = writeLifePlan(folder, plan);
    shim = buildDiskShim(folder);
    program = buildProgram(folder, "crash-victim");
    const record = join(folder, "record");
    const { ended } = life("whole", { record });
    const { code, lines, stderr } = await ended;
    expect([code, stderr]).toEqual([0, ""]);
    calls = readRecord(record);
    const journal = openJournal({ file: placesIn(join(folder, "whole")).journal, ...WHOSE });
    const { heads } = journal.auditLog();
    journal.close();
    expect(heads.slice(-3).map(({ sequence }) => sequence)).toEqual([14, 16, 18]);
    // A life without an end in it is sound, and three of its four requests are signed.
    const after = await inspect({ folder: join(folder, "whole"), plan, lines });
    expect(after).toMatchObject({ broken: [], released: 3 });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function life(name: string, disk: { readonly plan?: string; readonly record?: string }) {
    const home = join(folder, name);
    cpSync(born, home, { recursive: true });
    return startProgram({ program, args: [planFile, home], disk: { shim, root: home, ...disk } });
  }

  it("is seen at every call that makes its memory last", () => {
    const seen = new Set(boundaries().map(({ kind, path }) => `${kind} ${path}`));
    expect([...seen]).toEqual(
      expect.arrayContaining([
        "create journal/journal.db-wal",
        "write journal/journal.db-wal",
        "sync journal/journal.db-wal",
        "sync journal",
        "write journal/journal.db",
        "sync journal/journal.db",
        "write mirror/high-water.json.next",
        "sync mirror/high-water.json.next",
        "rename mirror/high-water.json.next",
        "sync mirror",
      ]),
    );
  });

  it(
    "has forgotten nothing when SIGKILL comes before or after any of these calls",
    async () => {
      const places = placesToDie(calls);
      const broken: string[] = [];
      const lane = async () => {
        for (let place = places.shift(); place !== undefined; place = places.shift()) {
          const name = place.replace(":", "-");
          const { signal, lines } = await life(name, { plan: place }).ended;
          const home = join(folder, name);
          const after = await inspect({ folder: home, plan, lines });
          if (signal !== "SIGKILL") broken.push(`${name}: was not killed`);
          broken.push(...after.broken.map((fault) => `${name}: ${fault}`));
          rmSync(home, { recursive: true });
        }
      };
      expect(places.length).toBeGreaterThan(50);
      await Promise.all(Array.from({ length: LANES }, lane));
      expect(broken).toEqual([]);
    },
    LONG_MS,
  );

  it.each([
    ["nothing that was not synced", () => () => false],
    ["any part of what was not synced", seeded],
  ] as const)(
    "has forgotten nothing when the power fails and the disk keeps %s",
    async (_, survivesOf) => {
      const whole = readImage(born);
      const seen = new Set<string>();
      const broken: string[] = [];
      for (let count = 0; count <= calls.length; count += 1) {
        const image = imageAfter(whole, calls, count, survivesOf(count));
        const lines = saidIn(calls.slice(0, count));
        const id = identity(image, lines);
        if (seen.has(id)) continue;
        seen.add(id);
        const home = join(folder, `power-${count}`);
        writeImage(home, image);
        const after = await inspect({ folder: home, plan, lines });
        broken.push(...after.broken.map((fault) => `after call ${count}: ${fault}`));
        rmSync(home, { recursive: true });
      }
      expect(seen.size).toBeGreaterThan(10);
      expect(broken).toEqual([]);
    },
    LONG_MS,
  );
});

/**
 * Before each call, and after each call that is followed by a word on stdout or by the end. After any
 * other call the files and the words are those of before the next one, byte for byte.
 */
function placesToDie(calls: readonly DiskCall[]): string[] {
  const places: string[] = [];
  let n = 0;
  for (const [i, { kind }] of calls.entries()) {
    if (kind === "say") continue;
    n += 1;
    places.push(`before:${n}`);
    const next = calls[i + 1]?.kind ?? "say";
    if (next === "say") places.push(`after:${n}`);
  }
  return places;
}

function saidIn(calls: readonly DiskCall[]): readonly string[] {
  const said = calls.filter(({ kind }) => kind === "say").map(({ data }) => data.toString());
  return said.join("").split("\n").slice(0, -1);
}

function identity(image: Image, lines: readonly string[]): string {
  const hash = createHash("sha256").update(lines.join("\n"));
  for (const [path, content] of [...image].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`\n${path} ${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}

/** A coin that falls the same way in every run. */
function seeded(seed: number): Survives {
  const next = random(seed);
  return () => next() < 0.5;
}
