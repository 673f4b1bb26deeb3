/** `ballast explain`: what a PSBT does and what each rule says, without any key. */
import type { Command } from "commander";
import { chainSchema } from "../policies/chain-view.ts";
import { readPolicy } from "../policies/document/policy.ts";
import { readEvidence } from "../policies/evidence.ts";
import { type Explanation, explain } from "../policies/explain.ts";
import { historySchema } from "../policies/history.ts";
import { readIntent } from "../policies/intent.ts";
import type { RuleReport } from "../policies/report.ts";
import { readVault } from "../policies/vault.ts";
import { checked, InputError, parsed, readDocumentFile, readPsbtFile, withInput } from "./input.ts";

const EXIT = { approved: 0, refused: 3, held: 4 } as const;

interface Options {
  readonly policy: string;
  readonly vault: readonly string[];
  readonly psbt: string;
  readonly intent?: string;
  readonly history?: string;
  readonly chain?: string;
  readonly evidence?: string;
  readonly at?: string;
  readonly json?: boolean;
}

export function addExplain(program: Command): void {
  program
    .command("explain")
    .description("Say what a PSBT does and what each rule of a policy says of it. Uses no key.")
    .requiredOption("--policy <file>", "policy document (YAML or JSON)")
    .requiredOption("--vault <file...>", "vault document; several may be given")
    .requiredOption("--psbt <file>", "PSBT, binary or base64; - is standard input")
    .option("--intent <file>", "intent document: what the spend is meant to do")
    .option("--history <file>", "history document: what the signer has signed before")
    .option("--chain <file>", "chain document: what the signer's node says of the coins")
    .option("--evidence <file>", "evidence document: what came with the request")
    .option("--at <ms>", "judge windows at this time, milliseconds since 1970 (default: now)")
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `
Exit codes: 0 approved, 3 refused, 4 held (ask again later), 2 malformed input.
File formats, each with an example: policies/README.md.`,
    )
    .action((options: Options) => {
      return withInput(options.json === true, () => {
        const explanation = explain(read(options));
        console.log(options.json === true ? JSON.stringify(explanation) : inWords(explanation));
        return EXIT[explanation.verdict];
      });
    });
}

function read(options: Options) {
  const { policy, intent, history, chain, evidence } = options;
  const named = [policy, ...options.vault, options.psbt, intent, history, chain, evidence];
  if (named.filter((file) => file === "-").length > 1) {
    throw new InputError("stdin", "only one file can be -, standard input is read once");
  }
  const load = <Value>(what: string, file: string, reader: (value: unknown) => Value): Value => {
    const document = readDocumentFile(what, file);
    return parsed(what, file, () => reader(document));
  };
  return {
    policy: load("policy", policy, readPolicy),
    vaults: options.vault.map((file) => load("vault", file, readVault)),
    intent: intent === undefined ? null : load("intent", intent, readIntent),
    history: history === undefined ? null : checked("history", history, historySchema),
    chain: chain === undefined ? null : checked("chain", chain, chainSchema),
    evidence: evidence === undefined ? null : load("evidence", evidence, readEvidence),
    now: time(options.at),
    psbt: readPsbtFile(options.psbt),
  };
}

function time(text: string | undefined): number {
  if (text === undefined) return Date.now();
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  throw new InputError("at", `--at ${text} is no time in milliseconds`);
}

const MARKS: Readonly<Record<RuleReport["says"], string>> = {
  yes: "  ok        ",
  no: "  NO        ",
  "not yet": "  not yet   ",
  "not asked": "  not asked ",
};

function inWords({ verdict, violations, rules, facts, notes }: Explanation): string {
  const inputs = facts.inputs.map(
    ({ outpoint, sats, coin, signedBy }) =>
      `  ${sats ?? "?"} sat  ${outpoint}  ${where(coin)}  signed by ${signedBy.join(", ") || "nobody"}`,
  );
  const outputs = facts.outputs.map(
    ({ sats, address, script, coin }) =>
      `  ${sats} sat  ${address ?? script}  ${coin === null ? "leaves the vault" : where(coin)}`,
  );
  const said = rules.map(({ rule, says, why }) => {
    const details = violations
      .filter((violation) => violation.rule === rule)
      .map(
        ({ detail, retry }) => `            ${detail}${retry === undefined ? "" : ` (${retry})`}`,
      );
    return [
      `${MARKS[says]}${rule}`,
      ...(details.length > 0 ? [`            ${why}`] : []),
      ...details,
    ].join("\n");
  });
  return [
    `${verdict.toUpperCase()}: ${facts.purpose ?? "fits no purpose"}, transaction ${facts.txid}`,
    ...(notes.length > 0 ? ["on these assumptions", ...notes.map((note) => `  ${note}`)] : []),
    "",
    "Spends",
    ...inputs,
    "Pays",
    ...outputs,
    `  ${facts.feeSats ?? "?"} sat  fee, ${facts.feeRate ?? "?"} sat/vB on ${facts.vbytes} vB`,
    "",
    "Rules",
    ...said,
  ].join("\n");
}

function where(coin: Explanation["facts"]["inputs"][number]["coin"]): string {
  return coin === null
    ? "FOREIGN"
    : `${coin.kind} vault ${coin.vault.slice(0, 8)} /${coin.branch}/${coin.index}`;
}
