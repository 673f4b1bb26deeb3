/** Finds the vault address that a script is, by recomputing it. */
import { HARDENED } from "./bitcoin/account-key.ts";
import { hex } from "./bitcoin/hash.ts";
import { fieldsOf, type PsbtMap, readTapDerivation } from "./bitcoin/psbt-fields.ts";
import { scriptTypeOf } from "./bitcoin/script-type.ts";
import { equal } from "./bitcoin/wire.ts";
import { exitBranch } from "./exit.ts";
import {
  type Branch,
  CHANGE,
  RECEIVE,
  type Vault,
  type VaultScript,
  type VaultScripts,
} from "./vault.ts";

export interface Found {
  readonly vault: Vault;
  readonly script: VaultScript;
}

export type Locate = (script: Uint8Array, map: PsbtMap, derivationType: number) => Found | null;

/**
 * Finds the vault address that a script is. The path in the PSBT is only a hint, and only the first
 * one counts: the three keys of an honest input share branch and index, and a hostile PSBT must not
 * buy one derivation for every seventy bytes that it sends.
 */
export function locator(vaults: readonly VaultScripts[]): Locate {
  let near: ReadonlyMap<string, Found> | null = null;

  function search(): ReadonlyMap<string, Found> {
    const found = new Map<string, Found>();
    for (const { vault, at } of vaults) {
      for (const branch of [RECEIVE, CHANGE] as const) {
        for (let index = 0; index < SEARCH_INDICES; index += 1) {
          const script = at(branch, index);
          found.set(hex(script.script), { vault, script });
        }
      }
    }
    return found;
  }

  return (script, map, derivationType) => {
    if (scriptTypeOf(script) !== "p2tr") return null;
    const hint = hintOf(map, derivationType);
    if (hint !== null) {
      for (const { vault, at } of vaults) {
        const candidate = at(hint.branch, hint.index);
        if (equal(candidate.script, script)) return { vault, script: candidate };
      }
    }
    near ??= search();
    return near.get(hex(script)) ?? null;
  };
}

function hintOf(map: PsbtMap, type: number): { branch: Branch; index: number } | null {
  const first = fieldsOf(map, type)[0];
  if (first === undefined) return null;
  const [said, index] = readTapDerivation(first.value).path.slice(-2);
  // Keys stand in no certain order: the first may be the exit's, on the branch beside.
  const branch = ([RECEIVE, CHANGE] as const).find(
    (own) => said === own || said === exitBranch(own),
  );
  if (branch === undefined || index === undefined || index >= HARDENED) return null;
  return { branch, index };
}

/** Indices that are searched where a PSBT gives no path: what a wallet looks ahead (BIP44 gap). */
const SEARCH_INDICES = 20;
