/** `ballast vault`: put a vault together from three keys, and show what it derives. */
import type { Command } from "commander";
import { hex } from "../policies/bitcoin/hash.ts";
import { NETWORKS, type Network } from "../policies/bitcoin/network.ts";
import { addressOf } from "../policies/bitcoin/taproot.ts";
import {
  importPulser,
  pulserScriptAt,
  readPulserVault,
  watchOnlyReasons,
} from "../policies/pulser.ts";
import {
  CHANGE,
  composeVault,
  descriptorOf,
  followsConvention,
  isProvablyUnspendable,
  RECEIVE,
  type Role,
  readVault,
} from "../policies/vault.ts";
import { vaultScripts } from "../policies/vault-scripts.ts";
import { type CoinSource, readCoins } from "./exit-kit/coins.ts";
import { coinsInWords } from "./exit-kit/words.ts";
import { InputError, parsed, readDocumentFile, withInput } from "./input.ts";

interface ComposeOptions {
  readonly network: string;
  readonly name: string;
  readonly user?: string;
  readonly lsp: string;
  readonly trustee: string;
  readonly secondTrustee?: string;
  readonly exit?: boolean;
  readonly escrow?: boolean;
}

export function addVault(program: Command): void {
  const vault = program.command("vault").description("Compose and show 2-of-3 Taproot vaults.");
  vault
    .command("compose")
    .description("Print a vault document made of three account keys, [origin]xpub each.")
    .requiredOption("--network <network>", NETWORKS.join(", "))
    .requiredOption("--name <name>", "name of the wallet policy, shown on devices")
    .option("--user <key>", "the user's account key (a user vault)")
    .requiredOption("--lsp <key>", "the LSP's account key")
    .requiredOption("--trustee <key>", "the trustee's account key")
    .option("--second-trustee <key>", "the second trustee's account key (a house vault)")
    .option("--exit", "let the user leave alone with coins that rested half a year (a user vault)")
    .option("--escrow", "what the house holds in escrow, not its own (a house vault)")
    .action((options: ComposeOptions) => {
      return withInput(false, () => {
        console.log(JSON.stringify(compose(options), null, 2));
        return 0;
      });
    });
  vault
    .command("show <file>")
    .description("Show a vault's descriptor, proof of a dead key path, addresses, and exit if any.")
    .option("--count <n>", "addresses a branch", "3")
    .option("--json", "print one JSON object")
    .action((file: string, options: { count: string; json?: boolean }) => {
      return withInput(options.json === true, () => {
        const shown = show(file, countOf(options.count));
        console.log(options.json === true ? JSON.stringify(shown) : inWords(shown));
        return 0;
      });
    });
  vault
    .command("coins <file>")
    .description("When each coin of a vault opens, and which want a refresh before that.")
    .option("--coins <file>", "the coins, a ballast/chain@1 document")
    .option("--node <url>", "or a node that is asked for them")
    .option("--cookie <file>", "the node's cookie file")
    .action((file: string, options: CoinSource) =>
      withInput(false, async () => {
        const document = readDocumentFile("vault", file);
        const read = parsed("vault", file, () => readVault(document));
        const known = await readCoins(read, options);
        if (known === null) throw new InputError("coins", "whose word? name --coins or --node");
        console.log(coinsInWords(read, known));
        return 0;
      }),
    );
  vault
    .command("import-pulser <file>")
    .description(
      "Addresses of a vault of Pulser, of its user_N_public.json, and why it is watch-only.",
    )
    .option("--count <n>", "addresses a branch", "3")
    .option("--json", "print one JSON object")
    .action((file: string, options: { count: string; json?: boolean }) => {
      return withInput(options.json === true, () => {
        const imported = importedPulser(file, countOf(options.count));
        console.log(options.json === true ? JSON.stringify(imported) : pulserInWords(imported));
        return 0;
      });
    });
}

function compose(options: ComposeOptions) {
  const network = NETWORKS.find((candidate) => candidate === options.network);
  if (network === undefined)
    throw new InputError(
      "network",
      `no network ${options.network}: there are ${NETWORKS.join(", ")}`,
    );
  const keys: Partial<Record<Role, string>> = {
    lsp: options.lsp,
    trustee: options.trustee,
    ...(options.user && { user: options.user }),
    ...(options.secondTrustee && { "second-trustee": options.secondTrustee }),
  };
  const holders = Object.entries(keys).map(([role, key]) => ({ role: role as Role, key }));
  try {
    const house = options.escrow === true ? "escrow" : "treasury";
    const kind = options.user === undefined ? house : "user";
    const { name, exit = false } = options;
    const document = composeVault({ network, kind, name, holders, exit });
    readVault(document);
    return document;
  } catch (error) {
    if (error instanceof Error && "reasons" in error) throw new InputError("vault", error.message);
    throw error;
  }
}

