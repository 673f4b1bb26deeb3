/** `npx ballast backup`: a copy of the orchestrator's store while it works, checked. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { ConfigError, readConfig, storeOf } from "../orchestrator/config.ts";
import type { StorePlace } from "../orchestrator/io/store-place.ts";
import { dumpPostgres, verifyPostgres } from "./backup/postgres.ts";
import { copySqlite, verifySqlite } from "./backup/sqlite.ts";
import { type BackupContents, inWords } from "./backup/told.ts";
import { InputError, withInput } from "./input.ts";

interface Options {
  readonly config?: string;
  readonly out?: string;
  readonly json?: boolean;
}

export function addBackup(program: Command): void {
  const backup = program
    .command("backup")
    .description("copy the orchestrator's store while it works, and check the copy")
    .option(
      "--config <file>",
      "the orchestrator's configuration; DATABASE_URL wins where it is set",
    )
    .option("--out <file>", "the copy; never over a file that is there")
    .option("--json", "one JSON object on stdout")
    .action((options: Options) =>
      withInput(options.json === true, async () => {
        const { config, out } = options;
        if (config === undefined || out === undefined) {
          throw new InputError("backup", "--config and --out are needed");
        }
        tell(await backUp(placeOf(config), out), out, options);
        return 0;
      }),
    );
  backup
    .command("verify")
    .description("read a copy from end to end, and check the book in it")
    .argument("<file>")
    .option("--json", "one JSON object on stdout")
    .action((file: string, _: Options, command: Command) => {
      const options: Options = command.optsWithGlobals();
      return withInput(options.json === true, async () => {
        tell(await verify(file), file, options);
        return 0;
      });
    });
}

function tell(contents: BackupContents, file: string, { json }: Options): void {
  console.log(
    json === true ? JSON.stringify({ file, ...contents }) : `${file}: ${inWords(contents)}`,
  );
}

function placeOf(config: string): StorePlace {
  try {
    return storeOf(readConfig(config), process.env).place;
  } catch (error) {
    if (error instanceof ConfigError) throw new InputError("config", error.message);
    throw error;
  }
}

/** Under another name until it is whole, checked and on the disk. */
async function backUp(place: StorePlace, out: string): Promise<BackupContents> {
  if (existsSync(out)) throw new InputError("out", `${out} is there already: name a new file`);
  const draft = `${out}.${process.pid}.part`;
  try {
    // Only its owner may read it: it says who has how much.
    writeFileSync(draft, "", { flag: "wx", mode: 0o600 });
    if (place.kind === "sqlite") copySqlite(place.path, draft);
    else await dumpPostgres(place.url, draft);
    const contents = await verify(draft);
    sync(draft);
    // Unlike a rename, a link does not replace what came to be there meanwhile.
    linkSync(draft, out);
    sync(dirname(out));
    return contents;
  } catch (error) {
    if (error instanceof InputError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : null;
    if (code === null) throw error;
    throw new InputError("out", `${out} cannot be written: ${code}`);
  } finally {
    for (const suffix of ["", "-journal", "-wal", "-shm"]) rmSync(draft + suffix, { force: true });
  }
}

function sync(path: string): void {
  const handle = openSync(path, "r");
  fsyncSync(handle);
  closeSync(handle);
}

async function verify(file: string): Promise<BackupContents> {
  const head = headOf(file);
  if (head.startsWith("PGDMP")) return await verifyPostgres(file);
  if (head.startsWith("SQLite format 3\0")) return await verifySqlite(file);
  throw new InputError("backup", `${file} is neither a SQLite file nor a dump of Postgres`);
}

function headOf(file: string): string {
  try {
    const handle = openSync(file, "r");
    const bytes = Buffer.alloc(16);
    readSync(handle, bytes, 0, bytes.length, 0);
    closeSync(handle);
    return bytes.toString("latin1");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown fault";
    throw new InputError("backup", `${file} cannot be read: ${code}`);
  }
}
