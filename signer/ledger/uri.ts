/** Where a Ledger is and how it is reached: one `ledger:` URI, read strictly. */
import { KeyError } from "../key-error.ts";

export type LedgerUri = LedgerPlace & {
  /** Eight hex digits: no other device is taken for this one. */
  readonly fingerprint: string | null;
  /** After a dry run: a newer app than the last one tried is taken. */
  readonly allowNewer: boolean;
};

export type LedgerPlace =
  /** A device on USB; without a path the only one that is plugged in. */
  | { readonly kind: "hid"; readonly path: string | null }
  /** Ledger's own emulator, with Ledger's real app in it. */
  | { readonly kind: "speculos"; readonly host: string; readonly port: number }
  /** An emulated app that speaks the same HTTP, on this machine alone. */
  | { readonly kind: "emulator"; readonly host: "127.0.0.1"; readonly port: number };

const COMMON = ["fingerprint", "allow-newer"];
const PARAMETERS: Readonly<Record<LedgerPlace["kind"], readonly string[]>> = {
  hid: ["path", ...COMMON],
  speculos: ["port", "host", ...COMMON],
  emulator: ["port", ...COMMON],
};
const SPECULOS_PORT = 5000;

/** `ledger:hid`, `ledger:speculos?port=5000`, `ledger:emulator?port=…`; throws a KeyError. */
export function parseLedgerUri(text: string): LedgerUri {
  const [, kind = "", query = ""] = /^ledger:([a-z]+)(?:\?(.*))?$/s.exec(text) ?? [];
  if (kind !== "hid" && kind !== "speculos" && kind !== "emulator") {
    throw bad("expected ledger:hid, ledger:speculos or ledger:emulator");
  }
  const values = readQuery(query, PARAMETERS[kind]);
  const rest = {
    fingerprint: fingerprintIn(values.get("fingerprint")),
    allowNewer: allowsNewer(values.get("allow-newer")),
  };
  switch (kind) {
    case "hid":
      return { kind, path: pathIn(values.get("path")), ...rest };
    case "speculos": {
      const port = values.has("port") ? portIn(values.get("port")) : SPECULOS_PORT;
      return { kind, host: hostIn(values.get("host")), port, ...rest };
    }
    case "emulator":
      return { kind, host: "127.0.0.1", port: portIn(values.get("port")), ...rest };
  }
}

function readQuery(query: string, known: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const part of query === "" ? [] : query.split("&")) {
    const at = part.indexOf("=");
    const name = at < 0 ? part : part.slice(0, at);
    // A misspelt fingerprint that was ignored would be found out with the wrong device plugged in.
    if (!known.includes(name)) throw bad(`unknown parameter "${name}": ${known.join(", ")}`);
    if (values.has(name)) throw bad(`${name} stands twice`);
    values.set(name, decoded(part.slice(at + 1), name));
  }
  return values;
}

function decoded(value: string, name: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw bad(`${name} is not percent-encoded text`);
  }
}

function fingerprintIn(value: string | undefined): string | null {
  if (value === undefined) return null;
  if (!/^[0-9a-f]{8}$/.test(value)) throw bad("fingerprint is eight lower-case hex digits");
  return value;
}

function allowsNewer(value: string | undefined): boolean {
  if (value !== undefined && value !== "yes") throw bad("allow-newer is yes or left out");
  return value === "yes";
}

function pathIn(value: string | undefined): string | null {
  if (value === undefined) return null;
  if (!/^[\x21-\x7e]{1,255}$/.test(value)) throw bad("path is no name of a device");
  return value;
}

function portIn(value: string | undefined): number {
  const port = /^[1-9][0-9]{0,4}$/.test(value ?? "") ? Number(value) : 0;
  if (port < 1 || port > 65_535) throw bad("port is a number from 1 to 65535");
  return port;
}

function hostIn(value: string | undefined): string {
  if (value === undefined) return "127.0.0.1";
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})$/.test(value)) throw bad("host is no host name");
  return value;
}

function bad(detail: string): KeyError {
  return new KeyError("unsupported", `ledger URI: ${detail}`);
}
