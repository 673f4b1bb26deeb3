import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { base64 } from "@scure/base";
import { describe, expect, it } from "vitest";
import { PsbtFault, readPsbt, readPsbtText, writePsbt } from "../../policies/bitcoin/psbt.ts";

/** The public vectors lie beside the project: they are the BIPs' and are not copied into it. */
const FOLDER = fileURLToPath(new URL("../../../shared/vectors/", import.meta.url));

/**
 * `describe` over one file of public vectors. Without the folder the suite is skipped by name, also
 * under CI: whoever has only the project's own repository can still run everything else.
 */
export function describeVectors(title: string, file: string, body: (text: string) => void): void {
  const path = `${FOLDER}${file}`;
  if (!existsSync(path)) {
    describe(title, () => {
      it.skip(`skipped: ../shared/vectors${existsSync(FOLDER) ? `/${file}` : ""} not found`);
    });
    return;
  }
  describe(title, () => {
    body(readFileSync(path, "utf8"));
  });
}

/** One row of bip174.json, bip370.json and bip373.json. */
export interface PsbtVector {
  readonly section: "valid PSBTs" | "invalid PSBTs";
  readonly case: string;
  readonly psbt: string;
}

/** What a BIP calls invalid must not pass the gate; what it calls valid passes it unchanged. */
export function describePsbtVectors(title: string, file: string): void {
  describeVectors(title, file, (text) => {
    for (const { name, psbt } of psbtVectors(text, "invalid PSBTs")) {
      it(`refuses ${name}`, () => {
        expect(() => readPsbtText(psbt)).toThrow(PsbtFault);
      });
    }
    for (const { name, psbt } of psbtVectors(text, "valid PSBTs")) {
      it(`reads and writes back ${name}`, () => {
        const bytes = base64.decode(psbt);
        expect(writePsbt(readPsbt(bytes))).toEqual(bytes);
      });
    }
  });
}

/** The rows of a section, numbered: several rows of a BIP share one name. */
export function psbtVectors(
  text: string,
  section: PsbtVector["section"],
): readonly (PsbtVector & { readonly name: string })[] {
  const rows: readonly PsbtVector[] = JSON.parse(text);
  return rows
    .filter((row) => row.section === section)
    .map((row, i) => ({ ...row, name: `${i + 1}: ${row.case.slice(0, 120)}` }));
}
