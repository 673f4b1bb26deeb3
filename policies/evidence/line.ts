/**
 * Lines that people and devices sign: one line of printable ASCII, words and `key=value` pairs in a
 * fixed order, so that a Ledger can show all of it and one meaning has one text.
 */
import { NETWORKS, type Network } from "../bitcoin/network.ts";

export interface Line {
  /** "mandate", "approval", … */
  readonly kind: string;
  readonly network: Network;
  readonly fields: Readonly<Record<string, string>>;
}

/** What a Ledger shows of a message before it shows only its hash (architecture section 3). */
export const LINE_BYTES_MAX = 300;

const LINE = /^Ballast ([a-z-]+) 1 ([a-z]+)((?: [a-z0-9]+=[\x21-\x3c\x3e-\x7e]+)+)$/;

/** `Ballast KIND 1 NETWORK key=value …`, the fields in their order. */
export function writeLine({ kind, network, fields }: Line): string {
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${value}`);
  return ["Ballast", kind, "1", network, ...pairs].join(" ");
}

/** Null for a text that is none; the order of its fields is the reader's to check. */
export function readLine(text: string): Line | null {
  const [, kind, word, pairs] = LINE.exec(text) ?? [];
  const network = NETWORKS.find((known) => known === word);
  if (kind === undefined || network === undefined || pairs === undefined) return null;
  const fields = pairs
    .trim()
    .split(" ")
    .map((pair) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)] as const;
    });
  return { kind, network, fields: Object.fromEntries(fields) };
}
