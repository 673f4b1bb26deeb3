/** `npx ballast audit …`: the decision log of a signer, checked without the signer. */
import type { Command } from "commander";
import { type AuditFinding, type AuditTrust, verifyAudit } from "../signer/audit.ts";
import { AuditFileError, readAuditFile } from "../signer/audit-file.ts";
import { InputError, readTextFile, withInput } from "./input.ts";

interface VerifyOptions {
  readonly key?: readonly string[];
  readonly head?: string;
  readonly json?: boolean;
}

export function addAudit(program: Command): void {
  program
    .command("audit")
    .description("read the decision log of a signer")
    .command("verify")
    .description("find the first record that was edited, deleted, moved, cut off or forked")
    .argument("<file>", "the log, format ballast/audit@1; - is standard input")
    .option(
      "--key <hex>",
      "key that signs the heads, x-only (BIP340) or compressed (ECDSA): a head of another key is a forgery; repeated where the key was replaced, the oldest first",
      (key: string, before: readonly string[] = []) => [...before, key],
    )
    .option("--head <sequence:link>", "a head kept elsewhere, which the log must still contain")
    .option("--json", "machine-readable output")
    .addHelpText("after", "\nExit: 0 intact, 3 broken, 2 not a log.")
    .action((file: string, options: VerifyOptions) =>
      withInput(options.json === true, () => verify(file, options)),
    );
}

function verify(file: string, options: VerifyOptions): number {
  const trust = trustOf(options);
  const log = read(file);
  const finding = verifyAudit(log, trust);
  if (options.json === true) console.log(JSON.stringify(finding));
  else console.log(words(finding, trust.key === null ? null : log.heads.length));
  return finding.kind === "intact" ? 0 : 3;
}

function trustOf({ key: keys = [], head }: VerifyOptions): AuditTrust {
  if (!keys.every((key) => /^(?:[0-9a-f]{64}|0[23][0-9a-f]{64})$/.test(key))) {
    throw new InputError("audit", "--key is not 64 hex digits, nor 66 that begin with 02 or 03");
  }
  const trust = { key: keys.at(-1) ?? null, earlier: keys.slice(0, -1) };
  if (head === undefined) return trust;
  const [, sequence, link] = /^([0-9]{1,15}):([0-9a-f]{64})$/.exec(head) ?? [];
  if (sequence === undefined || link === undefined) {
    throw new InputError("audit", "--head is not SEQUENCE:LINK");
  }
  return { ...trust, anchor: { sequence: Number(sequence), link } };
}

function read(file: string) {
  try {
    return readAuditFile(readTextFile("audit", file));
  } catch (error) {
    if (error instanceof AuditFileError) throw new InputError("audit", error.message);
    throw error;
  }
}

function words(finding: AuditFinding, heads: number | null): string {
  if (finding.kind === "broken") return `broken at record ${finding.sequence}: ${finding.detail}`;
  const signed = heads === null ? "heads not checked, no --key was given" : `${heads} signed heads`;
  return `intact: ${finding.records} records, ${signed}`;
}
