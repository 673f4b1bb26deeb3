/** Where a token is and how it is used: one RFC 7512 `pkcs11:` URI, read strictly. */

/** How keys are kept. `split` is a later version; no mode falls back to another. */
export type CustodyMode = "sealed" | "native";

/** What opens sealed keys for a signature; null: the module where it is built, else JavaScript. */
export type OpenedBy = "module" | "javascript";

export interface Pkcs11Uri {
  /** CKA label of the token; at least one of token and serial is given, and both must fit. */
  readonly token: string | null;
  readonly serial: string | null;
  /**
   * Mode `sealed`: CKA_LABEL of the token's AES key that seals the account keys. Mode `native`: what
   * the labels of the keys in the token begin with. The audit key is named after it, too.
   */
  readonly object: string;
  /** The PKCS#11 library: absolute, so that no search path chooses what is given the PIN. */
  readonly modulePath: string;
  /** Absolute path of the file that holds the user PIN and nothing else. */
  readonly pinSource: string;
  readonly mode: CustodyMode;
  /** A name in `firmware-configs/hsm`, or an absolute path; see profile.ts. */
  readonly profile: string;
  readonly openedBy: OpenedBy | null;
  /** Sessions open at one time in all, the one that keeps the login included. */
  readonly maxSessions: number;
  /** Absolute path of the folder of the account keys' files. */
  readonly keys: string;
}

/** The URI cannot be used; `attribute` names the part to correct. Never quotes a PIN. */
export class Pkcs11UriError extends Error {
  readonly code = "uri";
  readonly attribute: string;
  constructor(attribute: string, detail: string) {
    super(`pkcs11 URI, ${attribute}: ${detail}`);
    this.name = "Pkcs11UriError";
    this.attribute = attribute;
  }
}

/** A URI names six short things; anything longer is a mistake or an attack on the parser. */
const URI_CHARS_MAX = 4096;
/** PKCS#11 pads a token label to 32 bytes and a serial to 16: longer ones match nothing. */
const TOKEN_LABEL_BYTES_MAX = 32;
const SERIAL_BYTES_MAX = 16;
const OBJECT_LABEL_BYTES_MAX = 128;
/** One session keeps the login, one works: enough for a token in software. */
const SESSIONS_DEFAULT = 2;
/** Small network HSMs give a partition a few dozen sessions, shared by all their clients. */
const SESSIONS_MAX = 64;

const PATH_ATTRIBUTES = ["token", "serial", "object", "type"] as const;
const QUERY_ATTRIBUTES = [
  "module-path",
  "pin-source",
  "mode",
  "profile",
  "opened-by",
  "max-sessions",
  "keys",
] as const;

// RFC 7512 section 2.3: unreserved characters and the few reserved ones that each part allows.
const PATH_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*$/;
const QUERY_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*$/;

/**
 * Reads a token's URI. Unknown and repeated attributes are refused: a misspelt `max-sesions` that
 * was ignored would be found out in production.
 */
export function parsePkcs11Uri(text: string): Pkcs11Uri {
  if (text.length > URI_CHARS_MAX) throw new Pkcs11UriError("uri", "is too long");
  const scheme = "pkcs11:";
  if (!text.startsWith(scheme)) throw new Pkcs11UriError("scheme", `must be ${scheme}`);
  const body = text.slice(scheme.length);
  const mark = body.indexOf("?");
  const path = attributes(mark < 0 ? body : body.slice(0, mark), {
    separator: ";",
    known: PATH_ATTRIBUTES,
    value: PATH_VALUE,
  });
  const query = attributes(mark < 0 ? "" : body.slice(mark + 1), {
    separator: "&",
    known: QUERY_ATTRIBUTES,
    value: QUERY_VALUE,
  });

  const mode = custodyMode(query.get("mode"));
  const type = path.get("type");
  const wanted = mode === "sealed" ? "secret-key" : "private";
  if (type !== undefined && type !== wanted) {
    throw new Pkcs11UriError("type", `mode ${mode} uses keys of type ${wanted}`);
  }
  const token = label(path, { name: "token", bytesMax: TOKEN_LABEL_BYTES_MAX });
  const serial = label(path, { name: "serial", bytesMax: SERIAL_BYTES_MAX });
  if (token === null && serial === null) {
    throw new Pkcs11UriError("token", "name the token by token= or serial=, never by slot number");
  }
  const object = label(path, {
    name: "object",
    bytesMax: OBJECT_LABEL_BYTES_MAX,
  });
  if (object === null)
    throw new Pkcs11UriError("object", "name the sealing key, or the family of keys");

  return {
    token,
    serial,
    object,
    modulePath: absolute("module-path", query.get("module-path")),
    pinSource: pinFile(query.get("pin-source")),
    mode,
    profile: profileName(query.get("profile")),
    openedBy: openedBy(query.get("opened-by"), mode),
    maxSessions: sessions(query.get("max-sessions")),
    keys: absolute("keys", query.get("keys")),
  };
}

/** The URI of these parts; `parsePkcs11Uri` reads it back to the same parts. */
export function formatPkcs11Uri(parts: Pkcs11Uri): string {
  const path = [
    ...(parts.token === null ? [] : [`token=${encode(parts.token)}`]),
    ...(parts.serial === null ? [] : [`serial=${encode(parts.serial)}`]),
    `object=${encode(parts.object)}`,
  ];
  const query = [
    `module-path=${encodePath(parts.modulePath)}`,
    `pin-source=file:${encodePath(parts.pinSource)}`,
    `mode=${parts.mode}`,
    `profile=${encodePath(parts.profile)}`,
    ...(parts.openedBy === null ? [] : [`opened-by=${parts.openedBy}`]),
    `max-sessions=${parts.maxSessions}`,
    `keys=${encodePath(parts.keys)}`,
  ];
  return `pkcs11:${path.join(";")}?${query.join("&")}`;
}

