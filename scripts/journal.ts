/** `npx ballast journal …`: the memory of a signer that is stopped. */
import type { Command } from "commander";
import { z } from "zod";
import { NETWORKS } from "../policies/bitcoin/network.ts";
import { quorumOf, resumeText } from "../policies/quorum.ts";
import { readSignedPolicy } from "../policies/signed-policy.ts";
import { ROLES } from "../policies/vault.ts";
import { writeAuditFile } from "../signer/audit-file.ts";
import { exportJournal, InterchangeError, importJournal } from "../signer/interchange.ts";
import { type Journal, openJournal } from "../signer/journal.ts";
import { JournalError } from "../signer/journal-file.ts";
import { MirrorError } from "../signer/mirror.ts";
import { type HeldPolicy, openPolicies } from "../signer/policies.ts";
import { agreementsOf } from "./agreements.ts";
import { InputError, parsed, readDocumentFile, withInput } from "./input.ts";

const identity = z.object({
  journal: z.string(),
  network: z.enum(NETWORKS),
  role: z.enum(ROLES),
  mirror: z.string().optional(),
});

type Options = z.input<typeof identity>;

export function addJournal(program: Command): void {
  const journal = program
    .command("journal")
    .description("the memory of a stopped signer: export it, add to it, read its decisions");
  const verb = (name: string, description: string) =>
    journal
      .command(name)
      .description(description)
      .requiredOption("--journal <file>", "the signer's journal; a running signer's is refused")
      .requiredOption("--network <name>", NETWORKS.join(", "))
      .requiredOption("--role <name>", ROLES.join(", "))
      .option("--mirror <file>", "its high-water mark in the second place");
  verb("export", "print the memory as ballast/journal@1").action((options: Options) =>
    use(options, ({ database }) => console.log(JSON.stringify(exportJournal(database)))),
  );
  verb("import", "add what a document has and the journal has not; nothing is ever taken away")
    .argument("<file>", "a ballast/journal@1 document; - is standard input")
    .action((file: string, options: Options) =>
      use(options, ({ database }) => {
        const added = importJournal(database, readDocumentFile("journal", file));
        console.log(JSON.stringify({ added }));
      }),
    );
  verb("pause", "pull the kill switch of a stopped signer").action((options: Options) =>
    use(options, (open) => {
      open.pause();
      console.log(`paused, pause ${open.pauses()}`);
    }),
  );
  verb("resume", "end a pause on the word of the quorum; without --agree, the text to be signed")
    .requiredOption("--policy <file>", "the policy in force")
    .option(
      "--agree <name=signature...>",
      "65 bytes of a Bitcoin signed message or 64 of BIP340, in hex, a person",
    )
    .action((options: ResumeOptions) => use(options, (open) => resume(open, options)));
  verb("policies", "print the policy in force, what is announced, and what was in force").action(
    (options: Options) =>
      use(options, ({ database }) => console.log(JSON.stringify(law(database)))),
  );
  verb("audit", "print the decision log as ballast/audit@1, for `ballast audit verify`").action(
    (options: Options) =>
      use(options, ({ auditLog }) => process.stdout.write(writeAuditFile(auditLog()))),
  );
}

interface ResumeOptions extends Options {
  readonly policy: string;
  readonly agree?: readonly string[];
}

function resume(journal: Journal, { policy: file, agree = [] }: ResumeOptions): void {
  const document = readDocumentFile("policy", file);
  const { policy } = parsed("policy", file, () => readSignedPolicy(document));
  const { inForce } = openPolicies(journal.database).standing();
  // A file is anybody's to write; who may resume is for the pinned policy to say.
  if (inForce !== null && inForce.policy.hash !== policy.hash) {
    const { name, version, hash } = inForce.policy;
    throw new InputError(
      "journal",
      `${file} is not in force: that is ${name} v${version}, ${hash}`,
    );
  }
  const pause = journal.pauses();
  if (!journal.paused()) throw new InputError("journal", "this signer is not paused");
  const { network, role, hash } = policy;
  const text = resumeText({ network, role, policy: hash, pause });
  if (agree.length === 0) {
    console.log(text);
    return;
  }
  const agreements = agreementsOf("journal", agree);
  const outcome = quorumOf(text, agreements, policy.quorum);
  if (outcome.kind === "refused") {
    throw new InputError("journal", `still paused: ${outcome.reasons.join("; ")}`);
  }
  if (!journal.resume(pause)) throw new Error("BUG: the pause changed while the journal was open");
  console.log(`resumed by ${outcome.people.join(", ")}`);
}

function law(database: Journal["database"]) {
  const policies = openPolicies(database);
  const { inForce, announced } = policies.standing();
  const told = ({ policy, since }: HeldPolicy) => {
    const { name, version, hash, looseningHours } = policy;
    return { name, version, hash, looseningHours, since };
  };
  return {
    inForce: inForce === null ? null : told(inForce),
    announced: announced === null ? null : told(announced),
    past: policies.known().flatMap((known) => (known.standing === "past" ? told(known) : [])),
  };
}

function use(options: Options, work: (journal: Journal) => void): void {
  withInput(false, () => {
    const known = identity.safeParse(options);
    if (!known.success) throw new InputError("journal", "--network or --role is not known");
    const { journal: file, network, role, mirror } = known.data;
    try {
      const journal = openJournal({ file, network, role, ...(mirror !== undefined && { mirror }) });
      try {
        work(journal);
      } finally {
        journal.close();
      }
    } catch (error) {
      const faults = [JournalError, InterchangeError, MirrorError];
      if (error instanceof Error && faults.some((kind) => error instanceof kind)) {
        throw new InputError("journal", error.message);
      }
      throw error;
    }
    return 0;
  });
}
