/** The words of people on the command line: `--agree NAME=SIGNATURE`. */
import type { Agreement } from "../policies/document/quorum.ts";
import { readAgreement } from "../policies/document/signed-policy.ts";
import { InputError } from "./input.ts";

export function agreementsOf(what: string, entries: readonly string[]): readonly Agreement[] {
  return entries.map((entry) => {
    const agreement = readAgreement(entry);
    if (agreement === null) throw new InputError(what, "--agree is not NAME=SIGNATURE in hex");
    return agreement;
  });
}
