/**
 * Reads a PSBT back from scanned lines: what a scanner types into the terminal, or the lines of a
 * file. It finds out by itself what they are, and a bad line costs nothing but itself.
 */
import { AirgapError } from "./airgap-error.ts";
import { type BbqrFileType, bbqrJoin } from "./bbqr.ts";
import { type Progress, progressWords } from "./progress.ts";
import { checkedPsbt, oversized, PSBT_TEXT_MAX, psbtOfBase64, psbtOfHex } from "./psbt-bytes.ts";
import { type UrType, urJoin } from "./ur.ts";

export type ScanKind = "BBQr" | "UR" | "base64" | "hex";

export type ScanState =
  | { readonly kind: "waiting" }
  | { readonly kind: "collecting"; readonly as: ScanKind; readonly progress: Progress }
  | { readonly kind: "done"; readonly as: ScanKind; readonly psbt: Uint8Array };

export interface Scan {
  /**
   * Takes one line. Throws an AirgapError for a bad one and keeps what it has; when all parts are
   * there and do not make a PSBT, it forgets them, so that the scan can be repeated.
   */
  readonly add: (line: string) => ScanState;
  readonly state: () => ScanState;
  /** Forgets everything. */
  readonly restart: () => void;
}

export function openScan(): Scan {
  let open: Join | null = null;
  let state: ScanState = { kind: "waiting" };
  function restart(): void {
    open = null;
    state = { kind: "waiting" };
  }
  return {
    add: (line) => {
      const text = line.trim();
      if (text === "") return state;
      if (text.length > PSBT_TEXT_MAX) throw oversized();
      const as = kindOf(text);
      if (open !== null && open.as !== as) {
        throw new AirgapError(
          "other-transfer",
          `this is ${as}, and the codes before it were ${open.as}: finish those, or start over`,
        );
      }
      const join: Join = open ?? JOINS[as]();
      join.add(text);
      open = join;
      if (state.kind === "done") return state;
      try {
        const psbt = join.finish();
        state =
          psbt === null
            ? { kind: "collecting", as, progress: join.progress() }
            : { kind: "done", as, psbt };
      } catch (error) {
        restart();
        throw error;
      }
      return state;
    },
    state: () => state,
    restart,
  };
}

/** All lines of a file; throws an AirgapError with the number of a bad line, or what is missing. */
export function psbtOfLines(lines: Iterable<string>): Uint8Array {
  const scan = openScan();
  let number = 0;
  for (const line of lines) {
    number += 1;
    try {
      scan.add(line);
    } catch (error) {
      if (!(error instanceof AirgapError)) throw error;
      throw new AirgapError(error.code, `line ${number}: ${error.message}`);
    }
  }
  const state = scan.state();
  if (state.kind === "done") return state.psbt;
  throw new AirgapError(
    "incomplete",
    state.kind === "waiting" ? "there is no code in it" : progressWords(state.progress),
  );
}

interface Join {
  readonly as: ScanKind;
  readonly add: (text: string) => void;
  readonly progress: () => Progress;
  /** The PSBT, null while parts are missing. */
  readonly finish: () => Uint8Array | null;
}

const JOINS: Readonly<Record<ScanKind, () => Join>> = {
  BBQr: () => {
    const join = bbqrJoin();
    return {
      as: "BBQr",
      add: (text) => {
        // Told at the first code, not after the last.
        const what = OTHER_FILES.get(text[3] ?? "");
        if (what !== undefined) throw noPsbt(what);
        join.add(text);
      },
      progress: join.progress,
      finish: () => psbtOf(join.finish()),
    };
  },
  UR: () => {
    const join = urJoin();
    return {
      as: "UR",
      add: (text) => {
        const type = /^ur:([a-z0-9-]{1,32})\//i.exec(text)?.[1]?.toLowerCase();
        if (type !== undefined && !UR_TYPES.has(type)) throw noPsbt(`a UR of the type ${type}`);
        join.add(text);
      },
      progress: join.progress,
      finish: () => psbtOf(join.finish()),
    };
  },
  base64: () => plainJoin("base64", psbtOfBase64),
  hex: () => plainJoin("hex", psbtOfHex),
};

/** One line is the whole PSBT. */
function plainJoin(as: ScanKind, read: (text: string) => Uint8Array): Join {
  let known: string | null = null;
  return {
    as,
    add: (text) => {
      if (known !== null && known !== text) {
        throw new AirgapError("contradiction", "another PSBT was read before: start over");
      }
      read(text);
      known = text;
    },
    progress: () => ({ have: known === null ? 0 : 1, of: 1, missing: known === null ? [1] : [] }),
    finish: () => (known === null ? null : read(known)),
  };
}

function kindOf(text: string): ScanKind {
  if (text.startsWith("B$")) return "BBQr";
  if (/^ur:/i.test(text)) return "UR";
  if (/^70736274ff/i.test(text)) return "hex";
  if (text.startsWith("cHNidP")) return "base64";
  throw new AirgapError(
    "bad-part",
    "this is neither BBQr nor UR nor a PSBT in base64 or hex: was another code before the camera?",
  );
}

/** File types of BBQr that are no PSBT. */
const OTHER_FILES: ReadonlyMap<string, string> = new Map<Exclude<BbqrFileType, "P">, string>([
  ["T", "a finished transaction: set the device to give back the signed PSBT, not to finish it"],
  ["J", "JSON"],
  ["C", "CBOR"],
  ["U", "text"],
  ["B", "a file of no stated kind"],
  ["X", "a program"],
]);

const UR_TYPES: ReadonlySet<string> = new Set<UrType>(["crypto-psbt", "psbt"]);

function psbtOf(received: { readonly bytes: Uint8Array } | null): Uint8Array | null {
  return received === null ? null : checkedPsbt(received.bytes);
}

function noPsbt(what: string): AirgapError {
  return new AirgapError("wrong-content", `the codes carry no PSBT but ${what}`);
}
