/** `npx ballast ceremony …`: open, look, attest, export, and check a transcript offline. */
import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import * as ecc from "tiny-secp256k1";
import { fromHex, hex } from "../policies/bitcoin/hash.ts";
import { textHash } from "../policies/bitcoin/message.ts";
import {
  attestLine,
  type CeremonyDocument,
  decodeReason,
  PARTS,
  type Part,
  type Participant,
} from "../policies/ceremony.ts";
import type { CeremonyEvent } from "../policies/ceremony-events.ts";
import {
  type TranscriptDocument,
  type TranscriptFacts,
  type TranscriptFinding,
  verifyTranscript,
} from "../policies/transcript.ts";
import { plain } from "../signer/station/plain.ts";
import { type ApiOptions, openAsk } from "./ask.ts";
import { InputError, readDocumentFile, readTextFile, withInput } from "./input.ts";

interface Options extends ApiOptions {
  readonly json?: boolean;
}

/** What the API says of a ceremony. */
interface CeremonyAnswer {
  readonly id: string;
  readonly state: string;
  readonly closed: boolean;
  readonly document: CeremonyDocument;
  readonly events: readonly CeremonyEvent[];
  readonly waitingFor: readonly string[];
}

type Summary = Pick<CeremonyAnswer, "id" | "state" | "closed" | "waitingFor"> & {
  readonly intent: string;
  readonly deadline: CeremonyDocument["deadline"];
};

export function addCeremony(program: Command): void {
  const ceremony = program
    .command("ceremony")
    .description("spends that people agree to: open, look, attest, check a transcript");
  addOpen(ceremony);
  asking(
    ceremony.command("list").description("the newest ceremonies, and whom each waits for"),
  ).action((options: Options) => withInput(options.json === true, () => list(options)));
  asking(ceremony.command("show").description("one ceremony, with all that has happened"))
    .argument("<id>")
    .action((id: string, options: Options) =>
      withInput(options.json === true, () => show(id, options)),
    );
  asking(ceremony.command("transcript").description("export a transcript, as JSON"))
    .argument("<id>")
    .option("--out <file>", "write it there; never over another file")
    .action((id: string, options: Options & { readonly out?: string }) =>
      withInput(options.json === true, () => transcript(id, options)),
    );
  addSign(ceremony);
  addVerify(ceremony);
}

function asking(command: Command): Command {
  return command
    .requiredOption("--api <url>", "the orchestrator's API")
    .requiredOption("--token <file>", "file with the bearer token")
    .option("--json", "machine-readable output");
}

interface OpenOptions extends Options {
  readonly intent: string;
  readonly participant: readonly string[];
  readonly approval: readonly string[];
  readonly hours?: string;
  readonly blocks?: string;
}

const several = (value: string, before: readonly string[] = []) => [...before, value];

function addOpen(ceremony: Command): void {
  asking(ceremony.command("open").description("open a ceremony for an intent that people sign"))
    .requiredOption("--intent <id>", "the intent")
    .requiredOption(
      "--participant <name=role>",
      `who takes part: ${PARTS.join(", ")}; NAME=ROLE=KEY where no station has the name; repeated`,
      several,
    )
    .requiredOption("--approval <role>", "whose agreement it needs; repeated", several)
    .option("--hours <n>", "until its deadline")
    .option("--blocks <n>", "until its deadline; six an hour by default")
    .action((options: OpenOptions) => withInput(options.json === true, () => open(options)));
}

async function open(options: OpenOptions): Promise<number> {
  const { intent, participant, approval, hours, blocks } = options;
  const answer = await openAsk(options)<CeremonyAnswer>("/v1/ceremonies", {
    intent,
    participants: participant.map(participantOf),
    quorum: { approvals: approval },
    deadline: {
      ...(hours !== undefined && { hours: Number(hours) }),
      ...(blocks !== undefined && { blocks: Number(blocks) }),
    },
  });
  return print(options, answer, () => inWords(answer));
}

