/**
 * A process that claims and records as fast as it can, until somebody kills it. It says on stdout
 * what it believes to be on the disk: "claimed N" and "recorded N", a line each.
 *
 * Arguments: the journal's file. Exits with 3 and the code of the fault where it cannot open it.
 */
import { writeSync } from "node:fs";
import { decide } from "../../policies/decide.ts";
import { openJournal } from "../../signer/journal.ts";
import { JournalError } from "../../signer/journal-file.ts";
import { victimAnswer, victimClaim } from "./journal-claims.ts";
import { honest } from "./spend.ts";

const say = (line: string) => writeSync(1, `${line}\n`);
const [file = ""] = process.argv.slice(2);
const approved = decide(honest().case);
try {
  const journal = openJournal({ file, network: "regtest", role: "lsp" });
  for (let n = journal.counts().claims; ; n += 1) {
    journal.claim(victimClaim(n), () => approved);
    say(`claimed ${n}`);
    journal.record(victimAnswer(n));
    say(`recorded ${n}`);
  }
} catch (error) {
  if (!(error instanceof JournalError)) throw error;
  say(error.code);
  process.exitCode = 3;
}
