/** `npx ballast policy …`: read, compare, sign and try policy documents. No key of a vault is used. */
import { existsSync, renameSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import * as ecc from "tiny-secp256k1";
import { z } from "zod";
import { fromHex, hex } from "../policies/bitcoin/hash.ts";
import { textHash } from "../policies/bitcoin/message.ts";
import { amendmentFaults, amendmentText } from "../policies/document/amendment.ts";
import { type Difference, differencesOf, directionOf } from "../policies/document/differences.ts";
import { type Policy, PolicyError } from "../policies/document/policy.ts";
import { policySchema } from "../policies/document/policy-document.ts";
import { type Agreement, quorumOf } from "../policies/document/quorum.ts";
import {
  readSignedPolicy,
  type SignedPolicy,
  writeSignedPolicy,
} from "../policies/document/signed-policy.ts";
import { agreementsOf } from "./agreements.ts";
import { InputError, parsed, readDocumentFile, readTextFile, withInput } from "./input.ts";
import { addSimulate } from "./simulate.ts";

interface Json {
  readonly json?: boolean;
}

interface SignOptions {
  readonly agree?: readonly string[];
  readonly keyFile?: readonly string[];
  readonly out?: string;
}

export function addPolicy(program: Command): void {
  const policy = program
    .command("policy")
    .description("policy documents: read, compare, sign and try them");
  policy
    .command("lint")
    .description("say ok, or every reason why a file is no policy, with its place (exit 2)")
    .argument("<file>", "a policy document, plain or signed; - is standard input")
    .option("--json", "print one JSON object")
    .action((file: string, { json = false }: Json) => withInput(json, () => lint(file, json)));
  const pair = (name: string, description: string) =>
    policy
      .command(name)
      .description(description)
      .argument("<old>", "the policy in force")
      .argument("<new>", "the policy that would take its place");
  pair("diff", "print what the new one allows more and less, and the verdict on the whole")
    .option("--json", "print one JSON object")
    .action((old: string, next: string, { json = false }: Json) =>
      withInput(json, () => diff(readStep(old, next), json)),
    );
  pair("text", "print the line that the people of the old policy's quorum sign").action(
    (old: string, next: string) => withInput(false, () => text(readStep(old, next))),
  );
  pair(
    "sign",
    "collect agreements into a signed-policy file; each is verified before it is written",
  )
    .option(
      "--agree <name=signature...>",
      "65 bytes of a Bitcoin signed message or 64 of BIP340, in hex, a person",
    )
    .option("--key-file <file...>", "a person's secret, 64 hex digits: for trials")
    .option("--out <file>", "where to; standard output when left out")
    .action((old: string, next: string, options: SignOptions) =>
      withInput(false, () => sign(readStep(old, next), options)),
    );
  addSimulate(policy);
  policy
    .command("schema")
    .description("print the JSON Schema (draft 2020-12) of ballast/policy@1")
    .action(() =>
      console.log(JSON.stringify(z.toJSONSchema(policySchema, { io: "input" }), null, 2)),
    );
}

function lint(file: string, json: boolean): number {
  const document = readDocumentFile("policy", file);
  try {
    const { policy, agreements } = readSignedPolicy(document);
    const { name, version, hash } = policy;
    const notes = notesOn(policy);
    if (json) console.log(JSON.stringify({ ok: true, name, version, hash, notes }));
    else
      console.log([`ok: ${said(policy)}, ${agreements.length} agreements`, ...notes].join("\n  "));
    return 0;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const { reasons } = error;
    if (json) console.log(JSON.stringify({ ok: false, reasons }));
    else for (const reason of reasons) console.error(`${file}: ${reason}`);
    return 2;
  }
}

/** What is allowed and yet worth a second thought. */
function notesOn({ quorum, looseningHours }: Policy): readonly string[] {
  return [
    ...(quorum === null ? ["no quorum: a pause is for good, and so is this document"] : []),
    ...(looseningHours === 0 ? ["changes.loosening_hours is 0: nobody has time to object"] : []),
  ];
}

interface Step {
  readonly old: SignedPolicy;
  readonly next: SignedPolicy;
  readonly differences: readonly Difference[];
  /** What speaks against the step whoever signs it. */
  readonly faults: readonly string[];
}

function readStep(oldFile: string, nextFile: string): Step {
  if (oldFile === "-" && nextFile === "-") {
    throw new InputError("stdin", "only one file can be -, standard input is read once");
  }
  const read = (file: string) => {
    const document = readDocumentFile("policy", file);
    return parsed("policy", file, () => readSignedPolicy(document));
  };
  const [old, next] = [read(oldFile), read(nextFile)];
  const differences = differencesOf(old.document, next.document);
  const faults = amendmentFaults({ before: old.policy, after: next.policy, differences });
  return { old, next, differences, faults };
}

function diff({ old, next, differences, faults }: Step, json: boolean): number {
  const verdict = directionOf(differences);
  if (json) {
    const of = ({ policy: { name, version, hash } }: SignedPolicy) => ({ name, version, hash });
    console.log(JSON.stringify({ verdict, old: of(old), new: of(next), differences, faults }));
    return 0;
  }
  const waits =
    verdict === "loosening" ? `, waits ${old.policy.looseningHours} h after it is announced` : "";
  console.log(
    [
      `${said(old.policy)} -> ${said(next.policy)}`,
      ...differences.map(
        ({ path, before, after, direction }) =>
          `  ${direction.padEnd(10)}  ${path}: ${shown(before)} -> ${shown(after)}`,
      ),
      `${verdict}${waits}`,
      ...faults.map((fault) => `no amendment: ${fault}`),
    ].join("\n"),
  );
  return 0;
}

function shown(value: unknown): string {
  return value === null ? "nothing" : JSON.stringify(value);
}

function text(step: Step): number {
  console.log(textOf(step));
  return 0;
}

function textOf({ old, next, faults }: Step): string {
  if (faults.length > 0) throw new InputError("policy", `no amendment: ${faults.join("; ")}`);
  return amendmentText({ before: old.policy, after: next.policy });
}

/** What a signed file has already is kept, so that people may sign one after the other. */
function sign(step: Step, { agree = [], keyFile = [], out }: SignOptions): number {
  const line = textOf(step);
  const { old, next } = step;
  const agreements = [
    ...next.agreements,
    ...agreementsOf("policy", agree),
    ...keyFile.map((file) => signWith(file, line, old.policy)),
  ];
  if (agreements.length === 0) throw new InputError("policy", "neither --agree nor --key-file");
  const { quorum } = old.policy;
  // One is enough to be written; the signer asks for all.
  const outcome = quorumOf(line, agreements, quorum && { ...quorum, approvals: 1 });
  if (outcome.kind === "refused") {
    throw new InputError("policy", `nothing was written: ${outcome.reasons.join("; ")}`);
  }
  const file = JSON.stringify(writeSignedPolicy({ ...next, agreements }), null, 2);
  if (out === undefined) console.log(file);
  else write(out, `${file}\n`);
  const wanted = quorum?.approvals ?? 0;
  console.error(`${outcome.people.length} of ${wanted} people agree: ${outcome.people.join(", ")}`);
  return 0;
}

function signWith(file: string, line: string, { quorum }: Policy): Agreement {
  const secret = readTextFile("key-file", file).trim();
  if (!/^[0-9a-f]{64}$/.test(secret) || !ecc.isPrivate(fromHex(secret))) {
    throw new InputError("key-file", `${file} does not hold a secret of 64 hex digits`);
  }
  const own = hex(ecc.xOnlyPointFromScalar(fromHex(secret)));
  const person = quorum?.people.find(({ key }) => hex(key.subarray(1)) === own);
  if (person === undefined) {
    throw new InputError("key-file", `${file} is nobody's key whom the policy in force names`);
  }
  return { person: person.name, signature: ecc.signSchnorr(textHash(line), fromHex(secret)) };
}

/** Whole or not at all: a signer may be about to read it. */
function write(file: string, content: string): void {
  const next = `${file}.next`;
  if (existsSync(next)) throw new InputError("out", `${next} is in the way`);
  writeFileSync(next, content, { flag: "wx" });
  renameSync(next, file);
}

function said({ name, version, network, role, hash }: Policy): string {
  return `${name} v${version} (${role} on ${network}, ${hash.slice(0, 16)})`;
}