function participantOf(text: string) {
  const [name = "", role = "", key, ...rest] = text.split("=");
  if (rest.length > 0 || !PARTS.includes(role as Part)) {
    throw new InputError("participant", `--participant ${text} is not NAME=ROLE or NAME=ROLE=KEY`);
  }
  return { name, role, ...(key !== undefined && { key }) };
}

async function list(options: Options): Promise<number> {
  const answer = await openAsk(options)<{ ceremonies: readonly Summary[] }>("/v1/ceremonies");
  return print(options, answer, () =>
    answer.ceremonies.map(
      ({ id, intent, state, closed, deadline, waitingFor }) =>
        `${id}  ${state}${closed ? ", closed" : ""}  intent ${intent.slice(0, 16)}  until block ${deadline.height}, ${deadline.time}${waiting(waitingFor)}`,
    ),
  );
}

async function show(id: string, options: Options): Promise<number> {
  const answer = await openAsk(options)<CeremonyAnswer>(`/v1/ceremonies/${encodeURIComponent(id)}`);
  return print(options, answer, () => inWords(answer));
}

async function transcript(id: string, options: Options & { out?: string }): Promise<number> {
  const path = `/v1/ceremonies/${encodeURIComponent(id)}/transcript`;
  const answer = await openAsk(options)<TranscriptDocument>(path);
  if (options.out === undefined) console.log(JSON.stringify(answer, null, 2));
  else write(options.out, answer);
  return 0;
}

interface SignOptions {
  readonly api?: string;
  readonly token?: string;
  readonly keyFile: string;
  readonly out?: string;
  readonly json?: boolean;
}

function addSign(ceremony: Command): void {
  ceremony
    .command("sign")
    .description("attest the end of a closed transcript with a station's key")
    .argument("<id or file>", "the ceremony's id (with --api), or a transcript's file")
    .requiredOption("--key-file <file>", "the station's secret: 64 hex digits")
    .option("--api <url>", "the orchestrator's API")
    .option("--token <file>", "file with the station's token")
    .option("--out <file>", "of a file: write the transcript with the attestation there")
    .option("--json", "machine-readable output")
    .action((what: string, options: SignOptions) =>
      withInput(options.json === true, () => sign(what, options)),
    );
}

async function sign(what: string, options: SignOptions): Promise<number> {
  const { api, token, keyFile, out, json } = options;
  const secret = secretOf(keyFile);
  if (api === undefined) {
    const value = readDocumentFile("transcript", what);
    const { attestation, participant } = attestationOf(value, secret);
    const before = value as TranscriptDocument;
    const attestations = [...before.attestations, attestation];
    if (out !== undefined) write(out, { ...before, attestations });
    console.log(
      json === true || out === undefined ? JSON.stringify(attestation) : said(participant),
    );
    return 0;
  }
  if (token === undefined) throw new InputError("token", "--api wants --token, too");
  const ask = openAsk({ api, token });
  const { ended } = await ask<{ ended: readonly TranscriptDocument[] }>("/v1/station/requests");
  const own = ended.map((value) => attestationOf(value, secret)).find(({ id }) => id === what);
  if (own === undefined) {
    throw new InputError("ceremony", `no closed ceremony ${what} waits for this station's word`);
  }
  const { attestation, line, participant } = own;
  const { signature } = attestation;
  await ask(`/v1/station/ceremonies/${encodeURIComponent(what)}/events`, { line, signature });
  console.log(json === true ? JSON.stringify(attestation) : said(participant));
  return 0;
}

function said({ name, role }: Participant): string {
  return `attested by ${name}, ${role}`;
}

/** Nobody attests what is not sound: it is verified first, whoever gave it. */
function attestationOf(value: unknown, secret: Uint8Array) {
  const { ceremony, standing } = soundOrFault(verifyTranscript(value, "so far"));
  const { id, document } = ceremony;
  if (!standing.closed) throw new InputError("transcript", "it is not closed yet");
  const key = hex(ecc.xOnlyPointFromScalar(secret));
  const participant = document.participants.find((person) => person.key === key);
  if (participant === undefined) {
    throw new InputError("key-file", `the key takes no part in ceremony ${id}`);
  }
  const end = { by: participant.name, sequence: standing.sequence - 1, head: standing.head };
  const line = attestLine({ network: document.network, ceremony: id }, end);
  const signature = hex(ecc.signSchnorr(textHash(line), secret));
  return { id, line, participant, attestation: { ...end, signature } };
}

