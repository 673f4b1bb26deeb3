/** `ballast exit-kit`: a folder with which a vault is spent by Bitcoin Core and its keys alone. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { readVault, type Vault } from "../policies/vault.ts";
import { openAsk } from "./ask.ts";
import { type CoinSource, readCoins } from "./exit-kit/coins.ts";
import { exitKit, type KitFile } from "./exit-kit/kit.ts";
import { InputError, parsed, readDocumentFile, withInput } from "./input.ts";

interface Options extends CoinSource {
  readonly vault?: string;
  readonly api?: string;
  readonly token?: string;
  readonly out: string;
}

export function addExitKit(program: Command): void {
  program
    .command("exit-kit")
    .description("Write what a person needs to spend a vault without us, into a new folder.")
    .argument("[account]", "all vaults of this account, as the orchestrator has them")
    .option("--vault <file>", "or the one vault of this document")
    .option("--api <url>", "the orchestrator's API, for an account")
    .option("--token <file>", "file with a token that may see the account")
    .requiredOption("--out <folder>", "a folder that is empty or not there yet")
    .option("--coins <file>", "list these coins too, a ballast/chain@1 document")
    .option("--node <url>", "or those of a node, which is asked for them")
    .option("--cookie <file>", "the node's cookie file")
    .action((account: string | undefined, options: Options) =>
      withInput(false, async () => {
        for (const { vault, folder } of await vaultsOf(account, options)) {
          const kit = exitKit(vault, await readCoins(vault, options), {
            script: text("exit.sh"),
            exitPage: text("page-exit.md"),
            multiPage: text("page-multi.md"),
          });
          writeKit(folder, kit);
          const alone =
            vault.exit === null
              ? "Nobody can leave this vault alone: any two of its keys can."
              : `Its user can leave alone, ${vault.exit.blocks} blocks after a coin has arrived.`;
          console.log(`${folder}: ${[...kit.keys()].join(", ")}. ${alone}`);
        }
        return 0;
      }),
    );
}

interface KitVault {
  readonly vault: Vault;
  /** Where its kit goes. */
  readonly folder: string;
}

/** The vault of the document, or those of the account: of older ones each in a folder beside. */
async function vaultsOf(
  account: string | undefined,
  { vault: file, api, token, out }: Options,
): Promise<readonly KitVault[]> {
  if ((account === undefined) === (file === undefined)) {
    throw new InputError(
      "vault",
      "name an account, or a vault document by --vault: one of the two",
    );
  }
  if (file !== undefined) {
    const document = readDocumentFile("vault", file);
    return [{ vault: parsed("vault", file, () => readVault(document)), folder: out }];
  }
  if (api === undefined || token === undefined) {
    throw new InputError("api", "an account's vaults are asked for: --api and --token say where");
  }
  const path = `/v1/accounts/${encodeURIComponent(account ?? "")}/vaults`;
  const { vaults } = await openAsk({ api, token })<VaultsAnswer>(path);
  // What the orchestrator says is read as strictly as a file: this is what one leaves with.
  return vaults.map(({ state, document }) => {
    const vault = parsed("vault", api, () => readVault(document));
    const folder = state === "in-use" ? out : `${out}-${state}-${vault.id.slice(0, 8)}`;
    return { vault, folder };
  });
}

interface VaultsAnswer {
  readonly vaults: readonly { readonly state: string; readonly document: unknown }[];
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
