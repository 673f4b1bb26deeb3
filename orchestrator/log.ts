/**
 * Logs to stderr, one JSON object a line: event name and fields, never a secret or a PSBT. Nobody
 * logs one on purpose; what slips in, in a field or in the words of a fault, is taken out here.
 */
import pino, { type DestinationStream, type Logger } from "pino";

export type Log = Pick<Logger, "info" | "warn" | "error" | "debug" | "child">;

export interface LogOptions {
  readonly level: string;
  /** Texts that must never be seen, whatever they look like. */
  readonly secrets?: readonly string[] | undefined;
  readonly to?: DestinationStream | undefined;
}

export function openLog({ level, secrets = [], to = pino.destination(2) }: LogOptions): Log {
  return pino(
    {
      ...{ level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
      formatters: { log: (fields) => withoutSecrets(fields) as Record<string, unknown> },
      hooks: { streamWrite: (line) => withoutForms(line, secrets) },
    },
    to,
  );
}

export const silentLog: Log = pino({ level: "silent" });

const HIDDEN = "[hidden]";
/** Names of fields whose values nobody needs to read. */
const SECRET_NAME =
  /token_?hash|secret|password|passphrase|authorization|cookie|psbt|mnemonic|seed/i;
/** The name of a token is logged; the token itself has a form of its own. */
const DEPTH_MAX = 8;

function withoutSecrets(value: unknown, depth = 0): unknown {
  if (value instanceof Uint8Array) return HIDDEN;
  if (typeof value !== "object" || value === null || value instanceof Error) return value;
  if (depth === DEPTH_MAX) return HIDDEN;
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      SECRET_NAME.test(name) ? HIDDEN : withoutSecrets(member, depth + 1),
    ]),
  );
}

/** What a secret looks like wherever it stands: our own tokens, bearers, PSBTs, private keys. */
const FORMS: readonly RegExp[] = [
  /ballast-[a-z]+-[0-9a-f]{16,}/g,
  /\b(?:Bearer|Basic)\s+[^\s"\\]+/gi,
  /cHNidP[0-9A-Za-z+/]*={0,2}/g,
  /70736274ff[0-9a-f]*/gi,
  /\b[xyztuv]prv[1-9A-HJ-NP-Za-km-z]{20,}/g,
  /\/\/[^\s/@"\\]+:[^\s/@"\\]+@/g,
];

function withoutForms(line: string, secrets: readonly string[]): string {
  const known = secrets.reduce((text, secret) => text.replaceAll(secret, HIDDEN), line);
  return FORMS.reduce((text, form) => text.replace(form, HIDDEN), known);
}
