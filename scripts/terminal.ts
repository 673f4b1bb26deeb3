/** The person at the terminal: what is shown goes out, what is asked waits for a line. */
import { createInterface } from "node:readline";
import type { Person } from "../signer/station/session.ts";

export interface Terminal extends Person {
  readonly close: () => void;
}

/** Lines that come before anybody asks wait for their question, so that a script may answer, too. */
export function openTerminal(out: NodeJS.WritableStream = process.stdout): Terminal {
  const lines = createInterface({ input: process.stdin, terminal: false });
  const early: string[] = [];
  let waiting: ((line: string) => void) | null = null;
  let ended = false;
  lines.on("line", (line) => {
    if (waiting === null) early.push(line);
    else waiting(line);
    waiting = null;
  });
  lines.on("close", () => {
    ended = true;
    waiting?.("");
  });
  return {
    show: (told) => {
      out.write(`${told.map(plain).join("\n")}\n`);
    },
    ask: async (question) => {
      out.write(plain(question));
      const known = early.shift();
      if (known !== undefined || ended) return known ?? "";
      return await new Promise<string>((resolve) => {
        waiting = resolve;
      });
    },
    close: () => {
      lines.close();
    },
  };
}

/** The two colours in which codes for an air-gapped device are painted; see signer/airgap/qr.ts. */
const PAINT = "\\u001b\\[(?:0|38;5;16;48;5;231)m";
const PAINT_OR_CONTROL = new RegExp(`${PAINT}|[\\p{C}\\p{Zl}\\p{Zp}]`, "gu");

/**
 * A line as text and nothing else. Much of what a person is shown quotes others: orchestrators,
 * devices, requests. One of them that moves the cursor or turns the text around would write over the
 * amounts that the person agrees to (attacks.md 121).
 */
export function plain(line: string): string {
  return line.replace(PAINT_OR_CONTROL, (found) => (found.startsWith("\u001b[") ? found : "?"));
}
