/** Whether a policy may be registered: what the app refuses although it could be read. */
import { equalBytes } from "@scure/btc-signer/utils.js";
import type { Ask } from "./client.ts";
import { type KeyInformation, keyAt } from "./key-information.ts";
import type { Versions } from "./network.ts";
import type { Policy } from "./policy.ts";
import { needsSignature } from "./script-type.ts";
import { StatusError } from "./status.ts";
import {
  expressionsOf,
  type KeyExpression,
  leavesOf,
  partsOf,
  type Script,
  type Template,
} from "./template.ts";

/** 1 to 64 printable ASCII characters without a space at either end. */
export function isNameAcceptable(name: string): boolean {
  return /^[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?$/.test(name);
}

/** The number of different keys that the template names. */
export function keysNamed(template: Template): number {
  return new Set(expressionsOf(template).flatMap(({ key }) => key.indexes)).size;
}

/** In the app's order: leaves, then the keys pair by pair, then key expressions, then timelocks. */
export async function isSane(ask: Ask, policy: Policy, versions: Versions): Promise<boolean> {
  const leaves = policy.template.kind === "tr" ? leavesOf(policy.template.tree) : [];
  if (!leaves.every(needsSignature)) return false;
  if (!(await areKeysDistinct(ask, policy, versions))) return false;
  const expressions = expressionsOf(policy.template).map(({ key }) => key);
  return (
    expressions.every(({ indexes }) => new Set(indexes).size === indexes.length) &&
    expressions.every((one, i) => expressions.slice(i + 1).every((two) => !meet(one, two))) &&
    leaves.flatMap(partsOf).every(isTimelockMeant)
  );
}

/** Compares compressed public keys, each pair fetched anew: the app has no room for all of them. */
async function areKeysDistinct(ask: Ask, policy: Policy, versions: Versions): Promise<boolean> {
  // A key that cannot be fetched makes the policy as unfit as one that cannot be read.
  const key = (index: number): Promise<KeyInformation | null> =>
    keyAt(ask, { keys: policy.keys, index, versions }).catch(nullIfRefused);
  for (let i = 0; i + 1 < policy.keys.size; i++) {
    const one = (await key(i))?.xpub.publicKey;
    if (!one) return false;
    for (let j = i + 1; j < policy.keys.size; j++) {
      const two = (await key(j))?.xpub.publicKey;
      if (!two || equalBytes(one, two)) return false;
    }
  }
  return true;
}

function nullIfRefused(error: unknown): null {
  if (error instanceof StatusError) return null;
  throw error;
}

/** The same key on a branch that both name (BIP388 forbids it). */
function meet(one: KeyExpression, two: KeyExpression): boolean {
  const names = ({ kind, indexes }: KeyExpression): string => `${kind} ${[...indexes].sort()}`;
  return names(one) === names(two) && one.branches.some((branch) => two.branches.includes(branch));
}

/** BIP68 gives a meaning to 16 bits and to the bit that chooses between blocks and time. */
function isTimelockMeant(script: Script): boolean {
  if (script.kind !== "older") return true;
  const value = script.value >= 2 ** 22 ? script.value - 2 ** 22 : script.value;
  return value >= 1 && value <= 65535;
}
