/** What a Postgres server or the way to it can do wrong, in our words. */
import { StoreError } from "../io/store-error.ts";

/** Faults of a connection that stood: by SQLSTATE (08, 57P, 25P03) and by the socket's own names. */
const LOST = /^(08...|57P0[1235]|25P03|ECONNRESET|EPIPE|ETIMEDOUT|ENOTCONN|EHOSTUNREACH)$/;
/** The pg package has no codes for these. */
const LOST_WORDS =
  /^(Connection terminated|Client has encountered|Client was closed|Query read tim)/;
/** `lock_timeout` and `statement_timeout`. */
const BUSY = /^(55P03|57014)$/;

/** A StoreError where it is the connection's fault, the error itself where the statement is wrong. */
export function faultOf(error: unknown, place: string): unknown {
  if (error instanceof StoreError) return error;
  const { code, message } = partsOf(error);
  if (LOST.test(code) || LOST_WORDS.test(message)) {
    const text = `the connection to ${place} was lost (${message || code}): what was under way is kept whole or not at all, and the next step looks`;
    return new StoreError("lost", text, { cause: error });
  }
  if (BUSY.test(code)) {
    const text = `${place} kept us waiting too long (${message}): another process holds the write lock, or the server is overloaded`;
    return new StoreError("busy", text, { cause: error });
  }
  return error;
}

/** No connection was to be had. */
export function connectFault(error: unknown, place: string): unknown {
  if (error instanceof StoreError) return error;
  const { code, message } = partsOf(error);
  if (message === "timeout exceeded when trying to connect") {
    const text = `every connection to ${place} is taken: too much is asked of the store at once`;
    return new StoreError("busy", text, { cause: error });
  }
  const text = `${place} cannot be reached (${message || code}): ${adviceOf(code)}`;
  return new StoreError("unreachable", text, { cause: error });
}

const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/^(ECONNREFUSED|ENOENT)$/, "is the server running, and does it listen there?"],
  [/^(ENOTFOUND|EAI_AGAIN)$/, "is the name of its host right?"],
  [/^28/, "are user and password right, and does pg_hba.conf let them in?"],
  [/^3D000$/, "make the database first: createdb"],
  [/^53300$/, "it has no connection left: raise max_connections, or run fewer programs"],
  [/^57P03$/, "it starts or stops; try again"],
];

function adviceOf(code: string): string {
  const advice = ADVICE.find(([pattern]) => pattern.test(code))?.[1];
  return advice ?? "is it there, and does it answer from this machine?";
}

function partsOf(error: unknown): { readonly code: string; readonly message: string } {
  if (!(error instanceof Error)) return { code: "", message: String(error) };
  return { code: "code" in error ? String(error.code) : "", message: error.message };
}
