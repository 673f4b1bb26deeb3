/** What commands read: files or standard input, bounded, with faults in words. */
import { closeSync, openSync, readSync } from "node:fs";
import { parseDocument } from "yaml";
import {
  PSBT_BYTES_MAX,
  type Psbt,
  PsbtFault,
  readPsbt,
  readPsbtText,
} from "../policies/bitcoin/psbt.ts";

/** The input cannot be used: shown to the person, exit code 2. */
export class InputError extends Error {
  readonly code: string;
  constructor(code: string, detail: string) {
    super(detail);
    this.name = "InputError";
    this.code = code;
  }
}

/** Policies, vaults, intents and histories are far smaller. */
const DOCUMENT_BYTES_MAX = 16 * 1024 * 1024;
/** Base64 of the largest PSBT with a line break. */
const PSBT_TEXT_BYTES_MAX = Math.ceil(PSBT_BYTES_MAX / 3) * 4 + 2;

/** A JSON or YAML document; `-` is standard input. Repeated keys are an error. */
export function readDocumentFile(what: string, file: string): unknown {
  const text = new TextDecoder("utf-8", { fatal: false }).decode(
    readBytes(what, file, DOCUMENT_BYTES_MAX),
  );
  const document = parseDocument(text, { uniqueKeys: true, schema: "core", strict: true });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) {
    throw new InputError(what, `${what} ${file}: ${fault.message.split("\n")[0]}`);
  }
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    const detail = "aliases (*name) and deep nesting are not read; write the values out";
    throw new InputError(what, `${what} ${file}: ${detail}`);
  }
}

/** A text of at most 16 MiB; `-` is standard input. */
export function readTextFile(what: string, file: string): string {
  return new TextDecoder().decode(readBytes(what, file, DOCUMENT_BYTES_MAX));
}

/** A PSBT as binary or as one line of base64; `-` is standard input. */
export function readPsbtFile(file: string): Psbt {
  const bytes = readBytes("psbt", file, PSBT_TEXT_BYTES_MAX);
  try {
    if (bytes[0] === 0x70 && bytes[4] === 0xff) return readPsbt(bytes);
    // latin1 keeps every byte apart, so that junk stays junk. One line break ends a text file.
    return readPsbtText(new TextDecoder("latin1").decode(bytes).replace(/\r?\n$/, ""));
  } catch (error) {
    if (error instanceof PsbtFault) throw new InputError(error.code, `psbt: ${error.message}`);
    throw error;
  }
}

/** Reads with a typed fault of `what`, for the readers of policies/. */
export function parsed<Value>(what: string, file: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && "reasons" in error) {
      throw new InputError(what, `${what} ${file}: ${error.message}`);
    }
    throw error;
  }
}

/** Reads a document by its schema; every reason is told. */
export function checked<Value>(
  what: string,
  file: string,
  schema: {
    safeParse: (
      value: unknown,
    ) =>
      | { success: true; data: Value }
      | { success: false; error: { issues: readonly { path: PropertyKey[]; message: string }[] } };
  },
): Value {
  const result = schema.safeParse(readDocumentFile(what, file));
  if (result.success) return result.data;
  const reasons = result.error.issues.map(
    (issue) => `${issue.path.join(".") || "document"}: ${issue.message}`,
  );
  throw new InputError(what, `${what} ${file}: ${reasons.join("; ")}`);
}

/** Runs a command; an InputError ends it with exit code 2 and its words. */
export async function withInput(json: boolean, run: () => number | Promise<number>): Promise<void> {
  try {
    process.exitCode = await run();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    if (json) {
      console.log(JSON.stringify({ error: { code: error.code, detail: error.message } }));
    } else {
      console.error(`ballast: ${error.message}`);
    }
    process.exitCode = 2;
  }
}

function readBytes(what: string, file: string, most: number): Uint8Array {
  let handle: number;
  try {
    handle = file === "-" ? 0 : openSync(file, "r");
  } catch (error) {
    throw new InputError(what, `${what} ${file} cannot be read: ${inWords(error)}`);
  }
  try {
    const chunks: Uint8Array[] = [];
    let total = 0;
    for (;;) {
      const chunk = new Uint8Array(65_536);
      const read = readChunk(handle, chunk);
      if (read === 0) return Buffer.concat(chunks);
      total += read;
      if (total > most) {
        const code = what === "psbt" ? "psbt-oversized" : what;
        throw new InputError(code, `${what} ${file} has more than ${most} bytes`);
      }
      chunks.push(chunk.subarray(0, read));
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(what, `${what} ${file} cannot be read: ${inWords(error)}`);
  } finally {
    if (handle !== 0) closeSync(handle);
  }
}

/** A pipe that has nothing yet answers EAGAIN; a closed one answers EOF. */
function readChunk(handle: number, chunk: Uint8Array): number {
  for (;;) {
    try {
      return readSync(handle, chunk);
    } catch (error) {
      const code = codeOf(error);
      if (code === "EOF") return 0;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a folder",
  EACCES: "this user may not read it",
};

function inWords(error: unknown): string {
  const code = codeOf(error);
  return WORDS[code] ?? code;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown fault";
}
