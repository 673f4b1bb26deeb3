/** `npx ballast journal …`: the memory of a signer that is stopped. */
import type { Command } from "commander";
import { z } from "zod";
import { NETWORKS } from "../policies/bitcoin/network.ts";
import type { Policy } from "../policies/document/policy.ts";
import { quorumOf, releaseText, resumeText } from "../policies/document/quorum.ts";
import { readSignedPolicy } from "../policies/document/signed-policy.ts";
import { ROLES } from "../policies/vault.ts";
import { writeAuditFile } from "../signer/audit-file.ts";
import { exportJournal, InterchangeError, importJournal } from "../signer/interchange.ts";
import { type Journal, openJournal } from "../signer/journal.ts";
import { createJournal, JournalError, type JournalOptions } from "../signer/journal-file.ts";
import { type HighWater, MirrorError, readMirror, writeMirror } from "../signer/mirror.ts";
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
  verb(
    "create",
    "make a new, empty journal and its mark: once, before a signer's first start",
  ).action((options: Options) => {
    return withInput(false, () => {
      inWords(() => createJournal(journalOf(options)));
      console.log("made");
      return 0;
    });
  });
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
  verb(
    "release",
    "let a signer go on with an older journal than its mirror has seen, on the word of the quorum; without --agree, the text to be signed",
  )
    .requiredOption("--policy <file>", "the policy in force")
    .option("--agree <name=signature...>", "as for resume")
    .action(({ mirror, ...options }: ResumeOptions) =>
      // Opened without its mirror, which is what it disagrees with.
      use(options, (open) => release(open, mirror, options)),
    );
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

/** The policy of the file, if it is the pinned one: who may agree is for that one to say. */
function pinnedPolicy(journal: Journal, file: string): Policy {
  const document = readDocumentFile("policy", file);
  const { policy } = parsed("policy", file, () => readSignedPolicy(document));
  const { inForce } = openPolicies(journal.database).standing();
  if (inForce !== null && inForce.policy.hash !== policy.hash) {
    const { name, version, hash } = inForce.policy;
    throw new InputError(
      "journal",
      `${file} is not in force: that is ${name} v${version}, ${hash}`,
    );
  }
  return policy;
}

/** Who has agreed to the text; null when nobody was named, and the text was printed to be signed. */
function agreed(
  text: string,
  { quorum }: Policy,
  { agree = [], still }: { readonly agree?: readonly string[] | undefined; readonly still: string },
): string | null {
  if (agree.length === 0) {
    console.log(text);
    return null;
  }
  const outcome = quorumOf(text, agreementsOf("journal", agree), quorum);
  if (outcome.kind === "agreed") return outcome.people.join(", ");
  throw new InputError("journal", `${still}: ${outcome.reasons.join("; ")}`);
}

function resume(journal: Journal, { policy: file, agree }: ResumeOptions): void {
  const policy = pinnedPolicy(journal, file);
  const pause = journal.pauses();
  if (!journal.paused()) throw new InputError("journal", "this signer is not paused");
  const { network, role, hash } = policy;
  const text = resumeText({ network, role, policy: hash, pause });
  const people = agreed(text, policy, { agree, still: "still paused" });
  if (people === null) return;
  if (!journal.resume(pause)) throw new Error("BUG: the pause changed while the journal was open");
  console.log(`resumed by ${people}`);
}

function release(
  journal: Journal,
  mirror: string | undefined,
  { policy: file, agree }: ResumeOptions,
): void {
  if (mirror === undefined) throw new InputError("journal", "--mirror names the high-water mark");
  const policy = pinnedPolicy(journal, file);
  const [has, seen] = [journal.highWater(), readMirror(mirror)];
  const said = ({ sequence, link }: HighWater) => `${sequence}:${link}`;
  if (said(has) === said(seen)) {
    throw new InputError("journal", "this journal is the one that last signed");
  }
  const { network, role, hash } = policy;
  const text = releaseText({ network, role, policy: hash, has: said(has), seen: said(seen) });
  const people = agreed(text, policy, { agree, still: "still refused" });
  if (people === null) return;
  writeMirror(mirror, has);
  console.log(`released by ${people}: the journal goes on from decision ${has.sequence}`);
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

function use(options: Options, work: (journal: Journal) => void): Promise<void> {
  return withInput(false, () => {
    inWords(() => {
      const journal = openJournal(journalOf(options));
      try {
        work(journal);
      } finally {
        journal.close();
      }
    });
    return 0;
  });
}

function journalOf(options: Options): JournalOptions {
  const known = identity.safeParse(options);
  if (!known.success) throw new InputError("journal", "--network or --role is not known");
  const { journal: file, network, role, mirror } = known.data;
  return { file, network, role, ...(mirror !== undefined && { mirror }) };
}

/** What is wrong with a journal, a document or a mark is an input that a person can correct. */
function inWords(work: () => void): void {
  try {
    work();
  } catch (error) {
    const faults = [JournalError, InterchangeError, MirrorError];
    if (error instanceof Error && faults.some((kind) => error instanceof kind)) {
      throw new InputError("journal", error.message);
    }
    throw error;
  }
}
