/** The person at the terminal: what is shown goes out, what is asked waits for a line. */
import { createInterface } from "node:readline";
import { QR_INKS } from "../signer/airgap/qr.ts";
import { plain } from "../signer/station/plain.ts";
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
      out.write(`${told.map(letters).join("\n")}\n`);
    },
    ask: async (question) => {
      out.write(question);
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

/** Letters, and the two inks of QR codes; nothing else that a terminal would obey. */
function letters(line: string): string {
  return line
    .split(INKS)
    .map((part) => (QR_INKS.includes(part) ? part : plain(part)))
    .join("");
}

const INKS = new RegExp(`(${QR_INKS.map((ink) => ink.replace("[", "\\[")).join("|")})`);
