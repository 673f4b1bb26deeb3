/** Reads a BIP388 descriptor template, as far as this app goes; README.md lists the fragments. */
import { hex } from "@scure/base";
import { typeOf } from "./script-type.ts";
import { refuse, STATUS } from "./status.ts";

/** `@n/**`, `@n/<a;b>/*` or a MuSig2 aggregate; the two branches are for receiving and for change. */
export interface KeyExpression {
  readonly kind: "key" | "musig";
  /** Places in the policy's list of keys; one for a plain key. */
  readonly indexes: readonly number[];
  readonly branches: readonly [number, number];
}

export type HashName = "sha256" | "hash256" | "ripemd160" | "hash160";
export type MultiName = "multi" | "sortedmulti" | "multi_a" | "sortedmulti_a";

export interface Multi {
  readonly kind: "multi";
  readonly name: MultiName;
  readonly threshold: number;
  readonly keys: readonly KeyExpression[];
}

/** A miniscript; `pk` stands for `c:pk_k`, `pkh` for `c:pk_h`. */
export type Script =
  | Multi
  | { readonly kind: "pk" | "pkh"; readonly key: KeyExpression }
  | { readonly kind: "older" | "after"; readonly value: number }
  | { readonly kind: "hash"; readonly name: HashName; readonly digest: Uint8Array }
  | { readonly kind: "verify"; readonly of: Script }
  | { readonly kind: "and_v" | "or_d" | "or_i" | "andor"; readonly of: readonly Script[] };

export type Tree =
  | { readonly kind: "leaf"; readonly script: Script }
  | { readonly kind: "branch"; readonly left: Tree; readonly right: Tree };

export type Template =
  | { readonly kind: "tr"; readonly internal: KeyExpression; readonly tree: Tree | null }
  | { readonly kind: "wsh"; readonly multi: Multi }
  | { readonly kind: "pkh" | "wpkh" | "sh-wpkh"; readonly key: KeyExpression };

/** Limits of the app (2.4.6). */
const MULTI_KEYS_MAX = 16;
const MUSIG_KEYS_MAX = 5;
const TREE_DEPTH_MAX = 9;
const NUMBER_MAX = 2 ** 31 - 1;

const HASH_BYTES = { sha256: 32, hash256: 32, ripemd160: 20, hash160: 20 } as const;
const OPERANDS = { and_v: 2, or_d: 2, or_i: 2, andor: 3 } as const;

interface Cursor {
  readonly text: string;
  at: number;
}

/** @throws StatusError 6A80 for a text that is no template of this app's. */
export function readTemplate(text: string): Template {
  const cursor = { text, at: 0 };
  const template = readOutput(cursor);
  if (cursor.at !== text.length) fail();
  return template;
}

/** Every key expression in its order in the text, with the leaf in which it stands. */
export function expressionsOf(
  template: Template,
): { readonly key: KeyExpression; readonly leaf: Script | null }[] {
  switch (template.kind) {
    case "tr":
      return [
        { key: template.internal, leaf: null },
        ...leavesOf(template.tree).flatMap((leaf) => keysOf(leaf).map((key) => ({ key, leaf }))),
      ];
    case "wsh":
      return template.multi.keys.map((key) => ({ key, leaf: null }));
    default:
      return [{ key: template.key, leaf: null }];
  }
}

export function leavesOf(tree: Tree | null): Script[] {
  if (tree === null) return [];
  return tree.kind === "leaf" ? [tree.script] : [...leavesOf(tree.left), ...leavesOf(tree.right)];
}

/** Every part of a script, itself first. */
export function partsOf(script: Script): Script[] {
  if (script.kind === "verify") return [script, ...partsOf(script.of)];
  return "of" in script ? [script, ...script.of.flatMap(partsOf)] : [script];
}

function keysOf(script: Script): KeyExpression[] {
  return partsOf(script).flatMap((part) =>
    part.kind === "multi" ? part.keys : "key" in part ? [part.key] : [],
  );
}

function readOutput(cursor: Cursor): Template {
  const name = readName(cursor);
  switch (name) {
    case "tr": {
      const internal = readKey(cursor);
      const tree = take(cursor, ",") ? readTree(cursor, 0) : null;
      expect(cursor, ")");
      return { kind: "tr", internal, tree };
    }
    case "wsh": {
      const multi = readMulti(cursor, readName(cursor), ["multi", "sortedmulti"]);
      expect(cursor, ")");
      return { kind: "wsh", multi };
    }
    case "sh": {
      if (readName(cursor) !== "wpkh") fail();
      const key = readKey(cursor);
      expect(cursor, "))");
      return { kind: "sh-wpkh", key };
    }
    case "pkh":
    case "wpkh": {
      const key = readKey(cursor);
      expect(cursor, ")");
      return { kind: name, key };
    }
    default:
      return fail();
  }
}

