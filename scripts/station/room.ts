/** What every verb of the station begins and ends with: its configuration, its room, faults in words. */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { ConfigError } from "../../signer/config.ts";
import { CurveError } from "../../signer/curve.ts";
import { JournalError } from "../../signer/journal-file.ts";
import { KeyError } from "../../signer/key-error.ts";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";
import { readStationConfig, type StationConfig } from "../../signer/station/config.ts";
import { type OpenStation, openStation } from "../../signer/station/open.ts";
import { plain, plainJson } from "../../signer/station/plain.ts";
import { StationError } from "../../signer/station/requests.ts";
import { InputError, withInput } from "../input.ts";
import { openTerminal, type Terminal } from "../terminal.ts";

export interface Common {
  readonly config: string;
  readonly key?: string;
  readonly json?: boolean;
}

export interface At {
  readonly open: OpenStation;
  readonly config: StationConfig;
  readonly terminal: Terminal;
  /** For machines; null where a person reads. */
  readonly print: ((value: unknown) => void) | null;
}

export function stationVerb(command: Command, says: string): Command {
  return command
    .description(says)
    .requiredOption("--config <file>", "the station's configuration (ballast/station@1)")
    .option("--key <uri>", "another key than the configuration's: ledger:hid, airgap:…")
    .option("--json", "machine-readable output");
}

/** Opens the station for one verb; faults of the world are told in words, exit code 4. */
export function run(options: Common, work: (at: At) => Promise<number>): Promise<void> {
  const json = options.json === true;
  return withInput(json, async () => {
    const config = stationConfig(options);
    // With --json all that people read goes to stderr, so that stdout is one object.
    const terminal = openTerminal(json ? process.stderr : process.stdout);
    let open: OpenStation | null = null;
    try {
      open = await openStation(config, { log: quiet, ...terminal });
      const print = json ? (value: unknown) => console.log(plainJson(value)) : null;
      return await work({ open, config, terminal, print });
    } catch (error) {
      return inTheWay(error, json);
    } finally {
      await open?.close();
      terminal.close();
    }
  });
}

export function stationConfig({ config: file, key }: Common): StationConfig {
  if (!existsSync(file)) throw new InputError("config", `there is no configuration at ${file}`);
  try {
    const config = readStationConfig(file);
    return key === undefined ? config : { ...config, key };
  } catch (error) {
    if (error instanceof ConfigError) throw new InputError("config", error.message);
    throw error;
  }
}

/** Alarms are for the person, too; the rest of the log is in the journal. */
function quiet(event: string, fields: Readonly<Record<string, unknown>>): void {
  if (event.startsWith("ALARM")) process.stderr.write(`${event} ${plainJson(fields)}\n`);
}

const WORLD = [KeyError, StationError, JournalError, ConfigError, BitcoindError, CurveError];

/** Faults of the world in words; whatever else it is goes on. */
export function inTheWay(error: unknown, json: boolean): number {
  const known = WORLD.some((kind) => error instanceof kind);
  if (!known || !(error instanceof Error)) throw error;
  const code = "code" in error ? String(error.code) : "config";
  if (json) console.log(plainJson({ error: { code, detail: error.message } }));
  else process.stderr.write(`ballast: ${plain(error.message)}\n`);
  return code === "rejected" ? 3 : 4;
}

/** Before anything is signed: what cannot be written then would be signed and lost from sight. */
export function refuseTaken(file: string | undefined): void {
  if (file === undefined || !existsSync(file)) return;
  throw new InputError("out", `${file} is there already, and nothing is overwritten`);
}