/** Deriving is quick, but nobody reads more. */
const COUNT_MAX = 1_000;

function countOf(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 0 && count <= COUNT_MAX) return count;
  throw new InputError("count", `--count takes 0 to ${COUNT_MAX}`);
}

function show(file: string, count: number) {
  const document = readDocumentFile("vault", file);
  const vault = parsed("vault", file, () => readVault(document));
  const scripts = vaultScripts(vault);
  const addresses = (branch: typeof RECEIVE | typeof CHANGE, network: Network) =>
    Array.from({ length: count }, (_, index) => {
      const { script, leaf, exit } = scripts.at(branch, index);
      const exitLeaf = exit === null ? null : hex(exit.leaf);
      return { branch, index, address: addressOf(script, network), leaf: hex(leaf), exitLeaf };
    });
  return {
    id: vault.id,
    network: vault.network,
    kind: vault.kind,
    name: vault.document.policy.name,
    template: vault.document.policy.template,
    descriptor: descriptorOf(vault),
    keyPathUnspendable: isProvablyUnspendable(vault.internal),
    chainCodeByConvention: followsConvention(vault),
    holders: vault.holders.map(({ role, key }) => ({ role, key: key.text })),
    exit: vault.exit,
    receive: addresses(RECEIVE, vault.network),
    change: addresses(CHANGE, vault.network),
  };
}

function inWords(shown: ReturnType<typeof show>): string {
  const line = ({ branch, index, address }: (typeof shown.receive)[number]) =>
    `  /${branch}/${index}  ${address}`;
  return [
    `${shown.name}: ${shown.kind} vault ${shown.id} on ${shown.network}`,
    shown.descriptor,
    shown.keyPathUnspendable
      ? "The key path is dead: the internal key is BIP341's point H, whose secret nobody knows."
      : "The key path is NOT provably dead.",
    shown.chainCodeByConvention
      ? "Its chain code follows the public convention: anyone recomputes it from the three keys."
      : "Its chain code does not follow the public convention (this is harmless).",
    ...shown.holders.map(({ role, key }) => `  ${role}: ${key}`),
    "Addresses",
    ...shown.receive.map(line),
    "Change",
    ...shown.change.map(line),
    ...exitInWords(shown),
  ].join("\n");
}

function exitInWords({ exit, receive, change }: ReturnType<typeof show>): readonly string[] {
  if (exit === null) return ["No exit: every spend takes two of the three keys, for ever."];
  return [
    `Exit: a coin confirmed in block h can leave by the user's key alone in block h + ${exit.blocks}`,
    "or later. Every move of a coin starts its count anew. The leaf of each address:",
    ...[...receive, ...change].map((one) => `  /${one.branch}/${one.index}  ${one.exitLeaf}`),
  ];
}

function importedPulser(file: string, count: number) {
  const record = readDocumentFile("vault", file);
  const vault = parsed("vault", file, () => readPulserVault(importPulser(record)));
  const addresses = (branch: typeof RECEIVE | typeof CHANGE) =>
    Array.from({ length: count }, (_, index) => {
      const { script, leaf } = pulserScriptAt(vault, branch, index);
      return { branch, index, address: addressOf(script, vault.network), leaf: hex(leaf) };
    });
  return {
    document: vault.document,
    watchOnly: watchOnlyReasons(vault),
    receive: addresses(RECEIVE),
    change: addresses(CHANGE),
  };
}

function pulserInWords(imported: ReturnType<typeof importedPulser>): string {
  const { document, watchOnly, receive, change } = imported;
  const line = ({ index, address }: (typeof receive)[number]) => `  ${index}  ${address}`;
  return [
    `Pulser's vault of user ${document.user} on ${document.network}: watched, never paid into. Why:`,
    ...watchOnly.map((reason) => `- ${reason}`),
    "Its coins belong into a new vault, all of them. Addresses, to look for them:",
    ...receive.map(line),
    "Change",
    ...change.map(line),
  ].join("\n");
}
