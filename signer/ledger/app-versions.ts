/** Which apps and versions of Ledger's Bitcoin app are let near a key, from `firmware-configs/`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Network } from "../../policies/bitcoin/network.ts";
import { type LedgerError, ledgerError } from "./ledger-error.ts";

const version = z.string().regex(/^(?:0|[1-9][0-9]{0,3})(?:\.(?:0|[1-9][0-9]{0,3})){2}$/);

export const ledgerAppsSchema = z.strictObject({
  format: z.literal("ballast/ledger-apps@1"),
  /** What the app calls itself, by network. */
  apps: z.strictObject({
    bitcoin: z.string(),
    testnet: z.string(),
    signet: z.string(),
    regtest: z.string(),
  }),
  versions: z.strictObject({
    min: version,
    /** Newer ones show other screens and refuse other things: tried first, then allowed. */
    max_tested: version,
    /** Both ends included. */
    excluded: z.array(z.strictObject({ from: version, to: version, why: z.string() })),
  }),
  /** Names in `wallet-policies.json`. */
  policies: z.array(z.string()).min(1),
  limits: z.strictObject({
    /** More outputs than a person reads one by one. */
    outputs: z.int().min(1).max(16),
    /** Account numbers from 0 that the app tells without asking. */
    accounts: z.int().min(1).max(101),
    template_bytes: z.int(),
    keys: z.int(),
    name_bytes: z.int(),
    message_bytes: z.int(),
  }),
});
export type LedgerApps = z.output<typeof ledgerAppsSchema>;

const FILE = join(import.meta.dirname, "..", "..", "firmware-configs", "ledger.json");

/** Throws where the file of the installation is not what the schema says: nothing starts then. */
export function readLedgerApps(): LedgerApps {
  return ledgerAppsSchema.parse(JSON.parse(readFileSync(FILE, "utf8")));
}

/** As the app answers to the question which one is open. */
export interface RunningApp {
  readonly name: string;
  readonly version: string;
}

export interface AppDemand {
  readonly apps: LedgerApps;
  readonly network: Network;
  /** After a dry run of the newer version: `allow-newer=yes` in the URI. */
  readonly allowNewer: boolean;
}

/** Null where the running app is the wanted one, in a version that was tried. */
export function objectionTo(
  { name, version: running }: RunningApp,
  { apps, network, allowNewer }: AppDemand,
): LedgerError | null {
  const wanted = apps.apps[network];
  if (name !== wanted)
    return ledgerError("wrong-app", `"${name.slice(0, 40)}" is open, not "${wanted}"`);
  if (!version.safeParse(running).success) {
    return ledgerError("version-new", `version "${running.slice(0, 40)}" is none of those known`);
  }
  const { min, max_tested: max, excluded } = apps.versions;
  const bad = excluded.find(({ from, to }) => order(running, from) >= 0 && order(running, to) <= 0);
  if (bad !== undefined) {
    return ledgerError("version-excluded", `version ${running} is refused: ${bad.why}`);
  }
  if (order(running, min) < 0) {
    return ledgerError("version-old", `version ${running} is older than ${min}`);
  }
  if (order(running, max) > 0 && !allowNewer) {
    return ledgerError(
      "version-new",
      `version ${running} is newer than ${max}, the last one tried`,
    );
  }
  return null;
}

/** Negative where `a` is the older. */
function order(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => text.split(".").map(Number));
  for (const i of [0, 1, 2]) {
    const difference = (x?.[i] ?? 0) - (y?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