function soundOrFault(finding: TranscriptFinding): TranscriptFacts {
  if (finding.kind === "sound") return finding.facts;
  const faults = finding.faults.map(({ place, detail }) => `${place}: ${detail}`);
  throw new InputError("transcript", `the transcript is at fault: ${faults.join("; ")}`);
}

function secretOf(file: string): Uint8Array {
  const text = readTextFile("key-file", file).trim();
  if (!/^[0-9a-f]{64}$/.test(text) || !ecc.isPrivate(fromHex(text))) {
    throw new InputError("key-file", `${file} does not hold a secret of 64 hex digits`);
  }
  return fromHex(text);
}

function addVerify(ceremony: Command): void {
  ceremony
    .command("verify")
    .description("check a transcript offline: every line, every signature, its end")
    .argument("<file>", "format ballast/ceremony-transcript@1; - is standard input")
    .option("--so-far", "the ceremony may be under way: its end need not be there")
    .option("--json", "machine-readable output")
    .addHelpText("after", "\nExit: 0 sound, 3 at fault, 2 not a document.")
    .action((file: string, options: { readonly soFar?: boolean; readonly json?: boolean }) =>
      withInput(options.json === true, () => verify(file, options)),
    );
}

function verify(file: string, { soFar, json }: { soFar?: boolean; json?: boolean }): number {
  const value = readDocumentFile("transcript", file);
  const finding = verifyTranscript(value, soFar === true ? "so far" : "whole");
  if (json === true) console.log(JSON.stringify(finding));
  else if (finding.kind === "sound") console.log(factsInWords(finding.facts).map(plain).join("\n"));
  else for (const { place, detail } of finding.faults) console.log(plain(`${place}: ${detail}`));
  return finding.kind === "sound" ? 0 : 3;
}

function factsInWords({ ceremony, standing, agreed, attested }: TranscriptFacts) {
  const { id, document } = ceremony;
  return [
    `ceremony ${id} on ${document.network}: ${standing.state}${standing.closed ? ", closed" : ""}`,
    `intent ${document.intent}`,
    `transaction ${document.spend.txid}${standing.height === null ? "" : `, confirmed in block ${standing.height}`}`,
    `agreed: ${agreed.map(({ name, part }) => `${name} (${part})`).join(", ") || "nobody"}`,
    `${standing.sequence} events, attested by ${attested.join(", ") || "nobody"}`,
  ];
}

function inWords({ id, state, closed, document, events, waitingFor }: CeremonyAnswer) {
  const { intent, spend, participants, quorum, deadline } = document;
  return [
    `ceremony ${id}: ${state}${closed ? ", closed" : ""}${waiting(waitingFor)}`,
    `intent ${intent}, transaction ${spend.txid}`,
    `needs ${quorum.approvals.join(", ")} until block ${deadline.height}, ${deadline.time}`,
    ...participants.map(({ name, role, key }) => `  ${name}, ${role}, station ${key}`),
    ...events.map((event) => `${event.at}  ${event.by}: ${event.do}${detailInWords(event)}`),
  ];
}

function detailInWords({ detail }: CeremonyEvent): string {
  const words = Object.entries(detail).map(([key, value]) =>
    key === "reason" ? `: ${decodeReason(value)}` : ` ${key} ${value}`,
  );
  return words.join("");
}

function waiting(names: readonly string[]): string {
  return names.length === 0 ? "" : `, waits for ${names.join(", ")}`;
}

function print({ json }: Options, answer: unknown, words: () => readonly string[]): number {
  console.log(json === true ? JSON.stringify(answer) : words().map(plain).join("\n"));
  return 0;
}

function write(file: string, value: unknown): void {
  try {
    writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`, { flag: "wx" });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown fault";
    const detail = code === "EEXIST" ? "it is there already" : code;
    throw new InputError("out", `${file} cannot be written: ${detail}`);
  }
}
