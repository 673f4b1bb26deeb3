/** `npx ballast hsm …`: ceremonies over a token, each with a transcript that its audit key signs. */
import { existsSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { type Command, Option } from "commander";
import type { z } from "zod";
import { readSignedPolicy } from "../policies/document/signed-policy.ts";
import { readDocument, readSignerConfig } from "../signer/config.ts";
import { NETWORKS, type TokenNetwork } from "../signer/custody/key-file.ts";
import { custodyPlan } from "../signer/pkcs11/profile.ts";
import type { TokenOptions } from "../signer/pkcs11/token.ts";
import { TokenError } from "../signer/pkcs11/token-error.ts";
import { Pkcs11UriError, parsePkcs11Uri } from "../signer/pkcs11/uri.ts";
import {
  attestCeremony,
  backupCeremony,
  backupDocument,
  type CeremonyOptions,
  initCeremony,
  keysCeremony,
  recipientDocument,
  recipientOf,
  restoreCeremony,
  rotateCeremony,
} from "../signer/provisioning/ceremony.ts";
import {
  type Transcript,
  transcriptChanges,
  verifyTranscript,
} from "../signer/provisioning/transcript.ts";
import { InputError, readDocumentFile, withInput } from "./input.ts";

interface Common {
  readonly config?: string;
  readonly uri?: string;
  readonly network?: string;
  readonly env?: readonly string[];
  readonly people?: string;
  readonly transcript?: string;
  readonly confirm?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function addHsm(program: Command): void {
  const hsm = program
    .command("hsm")
    .description("provision, attest, back up, restore and rotate the token of a signer");

  verb(
    hsm,
    "init",
    "make the sealing or probe key and the audit key in the token, where they are missing",
  )
    .option(
      "--recipient <file>",
      "make the key for which other tokens seal copies, and write it here",
    )
    .action((options: Common & { readonly recipient?: string }) =>
      run(options, () => init(options)),
    );

  verb(hsm, "keys", "make one account key for each label; those that are there are proven and kept")
    .requiredOption("--labels <list>", "names with commas between, one a vault")
    .action((options: Common & { readonly labels: string }) => run(options, () => keys(options)));

  verb(
    hsm,
    "attest",
    "write what the token says of itself and of every key, with a probe signature",
  ).action((options: Common) => run(options, () => attest(options)));

  verb(hsm, "backup", "seal every account key for another token's key, too (mode sealed)")
    .requiredOption("--for <file>", "the other token's, of hsm init --recipient")
    .requiredOption("--out <file>", "where the backup goes; it is never overwritten")
    .action((options: Common & { readonly for: string; readonly out: string }) =>
      run(options, () => backup(options)),
    );

  verb(
    hsm,
    "restore",
    "bring the keys of a backup into this token and sign with each: do it as a drill",
  )
    .requiredOption("--from <file>", "the backup; it must be for this token")
    .action((options: Common & { readonly from: string }) => run(options, () => restore(options)));

  verb(hsm, "rotate", "make a new sealing key and seal all account keys under it; the old stay")
    .requiredOption("--object <name>", "what the new sealing key is called")
    .requiredOption("--keys <folder>", "a folder of their own for the newly sealed keys")
    .action((options: Common & { readonly object: string; readonly keys: string }) =>
      run(options, () => rotate(options)),
    );

  hsm
    .command("verify")
    .description("check a transcript without a token; beside an earlier one, say what changed")
    .argument("<transcript>", "the file; - is standard input")
    .option("--key <hex>", "the audit key that must have signed it: compressed, 66 hex digits")
    .option("--since <file>", "an earlier transcript")
    .option("--json", "machine-readable output")
    .addHelpText(
      "after",
      "\nExit: 0 genuine and unchanged, 3 refused or changed, 2 not a transcript.",
    )
    .action((file: string, options: VerifyOptions) =>
      withInput(options.json === true, () => verify(file, options)),
    );
}

const HELP = `
The token is named by its URI, never by a slot; the PIN is read from the file of pin-source. One login
is tried; after a refused one nothing is tried until a person deletes the latch file beside the keys.
What changes the token or its keys asks for its label to be typed, or takes it by --confirm.
Exit: 0 done, 2 wrong input, 3 not confirmed, 4 the token or its files are in the way.`;

function verb(hsm: Command, name: string, says: string): Command {
  return hsm
    .command(name)
    .description(says)
    .addOption(
      new Option("--config <file>", "a signer's configuration: its key, environment and network"),
    )
    .addOption(new Option("--uri <uri>", "or the token's pkcs11: URI itself").conflicts("config"))
    .addOption(new Option("--network <name>", "with --uri").choices([...NETWORKS]))
    .option("--env <name=value>", "with --uri: for the library; repeated", collect, [])
    .option("--people <names>", "who is there, with commas between: at least two")
    .option("--transcript <file>", "where the transcript goes; never overwritten")
    .option("--confirm <label>", "the token's label, typed in advance")
    .option("--dry-run", "say what would happen; nothing is opened and no login is made")
    .option("--json", "machine-readable output")
    .addHelpText("after", HELP);
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** Said before anything is done. */
interface Plan {
  readonly steps: readonly string[];
  /** Whether the label must be typed. */
  readonly changes: boolean;
  readonly act: (options: CeremonyOptions) => Promise<Done>;
}

interface Done {
  readonly transcript: Transcript | null;
  /** Beside it, for people. */
  readonly words: readonly string[];
}

function init({ recipient }: { readonly recipient?: string }): Plan {
  if (recipient !== undefined) refuseExisting(recipient);
  return {
    changes: true,
    steps: [
      "make, where they are missing: the sealing key (mode sealed) or the probe key (mode native), and the audit key",
      ...(recipient === undefined
        ? []
        : [`make the recipient key, and write its public half to ${recipient}`]),
    ],
    act: async (options) => {
      const transcript = await initCeremony(options);
      if (recipient === undefined) return { transcript, words: [] };
      write(recipient, await recipientOf(options));
      return { transcript, words: [`recipient: ${recipient}`] };
    },
  };
}

function keys({ labels }: { readonly labels: string }): Plan {
  const names = labels.split(",").map((label) => label.trim());
  return {
    changes: true,
    steps: names.map((label) => `make the account key ${label}, unless it is there`),
    act: async (options) => ({ transcript: await keysCeremony(options, names), words: [] }),
  };
}

function attest(_: Common): Plan {
  return {
    changes: false,
    steps: ["read the token, its mechanisms, every key with its attributes; sign a probe"],
    act: async (options) => ({ transcript: await attestCeremony(options), words: [] }),
  };
}

function backup(asked: { readonly for: string; readonly out: string }): Plan {
  refuseExisting(asked.out);
  const recipient = parse(recipientDocument, "recipient", asked.for);
  const { label, serial } = recipient.token;
  return {
    changes: true,
    steps: [`seal every account key for ${label}, serial ${serial}, too, into ${asked.out}`],
    act: async (options) => {
      const made = await backupCeremony(options, recipient);
      write(asked.out, made.backup);
      const words = [
        `${made.backup.keys.length} keys are in ${asked.out}: now drill, npx ballast hsm restore`,
      ];
      return { transcript: made.transcript, words };
    },
  };
}

function restore({ from }: { readonly from: string }): Plan {
  const document = parse(backupDocument, "backup", from);
  return {
    changes: true,
    steps: [
      `bring ${document.keys.length} account keys into this token's keeping, and sign with each`,
    ],
    act: async (options) => ({ transcript: await restoreCeremony(options, document), words: [] }),
  };
}

function rotate(to: { readonly object: string; readonly keys: string }): Plan {
  return {
    changes: true,
    steps: [
      `make the sealing key ${to.object} and its audit key`,
      `seal every account key under it, into ${to.keys}; the old key and its files stay`,
    ],
    act: async (options) => {
      const { uri, transcript } = await rotateCeremony(options, {
        object: to.object,
        keys: to.keys,
      });
      const advice = "back up the new keys before the old are put away";
      return { transcript, words: [`the signer's key is now: ${uri}`, advice] };
    },
  };
}

async function run(common: Common, planOf: () => Plan): Promise<void> {
  await withInput(common.json === true, async () => {
    try {
      return await perform(common, planOf());
    } catch (error) {
      if (error instanceof Pkcs11UriError) throw new InputError("uri", error.message);
      if (!(error instanceof TokenError)) throw error;
      tell(
        common,
        { fault: error.code, passing: error.passing, detail: error.message },
        error.message,
      );
      return 4;
    }
  });
}

async function perform(common: Common, plan: Plan): Promise<number> {
  const token = tokenOf(common);
  const uri = parsePkcs11Uri(token.uri);
  const label = uri.token ?? uri.serial ?? "";
  const { words } = custodyPlan(uri, token.network);
  const heading = `token ${label} on ${token.network}: ${words}`;
  if (common.dryRun === true) {
    tell(
      common,
      { token: label, custody: words, steps: plan.steps },
      [heading, ...plan.steps].join("\n  "),
    );
    return 0;
  }
  const people = (common.people ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (people.length < 2)
    throw new InputError("people", "--people names who is there: at least two");
  if (common.transcript !== undefined) refuseExisting(common.transcript);
  if (plan.changes && !(await confirmed(common, label, [heading, ...plan.steps].join("\n  ")))) {
    tell(common, { confirmed: false }, "not confirmed: nothing was done");
    return 3;
  }
  const log = (event: string, fields: Record<string, unknown>) =>
    process.stderr.write(`${event} ${JSON.stringify(fields)}\n`);
  const done = await plan.act({ ...token, people, now: () => new Date(), log });
  if (done.transcript !== null && common.transcript !== undefined)
    write(common.transcript, done.transcript);
  tell(
    common,
    { transcript: done.transcript, words: done.words },
    [
      `done; audit key ${done.transcript?.signed.key ?? "none"}`,
      ...(common.transcript === undefined ? [] : [`transcript: ${common.transcript}`]),
      ...done.words,
    ].join("\n"),
  );
  return 0;
}

function tokenOf({
  config,
  uri,
  network,
  env = [],
}: Common): TokenOptions & { network: TokenNetwork } {
  if (config !== undefined) {
    const { key, token_environment: environment, policy } = readSignerConfig(config);
    const { policy: law } = readSignedPolicy(readDocument(policy));
    return { uri: key, network: law.network, env: environment };
  }
  if (uri === undefined || network === undefined) {
    throw new InputError(
      "token",
      "name the token by --config FILE, or by --uri URI --network NAME",
    );
  }
  const environment = env.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new InputError("env", "--env is NAME=VALUE");
    return [pair.slice(0, at), pair.slice(at + 1)] as const;
  });
  return { uri, network: network as TokenNetwork, env: Object.fromEntries(environment) };
}

async function confirmed({ confirm }: Common, label: string, plan: string): Promise<boolean> {
  if (confirm !== undefined) return confirm === label;
  if (!process.stdin.isTTY) {
    throw new InputError(
      "confirm",
      "this changes the token: type its label, or give it by --confirm",
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(`${plan}\ntype ${label} to go on: `)) === label;
  } finally {
    terminal.close();
  }
}

function parse<Schema extends z.ZodType>(
  schema: Schema,
  what: string,
  file: string,
): z.output<Schema> {
  const parsed = schema.safeParse(readDocumentFile(what, file));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InputError(what, `${what} ${file}: ${issue?.path.join(".")}: ${issue?.message}`);
}

function refuseExisting(file: string): void {
  if (existsSync(file))
    throw new InputError("exists", `${file} is there already, and nothing is overwritten`);
}

function write(file: string, content: unknown): void {
  writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flag: "wx" });
}

function tell({ json }: Pick<Common, "json">, value: unknown, words: string): void {
  console.log(json === true ? JSON.stringify(value) : words);
}

interface VerifyOptions {
  readonly key?: string;
  readonly since?: string;
  readonly json?: boolean;
}

function verify(file: string, options: VerifyOptions): number {
  const finding = verifyTranscript(readDocumentFile("transcript", file), options.key ?? null);
  if (finding.kind === "refused") {
    tell(options, finding, `refused: ${finding.reasons.join("; ")}`);
    return 3;
  }
  const { transcript } = finding;
  const before =
    options.since === undefined
      ? null
      : verifyTranscript(readDocumentFile("transcript", options.since), null);
  if (before?.kind === "refused")
    throw new InputError("since", `${options.since}: ${before.reasons.join("; ")}`);
  const changes = before === null ? [] : transcriptChanges(before.transcript, transcript);
  const said = `genuine: ${transcript.ceremony} of ${transcript.token.label}, ${transcript.time}, by ${transcript.people.join(", ")}; signed by ${transcript.signed.key}`;
  tell(options, { ...finding, changes }, [said, ...changes].join("\n  "));
  return changes.length === 0 ? 0 : 3;
}
