/** The key expressions of a policy for which the device holds the key, and which it shall sign. */

import { element } from "./client.ts";
import { PATH_STEPS_MAX } from "./commands.ts";
import { type Device, ownKey } from "./device.ts";
import type { MerkleMap } from "./merkle-map.ts";
import type { Place } from "./output-script.ts";
import type { Policy } from "./policy.ts";
import { little32 } from "./reader.ts";
import { refuse, SIGN_DETAIL, STATUS } from "./status.ts";
import { expressionsOf, type KeyExpression, type Script } from "./template.ts";

export interface OwnExpression {
  readonly key: KeyExpression;
  readonly leaf: Script | null;
  /** Path of the account key from the seed. */
  readonly path: readonly number[];
  /** Set when an input has a derivation for it: the others are not signed. */
  toSign: boolean;
}

/** More would not fit into the app's memory. */
const OWN_MAX = 8;

export async function ownExpressions(device: Device, policy: Policy): Promise<OwnExpression[]> {
  const own: OwnExpression[] = [];
  for (const { key, leaf } of expressionsOf(policy.template)) {
    for (const index of key.indexes) {
      const found = await ownKey(device, policy, index);
      // An aggregate is signed in two rounds, which this app does not have: see README.md.
      if (found?.origin && key.kind === "key") {
        own.push({ key, leaf, path: found.origin.path, toSign: false });
      }
    }
  }
  if (own.length > OWN_MAX) refuse(STATUS.notSupported, SIGN_DETAIL.ownKeys);
  if (own.length === 0) refuse(STATUS.incorrectData, SIGN_DETAIL.noOwnKey);
  return own;
}

/** Fields of a PSBT that carry a derivation, with the length of the public key in their key. */
const DERIVATIONS = {
  input: new Map([
    [0x06, 33],
    [0x16, 32],
  ]),
  output: new Map([
    [0x02, 33],
    [0x07, 32],
  ]),
} as const;

/** The field types whose value begins with the hashes of leaves (BIP371). */
const TAPROOT = new Set([0x16, 0x07]);

/** Fingerprint and path, their four bytes each, after the hashes of leaves. */
const DERIVATION_MAX = 4 * (1 + PATH_STEPS_MAX);
const LEAF_HASHES_MAX = 128;

export interface Match {
  readonly expression: OwnExpression;
  readonly place: Place;
}

/** The own expressions that a field of an input or output is a derivation of. */
export async function matchesOf(
  device: Device,
  own: readonly OwnExpression[],
  field: {
    readonly of: "input" | "output";
    readonly key: Uint8Array;
    readonly index: number;
    readonly map: MerkleMap;
  },
): Promise<Match[]> {
  const type = field.key[0] ?? 0;
  const length = DERIVATIONS[field.of].get(type);
  if (length === undefined) return [];
  if (field.key.length !== 1 + length) refuse(STATUS.incorrectData);
  const max = DERIVATION_MAX + 1 + 32 * LEAF_HASHES_MAX;
  const value = await element(device.ask, field.map.values, { index: field.index, max });
  const derivation = TAPROOT.has(type) ? value.subarray(1 + 32 * (value[0] ?? 0)) : value;
  const isWhole = derivation.length >= 4 && derivation.length % 4 === 0;
  if (!isWhole || derivation.length > DERIVATION_MAX) refuse(STATUS.incorrectData);
  const fingerprint = Buffer.from(derivation).readUInt32BE(0);
  const path = stepsOf(derivation.subarray(4));
  if (fingerprint !== device.seed.fingerprint || path.length < 2) return [];
  const [branch = 0, index = 0] = path.slice(-2);
  return own
    .filter(({ key, path: account }) => {
      const isBelow =
        path.length === account.length + 2 && account.every((step, i) => step === path[i]);
      return isBelow && key.branches.includes(branch);
    })
    .map((expression) => ({
      expression,
      place: { change: branch === expression.key.branches[1], index },
    }));
}

function stepsOf(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length / 4 }, (_, i) =>
    little32(bytes.subarray(4 * i, 4 * i + 4)),
  );
}
