/** Looks through a PSBT before anybody is asked: which coins are the policy's, who gets what. */
import { equalBytes } from "@scure/btc-signer/utils.js";
import { outputText } from "./address.ts";
import type { List } from "./client.ts";
import { type Device, soundKey } from "./device.ts";
import { fixedValue, type MerkleMap, mapAt } from "./merkle-map.ts";
import { outputScript, type Place } from "./output-script.ts";
import { matchesOf, type OwnExpression } from "./own-expression.ts";
import type { Policy } from "./policy.ts";
import { little32, little64 } from "./reader.ts";
import type { Payment } from "./reviews.ts";
import { HARDENED } from "./seed.ts";
import { refuse, SIGN_DETAIL, STATUS } from "./status.ts";
import { scriptOf, utxoOf } from "./utxo.ts";

/** A transaction in the client's hands, and the device's view of it. */
export interface Spend {
  readonly policy: Policy;
  readonly isDefault: boolean;
  readonly version: number;
  readonly locktime: number;
  readonly inputs: List;
  readonly outputs: List;
  readonly own: readonly OwnExpression[];
}

/** What the map of an input tells: its keys, and where its address lies. */
export interface InputMap {
  readonly map: MerkleMap;
  readonly fields: ReadonlySet<number>;
  readonly place: Place | null;
}

export interface InputsView {
  readonly totalSats: bigint;
  readonly ownInputs: ReadonlySet<number>;
  readonly hasOddSighash: boolean;
}

export interface OutputsView {
  readonly totalSats: bigint;
  readonly external: readonly { readonly sats: bigint; readonly script: Uint8Array }[];
}

const INPUT = { utxo: 0x00, witnessUtxo: 0x01, sighash: 0x03 } as const;
export const OUTPUT = { amount: 0x03, script: 0x04 } as const;

const CHANGE_OUTPUTS_MAX = 10;
const SUPPLY_SATS = 2_100_000_000_000_000n;
const SIGHASH_SINGLE = 3;
/** DEFAULT and ALL are signed without a word, the others after a warning. */
const SIGHASHES = { plain: new Set([0, 1]), odd: new Set([2, 3, 0x81, 0x82, 0x83]) };

/** The map of an input; expressions with a derivation in it are marked to be signed. */
export async function inputMap(device: Device, spend: Spend, index: number): Promise<InputMap> {
  const fields = new Set<number>();
  let place: Place | null = null;
  const map = await mapAt(device.ask, spend.inputs, index, async (key, at, its) => {
    fields.add(key[0] ?? 0);
    for (const match of await matchesOf(device, spend.own, {
      of: "input",
      key,
      index: at,
      map: its,
    })) {
      match.expression.toSign = true;
      place = match.place;
    }
  });
  return { map, fields, place };
}

export async function viewInputs(device: Device, spend: Spend): Promise<InputsView> {
  const ownInputs = new Set<number>();
  let totalSats = 0n;
  let hasOddSighash = false;
  for (let index = 0; index < spend.inputs.size; index++) {
    const input = await inputMap(device, spend, index);
    const utxo = await utxoOf(device.ask, input);
    totalSats += utxo.sats;
    if (utxo.sats > SUPPLY_SATS) refuse(STATUS.incorrectData);
    if (input.place === null || !(await isAt(device, spend, input.place, utxo.script))) continue;
    ownInputs.add(index);
    if (!input.fields.has(INPUT.witnessUtxo)) {
      refuse(STATUS.incorrectData, SIGN_DETAIL.missingWitnessUtxo);
    }
    const sighash = allowedSighash(await sighashOf(device, input), {
      hasOutput: index < spend.outputs.size,
    });
    hasOddSighash ||= SIGHASHES.odd.has(sighash);
  }
  if (ownInputs.size === 0) refuse(STATUS.incorrectData);
  return { totalSats, ownInputs, hasOddSighash };
}

/** SINGLE, with or without ANYONECANPAY, needs an output at the input's place. */
function allowedSighash(sighash: number, { hasOutput }: { readonly hasOutput: boolean }): number {
  if (!SIGHASHES.plain.has(sighash) && !SIGHASHES.odd.has(sighash)) refuse(STATUS.notSupported);
  const isSingle = (sighash & SIGHASH_SINGLE) === SIGHASH_SINGLE;
  if (isSingle && !hasOutput) refuse(STATUS.notSupported, SIGN_DETAIL.sighashSingle);
  return sighash;
}

/** What is change is not shown: an own derivation on the change branch, and the very script. */
export async function viewOutputs(
  device: Device,
  spend: Spend,
  inputsSats: bigint,
): Promise<OutputsView> {
  const external: { sats: bigint; script: Uint8Array }[] = [];
  let totalSats = 0n;
  for (let index = 0; index < spend.outputs.size; index++) {
    const { map, place } = await outputMap(device, spend, index);
    const sats = little64(await fixedValue(device.ask, map, { key: OUTPUT.amount, length: 8 }));
    if (sats > SUPPLY_SATS) refuse(STATUS.incorrectData);
    totalSats += sats;
    const script = await scriptOf(device.ask, map);
    const isChange = place?.change === true && (await isAt(device, spend, place, script));
    if (!isChange) external.push({ sats, script });
  }
  if (inputsSats < totalSats) refuse(STATUS.incorrectData);
  if (spend.outputs.size - external.length > CHANGE_OUTPUTS_MAX) {
    refuse(STATUS.notSupported, SIGN_DETAIL.changeOutputs);
  }
  return { totalSats, external };
}

/** The external outputs as the screen names them. @throws StatusError 6A82 for other scripts. */
export function paymentsOf({ network }: Device, { external }: OutputsView): Payment[] {
  return external.map(({ sats, script }) => ({
    sats,
    to: outputText(script, network) ?? refuse(STATUS.notSupported),
  }));
}

/** The sighash type that an input asks for: DEFAULT where it does not say. */
export async function sighashOf(device: Device, { map, fields }: InputMap): Promise<number> {
  if (!fields.has(INPUT.sighash)) return 0;
  return little32(await fixedValue(device.ask, map, { key: INPUT.sighash, length: 4 }));
}

export function xpubs(device: Device, { policy }: Spend) {
  return async (index: number) => (await soundKey(device, policy, index)).xpub;
}

/** The map of an output; only the first own derivation counts. */
async function outputMap(
  device: Device,
  spend: Spend,
  index: number,
): Promise<{ readonly map: MerkleMap; readonly place: Place | null }> {
  const places: Place[] = [];
  const map = await mapAt(device.ask, spend.outputs, index, async (key, at, its) => {
    if (places.length > 0) return;
    const [match] = await matchesOf(device, spend.own, { of: "output", key, index: at, map: its });
    if (match !== undefined) places.push(match.place);
  });
  return { map, place: places[0] ?? null };
}

async function isAt(
  device: Device,
  spend: Spend,
  place: Place,
  script: Uint8Array,
): Promise<boolean> {
  const { template } = spend.policy;
  // No public key can be derived there, and the app takes that for a fault of the client.
  if (place.index >= HARDENED) refuse(STATUS.incorrectData);
  return equalBytes(await outputScript(xpubs(device, spend), { template, place }), script);
}
