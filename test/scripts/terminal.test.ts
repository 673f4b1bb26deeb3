/** What goes to a person's terminal is text: nobody who is quoted there moves the cursor or the eye. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { openTerminal } from "../../scripts/terminal.ts";
import { animation } from "../../signer/airgap/animation.ts";
import { honest } from "../support/spend.ts";

const BALLAST = join(import.meta.dirname, "..", "..", "scripts", "ballast");

function shown(lines: readonly string[]): string {
  let text = "";
  const out = new Writable({
    write: (chunk, _, done) => {
      text += String(chunk);
      done();
    },
  });
  const terminal = openTerminal(out);
  terminal.show(lines);
  terminal.close();
  return text;
}

describe("a line at the terminal", () => {
  it.each([
    ["an escape that goes up and writes over a line", "\u001b[9A  Pays 1 sat"],
    ["the same in one byte", "\u009b9A  Pays 1 sat"],
    ["a line break", "sure\n  Your law agrees"],
    ["a carriage return", "10,000,000 sat\r1 sat"],
    ["a backspace", "9\b1"],
    ["text from right to left", "abc\u202etas"],
    ["a letter of no width", "a\u200bb"],
    ["a separator of lines", "a\u2028b"],
    ["colours", "\u001b[8mhidden"],
  ])("has no %s", (_, line) => {
    expect(shown([line])).toMatch(/^[^\p{C}\p{Zl}\p{Zp}]+\n$/u);
  });

  it("keeps what people write, in any script", () => {
    const words = "Jürgen sagt: nein — 日本語 ₿ é";
    expect(shown(["", words])).toBe(`\n${words}\n`);
  });

  it("keeps the codes of an air gap, paint and all", () => {
    for (const format of ["bbqr", "crypto-psbt"] as const) {
      const [frame] = animation({ psbt: honest().bytes, format });
      const lines = frame?.lines ?? [];
      expect(lines.length).toBeGreaterThan(10);
      expect(shown(lines)).toBe(`${lines.join("\n")}\n`);
    }
  });
});

describe("npx ballast ceremony verify", () => {
  it("quotes a hostile transcript without its escapes", () => {
    const folder = mkdtempSync(join(tmpdir(), "ballast-transcript-"));
    const file = join(folder, "transcript.json");
    writeFileSync(file, JSON.stringify({ "\u009b2J\u202esound": 1 }));
    const words = ["ceremony", "verify", file];
    const { status, stdout } = spawnSync(BALLAST, words, { encoding: "utf8" });
    rmSync(folder, { recursive: true });
    expect(status).toBe(3);
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{C}/u);
  });
});
