/**
 * What an approval was given for, whole: a key that shows the transaction to a person builds what it
 * shows from this, and from nothing that somebody asked.
 */
import type { SpendFacts } from "./facts.ts";
import type { Branch } from "./vault.ts";

export interface ApprovedSpend {
  readonly version: number;
  readonly locktime: number;
  readonly inputs: readonly ApprovedCoin[];
  readonly outputs: readonly ApprovedOutput[];
}

/** An address of a registered vault, by which its keys are found. */
export interface ApprovedPlace {
  /** Id of the vault. */
  readonly vault: string;
  readonly branch: Branch;
  readonly index: number;
}

export interface ApprovedCoin extends ApprovedPlace {
  /** Transaction id as people write it, a colon, and the output's number. */
  readonly outpoint: string;
  readonly sequence: number;
  readonly sats: bigint;
  readonly script: Uint8Array;
}

export interface ApprovedOutput {
  readonly sats: bigint;
  readonly script: Uint8Array;
  /** Null for what leaves all vaults. */
  readonly place: ApprovedPlace | null;
}

/** Copies: who still holds the facts cannot change what was approved (attacks.md 98). */
export function approvedSpend(facts: SpendFacts): ApprovedSpend {
  return Object.freeze({
    version: facts.version,
    locktime: facts.locktime,
    inputs: Object.freeze(
      facts.inputs.map(({ outpoint, sequence, sats, script, coin }, input): ApprovedCoin => {
        // The rules have seen to it that every input is a vault's, with its amount.
        if (sats === null || script === null || coin === null) {
          throw new Error(`BUG: input ${input} approved blindly`);
        }
        return Object.freeze({
          ...{ outpoint, sequence, sats, ...placeOf(coin) },
          script: Uint8Array.from(script),
        });
      }),
    ),
    outputs: Object.freeze(
      facts.outputs.map(
        ({ sats, script, coin }): ApprovedOutput =>
          Object.freeze({
            sats,
            script: Uint8Array.from(script),
            place: coin === null ? null : Object.freeze(placeOf(coin)),
          }),
      ),
    ),
  });
}

function placeOf({ vault, branch, index }: ApprovedPlace): ApprovedPlace {
  return { vault, branch, index };
}
