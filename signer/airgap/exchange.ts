/** How a PSBT gets to the device and back: a file in a folder, or codes on the screen. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { AirgapError } from "./airgap-error.ts";
import { type AnimationFormat, animation } from "./animation.ts";
import { progressWords } from "./progress.ts";
import { readPsbtFile, writePsbtFile } from "./psbt-file.ts";
import { openScan, type Scan, type ScanState } from "./scan.ts";

/** The terminal, or whoever stands in for it. */
export interface AirgapPerson {
  readonly show: (lines: readonly string[]) => void;
  /** The answer as it was typed; an empty one when the terminal ends. */
  readonly ask: (question: string) => Promise<string>;
}

export interface Exchange {
  readonly show: (psbt: Uint8Array, name: string) => Promise<void>;
  readonly collect: (name: string) => Promise<Uint8Array>;
}

/** `NAME.psbt` goes into the folder; `NAME-signed.psbt`, or another that is named, comes back. */
export function byFile(folder: string, person: AirgapPerson): Exchange {
  return {
    show: async (psbt, name) => {
      const file = join(folder, `${name}.psbt`);
      // The same transaction asked again is the same file.
      if (!existsSync(file)) await writePsbtFile(file, psbt);
      person.show([`Take this file to the device, and sign it there: ${file}`]);
    },
    collect: async (name) => {
      const usual = join(folder, `${name}-signed.psbt`);
      const said = await person.ask(`Signed PSBT [${usual}]: `);
      return readPsbtFile(said.trim() === "" ? usual : said.trim());
    },
  };
}

/** Codes are shown one after the other, over and over, until the device has all of them. */
export function byCodes(format: AnimationFormat, person: AirgapPerson): Exchange {
  return {
    show: async (psbt) => {
      const frames = animation({ psbt, format });
      for (let shown = 0; ; shown += 1) {
        const frame = frames[shown % frames.length];
        if (frame === undefined) throw new Error("BUG: an animation without frames");
        person.show(frame.lines);
        const more = `Code ${frame.index + 1} of ${frame.total}. Enter: the next; done: the device has all: `;
        const said = frames.length === 1 ? "done" : (await person.ask(more)).trim();
        if (said === "done") return;
        // A terminal that has ended answers with nothing, and would be shown codes for ever.
        if (shown >= frames.length * ROUNDS_MAX) {
          throw new AirgapError("incomplete", "nobody said that the device has all codes");
        }
      }
    },
    collect: async () => {
      const scan = openScan();
      person.show(["Scan the device's codes now, each as a line; an empty line gives up."]);
      for (;;) {
        const line = await person.ask("");
        if (line.trim() === "") throw new AirgapError("incomplete", "the scan was given up");
        const state = taken(scan, line);
        if (typeof state === "string") person.show([state]);
        else if (state.kind === "done") return state.psbt;
        else if (state.kind === "collecting") person.show([progressWords(state.progress)]);
      }
    },
  };
}

/** A bad line costs nothing but itself: it is answered in words. */
function taken(scan: Scan, line: string): ScanState | string {
  try {
    return scan.add(line);
  } catch (error) {
    if (error instanceof AirgapError) return error.message;
    throw error;
  }
}

const ROUNDS_MAX = 100;
