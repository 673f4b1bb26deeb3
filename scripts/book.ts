/** `npx ballast book …`: prove the orchestrator's book, and read an account of it. */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { z } from "zod";
import { extractOf } from "../orchestrator/book/extract.ts";
import { checkBook, proveBook } from "../orchestrator/book/proof.ts";
import { ConfigError, readConfig, storeOf } from "../orchestrator/config.ts";
import type { Db } from "../orchestrator/io/store.ts";
import { StoreError } from "../orchestrator/io/store-error.ts";
import { openStoreAt, type StorePlace } from "../orchestrator/io/store-place.ts";
import { silentLog } from "../orchestrator/log.ts";
import { NETWORKS } from "../policies/bitcoin/network.ts";
import { InputError, withInput } from "./input.ts";

const choices = z.object({
  config: z.string().optional(),
  store: z.string().optional(),
  network: z.enum(NETWORKS).default("bitcoin"),
  json: z.boolean().default(false),
});
type Options = z.input<typeof choices>;
type Choices = z.output<typeof choices>;

export function addBook(program: Command): void {
  const book = program
    .command("book")
    .description("the orchestrator's book: prove that it balances, read an account");
  const verb = (name: string, description: string) =>
    book
      .command(name)
      .description(description)
      .option("--config <file>", "the orchestrator's configuration, which names the store")
      .option("--store <file>", "or the store itself, a SQLite file")
      .option("--network <name>", `of --store: ${NETWORKS.join(", ")}`)
      .option("--json", "print one JSON object");
  verb(
    "check",
    "prove postings, balances, claims and records of coins from their rows alone (exit 1: a fault)",
  ).action((options: Options) => inBook(options, check));
  verb("show", "print every posting of an account with its running balance")
    .argument("<account>", "an account's id")
    .action((account: string, options: Options) =>
      inBook(options, (db, json) => show(db, json, account)),
    );
}

async function inBook(
  options: Options,
  body: (db: Db, json: boolean) => Promise<number>,
): Promise<void> {
  await withInput(options.json ?? false, async () => {
    const chosen = choices.safeParse(options);
    if (!chosen.success) throw new InputError("options", `--network: ${NETWORKS.join(", ")}`);
    const store = await openChosen(chosen.data);
    try {
      // One moment for all that is read.
      return await store.transaction((db) => body(db, chosen.data.json));
    } finally {
      await store.close();
    }
  });
}

async function openChosen(chosen: Choices) {
  try {
    const { place, network } = placeOf(chosen);
    // A check makes no store: it would find the new one in order.
    if (place.kind === "sqlite" && !existsSync(place.path)) {
      throw new InputError("store", `there is no store ${place.path}`);
    }
    return await openStoreAt(place, { network, log: silentLog });
  } catch (error) {
    if (error instanceof ConfigError || error instanceof StoreError) {
      throw new InputError(error.code, error.message);
    }
    throw error;
  }
}

function placeOf({ config, store, network }: Choices): {
  readonly place: StorePlace;
  readonly network: (typeof NETWORKS)[number];
} {
  if ((config === undefined) === (store === undefined)) {
    throw new InputError("options", "one of --config and --store says which book");
  }
  if (store !== undefined) return { place: { kind: "sqlite", path: store }, network };
  const read = readConfig(config ?? "");
  return { place: storeOf(read, process.env).place, network: read.network };
}

async function check(db: Db, json: boolean): Promise<number> {
  const { postings, usersSats, usersCents, feesSats } = await checkBook(db);
  const faults = await proveBook(db);
  const ok = faults.length === 0;
  const sums = {
    postings: String(postings),
    usersSats: String(usersSats),
    usersCents: String(usersCents),
    feesSats: String(feesSats),
  };
  if (json) console.log(JSON.stringify({ ok, ...sums, faults }));
  else {
    for (const fault of faults) console.error(fault);
    const owed = `${usersSats} sat and ${usersCents} cents owed, ${feesSats} sat of fees`;
    console.log(`${ok ? "ok" : `${faults.length} faults`}: ${postings} postings, ${owed}`);
  }
  return ok ? 0 : 1;
}

async function show(db: Db, json: boolean, account: string): Promise<number> {
  const known = await db
    .selectFrom("accounts")
    .select("id")
    .where("id", "=", account)
    .executeTakeFirst();
  if (known === undefined) throw new InputError("account", `there is no account ${account}`);
  const lines = (await extractOf(db, account)).map((line) => ({
    ...line,
    at: new Date(Number(line.at)).toISOString(),
    amount: String(line.amount),
    balance: String(line.balance),
  }));
  if (json) console.log(JSON.stringify({ account, lines }));
  else {
    for (const { at, kind, subject, part, currency, amount, balance } of lines) {
      const what = `${kind.padEnd(32)} ${part.padEnd(9)} ${amount.padStart(16)} ${currency}`;
      console.log(`${at} ${what} = ${balance.padStart(16)}  ${subject}`);
    }
  }
  return 0;
}
