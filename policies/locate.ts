/** Finds the vault address that a script is, by recomputing it. */
import { HARDENED } from "./bitcoin/account-key.ts";
import { hex } from "./bitcoin/hash.ts";
import { fieldsOf, type PsbtMap, readTapDerivation } from "./bitcoin/psbt-fields.ts";
import { scriptTypeOf } from "./bitcoin/script-type.ts";
import { equal } from "./bitcoin/wire.ts";
import { exitBranch } from "./exit.ts";
import { type Branch, CHANGE, RECEIVE, type Vault } from "./vault.ts";
import type { VaultScript, VaultScripts } from "./vault-scripts.ts";

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
  let derivations = 0;

  /** Of many vaults only those that the PSBT names by two of their three masters are tried. */
  function named(map: PsbtMap, type: number): readonly VaultScripts[] {
    if (vaults.length <= FEW_VAULTS) return vaults;
    const said = new Set(
      fieldsOf(map, type).map(({ value }) => readTapDerivation(value).fingerprint),
    );
    return vaults.filter(
      ({ vault }) =>
        vault.holders.filter(({ key }) => said.has(key.origin?.fingerprint ?? "")).length >= 2,
    );
  }

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

  /** The vault address at the path that the PSBT gives, if it is the script. */
  function hinted(script: Uint8Array, map: PsbtMap, type: number): Found | null {
    const hint = hintOf(map, type);
    if (hint === null) return null;
    for (const { vault, at } of named(map, type)) {
      // A coin that is not found is foreign, and a foreign coin is refused.
      derivations += 1;
      if (derivations > DERIVATIONS_MAX) return null;
      const candidate = at(hint.branch, hint.index);
      if (equal(candidate.script, script)) return { vault, script: candidate };
    }
    return null;
  }

  return (script, map, derivationType) => {
    if (scriptTypeOf(script) !== "p2tr") return null;
    const found = hinted(script, map, derivationType);
    if (found !== null) return found;
    near ??= search();
    return near.get(hex(script)) ?? null;
  };
}

/** So few are tried one after the other, whatever the PSBT says of their masters. */
const FEW_VAULTS = 3;

/** Twice what the largest honest PSBT asks for; each may cost 0.7 ms of a worker (attacks.md 93). */
const DERIVATIONS_MAX = 1_500;

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
