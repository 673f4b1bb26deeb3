/** `ballast exit-kit`: a folder with which a vault is spent by Bitcoin Core and its keys alone. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { readVault } from "../policies/vault.ts";
import { type CoinSource, readCoins } from "./exit-kit/coins.ts";
import { exitKit, type KitFile } from "./exit-kit/kit.ts";
import { InputError, parsed, readDocumentFile, withInput } from "./input.ts";

interface Options extends CoinSource {
  readonly vault: string;
  readonly out: string;
}

export function addExitKit(program: Command): void {
  program
    .command("exit-kit")
    .description("Write what a person needs to spend a vault without us, into a new folder.")
    .requiredOption("--vault <file>", "the vault document")
    .requiredOption("--out <folder>", "a folder that is empty or not there yet")
    .option("--coins <file>", "list these coins too, a ballast/chain@1 document")
    .option("--node <url>", "or those of a node, which is asked for them")
    .option("--cookie <file>", "the node's cookie file")
    .action((options: Options) =>
      withInput(false, async () => {
        const document = readDocumentFile("vault", options.vault);
        const vault = parsed("vault", options.vault, () => readVault(document));
        const kit = exitKit(vault, await readCoins(vault, options), {
          script: text("exit.sh"),
          exitPage: text("page-exit.md"),
          multiPage: text("page-multi.md"),
        });
        writeKit(options.out, kit);
        const alone =
          vault.exit === null
            ? "Nobody can leave this vault alone: any two of its keys can."
            : `Its user can leave alone, ${vault.exit.blocks} blocks after a coin has arrived.`;
        console.log(`${options.out}: ${[...kit.keys()].join(", ")}. ${alone}`);
        return 0;
      }),
    );
}

function text(name: string): string {
  return readFileSync(join(import.meta.dirname, "exit-kit", name), "utf8");
}

/** Never over anything that is there: an older kit may be the only one that still works. */
function writeKit(folder: string, kit: ReadonlyMap<string, KitFile>): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (readdirSync(folder).length > 0) {
      throw new InputError("out", `${folder} is not empty: name a new folder`);
    }
    for (const [name, { text: content, executable }] of kit) {
      writeFileSync(join(folder, name), content, { flag: "wx", mode: executable ? 0o755 : 0o644 });
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new InputError("out", `${folder} cannot be written: ${reason}`);
  }
}