interface Grammar {
  readonly separator: ";" | "&";
  readonly known: readonly string[];
  readonly value: RegExp;
}

function attributes(part: string, grammar: Grammar): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  if (part === "") return found;
  for (const pair of part.split(grammar.separator)) {
    const equals = pair.indexOf("=");
    const name = equals < 0 ? pair : pair.slice(0, equals);
    refuseByName(name, grammar.known);
    if (equals < 0) throw new Pkcs11UriError(name, "has no value");
    if (found.has(name)) throw new Pkcs11UriError(name, "is given twice");
    found.set(name, decode(name, pair.slice(equals + 1), grammar.value));
  }
  return found;
}

function refuseByName(name: string, known: readonly string[]): void {
  if (known.includes(name)) return;
  if (name === "pin-value") {
    throw new Pkcs11UriError(name, "a PIN does not belong in a URI: use pin-source=file:/path");
  }
  if (name.startsWith("slot-")) {
    throw new Pkcs11UriError(name, "slot numbers move: name the token by token= or serial=");
  }
  const elsewhere = [...PATH_ATTRIBUTES, ...QUERY_ATTRIBUTES].some((other) => other === name);
  if (elsewhere) throw new Pkcs11UriError(name, "stands on the wrong side of the question mark");
  throw new Pkcs11UriError(
    name === "" ? "uri" : name.slice(0, 40),
    "is not an attribute known here",
  );
}

function decode(name: string, raw: string, allowed: RegExp): string {
  if (!allowed.test(raw)) {
    throw new Pkcs11UriError(name, "has a character that must be percent-encoded");
  }
  let value: string;
  try {
    value = decodeURIComponent(raw);
  } catch (cause) {
    if (!(cause instanceof URIError)) throw cause;
    throw new Pkcs11UriError(name, "is not UTF-8 after percent-decoding");
  }
  // A NUL ends a C string early: the library would open another path than the one read here.
  if (/\p{Cc}/u.test(value)) throw new Pkcs11UriError(name, "has a control character");
  if (value === "") throw new Pkcs11UriError(name, "is empty");
  return value;
}

function label(
  path: ReadonlyMap<string, string>,
  { name, bytesMax }: { readonly name: string; readonly bytesMax: number },
): string | null {
  const value = path.get(name);
  if (value === undefined) return null;
  if (new TextEncoder().encode(value).length > bytesMax) {
    throw new Pkcs11UriError(name, `is longer than ${bytesMax} bytes`);
  }
  // PKCS#11 pads with blanks, so a trailing blank cannot be told from padding.
  if (value !== value.trim()) throw new Pkcs11UriError(name, "begins or ends with a blank");
  return value;
}

function absolute(name: string, value: string | undefined): string {
  if (value === undefined) throw new Pkcs11UriError(name, "is missing");
  if (!value.startsWith("/") || value.split("/").includes("..")) {
    throw new Pkcs11UriError(name, "must be an absolute path without ..");
  }
  return value;
}

function pinFile(value: string | undefined): string {
  if (value === undefined) throw new Pkcs11UriError("pin-source", "is missing");
  const match = /^file:(?:\/\/)?(\/[^/].*)$/.exec(value);
  if (match === null) throw new Pkcs11UriError("pin-source", "must be file:/absolute/path");
  return absolute("pin-source", match[1]);
}

function custodyMode(value: string | undefined): CustodyMode {
  if (value === "sealed" || value === "native") return value;
  if (value === undefined)
    throw new Pkcs11UriError("mode", "is missing: mode=sealed or mode=native");
  if (value === "split") throw new Pkcs11UriError("mode", "split is not in this version");
  throw new Pkcs11UriError("mode", "must be sealed or native");
}

/** A name has no slash and no dot first, so it cannot lead out of the folder of profiles. */
const PROFILE_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

function profileName(value: string | undefined): string {
  if (value === undefined) throw new Pkcs11UriError("profile", "is missing: what token is it?");
  if (PROFILE_NAME.test(value)) return value;
  return absolute("profile", value);
}

function openedBy(value: string | undefined, mode: CustodyMode): OpenedBy | null {
  if (value === undefined) return null;
  if (mode !== "sealed") throw new Pkcs11UriError("opened-by", "belongs to mode sealed");
  if (value === "module" || value === "javascript") return value;
  throw new Pkcs11UriError("opened-by", "must be module or javascript");
}

function sessions(value: string | undefined): number {
  if (value === undefined) return SESSIONS_DEFAULT;
  const count = /^[1-9][0-9]{0,2}$/.test(value) ? Number(value) : 0;
  if (count < 1 || count > SESSIONS_MAX) {
    throw new Pkcs11UriError("max-sessions", `must be a number from 1 to ${SESSIONS_MAX}`);
  }
  return count;
}

/** Everything but RFC 3986's unreserved characters. */
function encode(value: string): string {
  return encodeURIComponent(value).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The slash stays readable, as query attributes allow. */
function encodePath(path: string): string {
  return path.split("/").map(encode).join("/");
}
