/**
 * A process whose disk fails in one life after the other. Arguments: the file of the plan, the folder
 * of a signer that was just made, a folder for the lives, and a file with the disk's plans, a line
 * each. For each of them it says one line of JSON: what was said in the life, and after the disk was
 * well again.
 */
import { cpSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { diskWasHit, planDisk } from "./disk-plan.ts";
import { inlineCurve } from "./inline-curve.ts";
import {
  type LifePlan,
  live,
  openWholeSigner,
  readLifePlan,
  type WholeSigner,
} from "./whole-signer.ts";

export interface FaultReport {
  readonly disk: string;
  readonly folder: string;
  /** Whether the planned call came at all. */
  readonly hit: boolean;
  /** All that was said, to the end. */
  readonly lines: readonly string[];
  /** What SIGKILL would have left before the disk was well again; null where it never failed. */
  readonly cut: { readonly folder: string; readonly lines: readonly string[] } | null;
}

const curve = inlineCurve();

async function faultyLife(disk: string, folder: string, plan: LifePlan): Promise<FaultReport> {
  const lines: string[] = [];
  const say = (line: string) => void lines.push(line);
  const signer = { open: null as WholeSigner | null };
  planDisk(disk);
  await attempt("open", say, async () => {
    signer.open = openWholeSigner({ folder, plan, say, curve });
    await live(signer.open, plan, say);
  });
  let hit = diskWasHit();
  let cut: FaultReport["cut"] = null;
  if (hit) {
    planDisk("off");
    cut = { folder: `${folder}-cut`, lines: [...lines] };
    cpSync(folder, cut.folder, { recursive: true });
    // The disk is well again: the same process answers, and nothing was forgotten.
    if (signer.open !== null) await live(signer.open, plan, say);
  }
  await attempt("close", say, async () => await signer.open?.close());
  hit ||= diskWasHit();
  planDisk("off");
  return { disk, folder, hit, lines, cut };
}

async function attempt(what: string, say: (line: string) => void, act: () => Promise<void>) {
  try {
    await act();
  } catch (error) {
    say(`failed ${what} ${String(error)}`);
  }
}

async function main([file = "", born = "", lives = "", disks = ""]: readonly string[]) {
  const plan = readLifePlan(file);
  for (const [n, disk] of readFileSync(disks, "utf8").trim().split("\n").entries()) {
    const folder = join(lives, String(n));
    cpSync(born, folder, { recursive: true });
    const report = await faultyLife(disk, folder, plan);
    writeSync(1, `${JSON.stringify(report)}\n`);
  }
}

void main(process.argv.slice(2));
