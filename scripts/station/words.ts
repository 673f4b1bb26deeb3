/** What a person does with a station beside spends: take part in vaults, and sign words. */
import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { Argument, type Command } from "commander";
import { readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { readSignedPolicy } from "../../policies/document/signed-policy.ts";
import { approvalSchema } from "../../policies/evidence/approval.ts";
import { NOTICE_KINDS, type NoticeKind } from "../../policies/evidence/notice.ts";
import { hash } from "../../policies/evidence/scalar.ts";
import { possessionText } from "../../policies/possession.ts";
import { readVault, type Vault } from "../../policies/vault.ts";
import { readDocument } from "../../signer/config.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { isLedgerKey } from "../../signer/ledger/key.ts";
import type { VaultRegistration } from "../../signer/signer.ts";
import { readIdentity } from "../../signer/station/config.ts";
import { identityOf } from "../../signer/station/identity.ts";
import { agree, compose, inWords, say } from "../../signer/station/speech.ts";
import { InputError, parsed, readDocumentFile, withInput } from "../input.ts";
import { type Asked, asked, requestOf, seen } from "./request.ts";
import { type At, type Common, refuseTaken, run, stationConfig, stationVerb } from "./room.ts";

interface Registering extends Common {
  readonly vault: string;
  readonly people: string;
  readonly again?: boolean;
  readonly transcript?: string;
}

interface Saying extends Common {
  readonly vault: string;
  readonly speaker?: string;
  readonly number: string;
  readonly yes?: boolean;
}

interface Approving extends Asked {
  readonly agree: string;
  readonly as: string;
  readonly policy: string;
  readonly until: string;
  readonly account: string;
  readonly lifts: string;
}

export function addStationVerbs(station: Command): void {
  stationVerb(station.command("init"), "make the station's memory and its identity").action(
    (options: Common) => withInput(options.json === true, () => init(options)),
  );
  stationVerb(station.command("account"), "your account key of a label, to take part in a vault")
    .argument("<label>", "on a Ledger the account's number")
    .option("--show", "on the device, too, for you to compare and approve there")
    .action((label: string, options: Common & { readonly show?: boolean }) =>
      run(options, (at) => account(at, label, options.show === true)),
    );
  stationVerb(station.command("prove"), "prove on the device that a vault's key is yours")
    .requiredOption("--vault <file>", "the vault document")
    .action((options: Common & { readonly vault: string }) =>
      run(options, (at) => prove(at, options.vault)),
    );
  stationVerb(station.command("register"), "check a vault by your law, register it on the device")
    .requiredOption("--vault <file>", "a JSON file with vault and proofs")
    .option("--people <names>", "who is there, with commas between", "")
    .option("--again", "anew: after the device no longer knew its seal")
    .option("--transcript <file>", "write the transcript here; it is never overwritten")
    .action((options: Registering) => run(options, (at) => register(at, options)));
  stationVerb(station.command("say"), "sign words for your signers: a mandate, a recovery, its end")
    .addArgument(new Argument("<kind>", "what to say").choices(NOTICE_KINDS))
    .argument("[fields...]", "name=value, as the kind wants them")
    .requiredOption("--vault <file>", "a JSON file with vault, or the vault document")
    .requiredOption("--number <n>", "a higher number replaces a lower one")
    .option("--speaker <file>", "of user-lost: the vault of the recovery key, whose user says it")
    .option("--yes", "do not ask before the device does")
    .action((kind: NoticeKind, fields: readonly string[], options: Saying) =>
      run(options, (at) => speak(at, kind, { fields, options })),
    );
  asked(stationVerb(station.command("approve"), "agree to a spend as somebody whom a policy names"))
    .requiredOption("--agree <hash>", 'what you agree to, as "show" says it')
    .requiredOption("--as <name>", "your name in the policy")
    .requiredOption("--policy <hash>", "the policy under which it counts")
    .requiredOption("--until <height>", "last block at which it counts")
    .option("--account <label>", "whose child 0/0 the policy names", "0")
    .option("--lifts <rules>", "rules that it lifts, with commas between", "")
    .action((id: string | undefined, options: Approving) =>
      run(options, (at) => approve(at, id, options)),
    );
}

function init(options: Common): number {
  const config = stationConfig(options);
  const { network, role } = readSignedPolicy(readDocument(config.policy)).policy;
  const { journal: file, mirror, identity } = config;
  if (!existsSync(identity)) {
    const secret = `${randomBytes(32).toString("hex")}\n`;
    writeFileSync(identity, secret, { mode: 0o600, flag: "wx" });
  }
  if (!existsSync(file)) {
    createJournal({ file, network, role, ...(mirror !== undefined && { mirror }) });
  }
  const { publicKey } = identityOf(readIdentity(identity));
  if (options.json === true) console.log(JSON.stringify({ name: config.name, role, publicKey }));
  else
    console.log(`Station ${config.name} (${role} on ${network}) is ready; its key: ${publicKey}`);
  return 0;
}

async function account(
  { open, terminal, print }: At,
  label: string,
  onDevice: boolean,
): Promise<number> {
  const own = open.room.key;
  if (onDevice && !isLedgerKey(own))
    throw new InputError("show", "the key has no screen to show it");
  const key =
    onDevice && isLedgerKey(own) ? await own.showAccount(label) : await own.accountKey(label);
  if (print !== null) print({ key });
  else terminal.show([key]);
  return 0;
}

async function prove({ open, terminal, print }: At, file: string): Promise<number> {
  const { vault } = registrationFrom(file);
  const { role } = open.room;
  const own = vault.holders.find((holder) => holder.role === role);
  if (own === undefined) throw new InputError("vault", `the vault has no key of the ${role}`);
  const text = possessionText(vault, role);
  const proof = hex(await open.room.key.provePossession(hex(own.key.publicKey), text));
  if (print !== null) print({ role, proof });
  else terminal.show([proof]);
  return 0;
}

async function register({ open, terminal, print }: At, options: Registering): Promise<number> {
  const { vault, registration } = registrationFrom(options.vault);
  refuseTaken(options.transcript);
  const outcome = await open.room.registerVault(registration);
  if (outcome.kind === "refused") {
    print?.(outcome);
    for (const reason of outcome.reasons) terminal.show([`Your law says no: ${reason}`]);
    return 3;
  }
  const { key, role } = open.room;
  const device = isLedgerKey(key)
    ? await key.registerPolicy({
        ...{ vault, role, again: options.again === true },
        people: options.people.split(",").filter((person) => person !== ""),
      })
    : null;
  if (device?.kind === "registered" && options.transcript !== undefined) {
    const lines = device.transcript.map((line) => JSON.stringify(line)).join("\n");
    writeFileSync(options.transcript, `${lines}\n`, { flag: "wx", mode: 0o600 });
  }
  if (print !== null) print({ ...outcome, device: device?.kind ?? null });
  else
    terminal.show([
      `Vault ${vault.id} is registered${device === null ? "" : " here and on the device"}.`,
    ]);
  return 0;
}

/** A vault with its proofs, or a bare vault document. */
function registrationFrom(file: string): { vault: Vault; registration: VaultRegistration } {
  const value = readDocumentFile("vault", file);
  const pair = typeof value === "object" && value !== null && "vault" in value;
  const { vault: document, proofs = {} } = (pair ? value : { vault: value }) as {
    vault: unknown;
    proofs?: VaultRegistration["proofs"];
  };
  const vault = parsed("vault", file, () => readVault(document));
  return { vault, registration: { vault: vault.document, proofs } };
}

async function speak(
  { open, terminal, print }: At,
  kind: NoticeKind,
  { fields, options }: { readonly fields: readonly string[]; readonly options: Saying },
): Promise<number> {
  const { vault } = registrationFrom(options.vault);
  const speaker = options.speaker === undefined ? vault : registrationFrom(options.speaker).vault;
  const number = wholeIn("number", options.number);
  const given = fieldsIn(fields);
  const speech = compose({ kind, network: vault.network, vault: vault.id, number, fields: given });
  if (Array.isArray(speech)) throw new InputError("words", speech.join("; "));
  terminal.show(inWords(speech.notice));
  if (options.yes !== true && (await terminal.ask("Type yes to sign this: ")).trim() !== "yes") {
    terminal.show(["Nothing was signed."]);
    return 3;
  }
  const words = await say(open.room.key, speech, speaker);
  const heard = await open.room.tell(words);
  await open.requests?.say(words);
  if (print !== null) print({ words, heard });
  else terminal.show([words.text, words.signature]);
  return 0;
}

/** Each name once: of two values nobody knows which is meant. */
function fieldsIn(fields: readonly string[]): Readonly<Record<string, string>> {
  const given = new Map<string, string>();
  for (const field of fields) {
    const [, name, value] = /^([a-z0-9]+)=(.+)$/s.exec(field) ?? [];
    if (name === undefined || value === undefined) {
      throw new InputError("words", `"${field}" is not written name=value`);
    }
    if (given.has(name)) throw new InputError("words", `"${name}" stands twice`);
    given.set(name, value);
  }
  return Object.fromEntries(given);
}

function wholeIn(what: string, text: string): number {
  if (/^(?:0|[1-9][0-9]{0,9})$/.test(text)) return Number(text);
  throw new InputError(what, `--${what} ${text} is no whole number`);
}

async function approve(at: At, id: string | undefined, options: Approving): Promise<number> {
  const { open, terminal, print } = at;
  const content = contentIn(options);
  const sight = await seen(at, await requestOf(open, id, options));
  if (sight.spendHash !== options.agree) {
    throw new InputError("agree", "the request is not the one that you agreed to: show it again");
  }
  const { network } = readSignedPolicy(readDocument(at.config.policy)).policy;
  const key = readAccountKey(await open.room.accountKey(options.account), network);
  const approval = await agree(open.room.key, sight, {
    ...content,
    ...{ account: key, network },
  });
  if (print !== null) print(approval);
  else terminal.show([JSON.stringify(approval)]);
  return 0;
}

/** Read before the device is asked: a signature over anything else counts nowhere. */
function contentIn({ as: person, lifts, until, policy }: Approving) {
  const content = contentSchema.safeParse({
    person,
    lifts: lifts.split(",").filter((rule) => rule !== ""),
    until: wholeIn("until", until),
    policy,
  });
  if (content.success) return content.data;
  const [issue] = content.error.issues;
  throw new InputError("approval", `${issue?.path.join(".")}: ${issue?.message}`);
}

const contentSchema = approvalSchema.omit({ signature: true }).extend({ policy: hash });
