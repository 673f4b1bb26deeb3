/**
 * Attack 109: the disk of a signer fills up or fails at any call that changes its files, once or from
 * then on. Whatever the call was, nothing leaves that the memory does not have, be it that the process
 * is killed then; when the disk is well again the same process and the next one answer everything, and
 * no coin is signed away twice.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { inspect } from "../support/afterlife.ts";
import { buildDiskShim, buildProgram, diskShimPart, startProgram } from "../support/disk-shim.ts";
import type { FaultReport } from "../support/fault-victim.ts";
import { planOfLife, provisionLife, writeLifePlan } from "../support/life-plan.ts";
import { describeReal } from "../support/real-part.ts";

const LONG_MS = 600_000;
/** More calls than a life makes: the last plans hit nothing, and so it is known where the end is. */
const CALLS_MAX = 120;

/** Words of disk-shim.c: the fault, and how many calls it meets; 0 are all from the n-th on. */
const FAULTS = [
  ["the disk is full from then on", (n: number) => `enospc:${n}:0`],
  ["one call has no room", (n: number) => `enospc:${n}:1`],
  ["the disk takes half a write and nothing more", (n: number) => `short:${n}:0`],
  ["one write is cut short", (n: number) => `short:${n}:1`],
  ["one call fails with EIO", (n: number) => `eio:${n}:1`],
  ["the disk fails with EIO from then on", (n: number) => `eio:${n}:0`],
] as const;

describeReal(diskShimPart(), "attack 109: a signer whose disk fails", () => {
  const plan = planOfLife(0);
  let folder = "";
  let born = "";
  let planFile = "";
  let shim = "";
  let program = "";

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ballast-disk-"));
    born = join(folder, "born");
    mkdirSync(born);
    await provisionLife(born, { decisions: 14 });
    planFile = writeLifePlan(folder, plan);
    shim = buildDiskShim(folder);
    program = buildProgram(folder, "fault-victim");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(FAULTS)(
    "remembers all that it released when %s",
    async (_, planOf) => {
      const lives = mkdtempSync(join(folder, "lives-"));
      const disks = join(lives, "disks");
      const numbers = Array.from({ length: CALLS_MAX }, (__, i) => i + 1);
      writeFileSync(disks, numbers.map(planOf).join("\n"));
      const reports: FaultReport[] = [];
      const broken: string[] = [];
      const look = async ({ disk, folder: home, lines, cut }: FaultReport) => {
        const ends = [{ folder: home, lines, end: "" }];
        if (cut !== null) ends.push({ ...cut, end: " and SIGKILL" });
        for (const { end, ...left } of ends) {
          const after = await inspect({ ...left, plan });
          broken.push(...after.broken.map((fault) => `${disk}${end}: ${fault}`));
          rmSync(left.folder, { recursive: true });
        }
        broken.push(...unanswered(lines).map((line) => `${disk}: ${line}`));
      };
      let looked = Promise.resolve();
      const { ended } = startProgram({
        program,
        args: [planFile, born, lives, disks],
        disk: { shim, root: lives },
        onLine: (line) => {
          const report: FaultReport = JSON.parse(line);
          reports.push(report);
          looked = looked.then(() => look(report));
        },
      });
      const { code, stderr } = await ended;
      await looked;
      expect([code, stderr, reports.length]).toEqual([0, "", CALLS_MAX]);
      expect(broken).toEqual([]);
      // Every call of a life was met, and the last plans came after its end.
      const met = reports.filter(({ hit }) => hit).length;
      expect(met).toBeGreaterThan(50);
      expect(met).toBeLessThan(CALLS_MAX);
    },
    LONG_MS,
  );
});

/** Faults of the code rather than of the disk: they carry another name. */
function unanswered(lines: readonly string[]): readonly string[] {
  return lines.filter((line) => line.startsWith("failed") && !OF_THE_DISK.test(line));
}

const OF_THE_DISK = /SqliteError|JournalError|MirrorError|ENOSPC|EIO/;
