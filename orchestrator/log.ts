/** Logs to stderr, one JSON object a line: event name and fields, never a secret or a PSBT. */
import pino, { type Logger } from "pino";

export type Log = Pick<Logger, "info" | "warn" | "error" | "debug" | "child">;

export function openLog(level: string): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));
}

export const silentLog: Log = pino({ level: "silent" });