function readTree(cursor: Cursor, depth: number): Tree {
  if (!take(cursor, "{")) {
    const script = readScript(cursor);
    return typeOf(script) === "B" ? { kind: "leaf", script } : fail();
  }
  if (depth >= TREE_DEPTH_MAX) fail();
  const left = readTree(cursor, depth + 1);
  expect(cursor, ",");
  const right = readTree(cursor, depth + 1);
  expect(cursor, "}");
  return { kind: "branch", left, right };
}

function readScript(cursor: Cursor): Script {
  if (take(cursor, "v:")) return { kind: "verify", of: readScript(cursor) };
  const name = readName(cursor);
  switch (name) {
    case "multi_a":
    case "sortedmulti_a":
      return readMulti(cursor, name, ["multi_a", "sortedmulti_a"]);
    case "pk":
    case "pkh":
      return closed(cursor, { kind: name, key: readKey(cursor) });
    case "older":
    case "after":
      return closed(cursor, { kind: name, value: readNumber(cursor, 1) });
    case "sha256":
    case "hash256":
    case "ripemd160":
    case "hash160":
      return closed(cursor, { kind: "hash", name, digest: readDigest(cursor, HASH_BYTES[name]) });
    case "and_v":
    case "or_d":
    case "or_i":
    case "andor": {
      const of = Array.from({ length: OPERANDS[name] }, (_, i) => {
        if (i > 0) expect(cursor, ",");
        return readScript(cursor);
      });
      return closed(cursor, { kind: name, of });
    }
    default:
      return fail();
  }
}

function readMulti(cursor: Cursor, name: string, allowed: readonly MultiName[]): Multi {
  const known = allowed.find((one) => one === name);
  const threshold = readNumber(cursor, 1);
  const keys: KeyExpression[] = [];
  while (take(cursor, ",")) keys.push(readKey(cursor));
  if (known === undefined || threshold > keys.length || keys.length > MULTI_KEYS_MAX) return fail();
  return closed(cursor, { kind: "multi", name: known, threshold, keys });
}

function readKey(cursor: Cursor): KeyExpression {
  if (!take(cursor, "musig(")) {
    return { kind: "key", indexes: [readIndex(cursor)], branches: readBranches(cursor) };
  }
  const indexes = [readIndex(cursor)];
  while (take(cursor, ",")) indexes.push(readIndex(cursor));
  expect(cursor, ")");
  if (indexes.length < 2 || indexes.length > MUSIG_KEYS_MAX) fail();
  return { kind: "musig", indexes, branches: readBranches(cursor) };
}

function readIndex(cursor: Cursor): number {
  expect(cursor, "@");
  return readNumber(cursor, 0);
}

function readBranches(cursor: Cursor): readonly [number, number] {
  if (take(cursor, "/**")) return [0, 1];
  expect(cursor, "/<");
  const receive = readNumber(cursor, 0);
  expect(cursor, ";");
  const change = readNumber(cursor, 0);
  expect(cursor, ">/*");
  return receive === change ? fail() : [receive, change];
}

function readNumber(cursor: Cursor, least: number): number {
  const text = match(cursor, /(?:0|[1-9][0-9]{0,9})(?![0-9])/y);
  const value = Number(text);
  return value >= least && value <= NUMBER_MAX ? value : fail();
}

function readDigest(cursor: Cursor, length: number): Uint8Array {
  const digest = hex.decode(match(cursor, /(?:[0-9a-f]{2})+/y));
  return digest.length === length ? digest : fail();
}

function readName(cursor: Cursor): string {
  const name = match(cursor, /[a-z0-9_]+(?=\()/y);
  expect(cursor, "(");
  return name;
}

function match(cursor: Cursor, pattern: RegExp): string {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0] ?? fail();
  cursor.at += found.length;
  return found;
}

function take(cursor: Cursor, token: string): boolean {
  if (!cursor.text.startsWith(token, cursor.at)) return false;
  cursor.at += token.length;
  return true;
}

function expect(cursor: Cursor, token: string): void {
  if (!take(cursor, token)) fail();
}

function closed<S>(cursor: Cursor, script: S): S {
  expect(cursor, ")");
  return script;
}

function fail(): never {
  return refuse(STATUS.incorrectData);
}
