/** The message of a Taproot signature (BIP341), by `@scure/btc-signer` over what was fetched. */
import { hex } from "@scure/base";
import { Transaction } from "@scure/btc-signer/transaction.js";
import type { Device } from "./device.ts";
import { fixedValue, type MerkleMap, mapAt, valueOf } from "./merkle-map.ts";
import { little32, little64 } from "./reader.ts";
import { OUTPUT, type Spend } from "./spend.ts";
import { scriptOf, type Utxo, witnessUtxo } from "./utxo.ts";

export interface Digest {
  readonly sighash: (
    index: number,
    of: {
      readonly sighash: number;
      /** The leaf that is signed; null for the key path. */
      readonly script: Uint8Array | null;
      readonly map: MerkleMap;
    },
  ) => Promise<Uint8Array>;
}

const FIELD = { txid: 0x0e, outputIndex: 0x0f, sequence: 0x10 } as const;
const LEAF_VERSION = 0xc0;
const ANYONE_CAN_PAY = 0x80;
/** Where a PSBT gives no sequence (BIP370). */
const SEQUENCE_FINAL = 0xffffffff;

/** Fetches everything that signatures commit to: inputs, outputs, then the coins spent. */
export async function readDigest(device: Device, spend: Spend): Promise<Digest> {
  const transaction = new Transaction({
    version: spend.version,
    lockTime: spend.locktime,
    allowUnknownVersion: true,
    allowUnknownInputs: true,
    allowUnknownOutputs: true,
    disableScriptCheck: true,
  });
  for (let index = 0; index < spend.inputs.size; index++) {
    transaction.addInput(await readInput(device, await mapAt(device.ask, spend.inputs, index)));
  }
  for (let index = 0; index < spend.outputs.size; index++) {
    const map = await mapAt(device.ask, spend.outputs, index);
    const amount = little64(await fixedValue(device.ask, map, { key: OUTPUT.amount, length: 8 }));
    transaction.addOutput({ amount, script: await scriptOf(device.ask, map) });
  }
  const utxos: Utxo[] = [];
  for (let index = 0; index < spend.inputs.size; index++) {
    utxos.push(await witnessUtxo(device.ask, await mapAt(device.ask, spend.inputs, index)));
  }
  const scripts = utxos.map(({ script }) => script);
  const amounts = utxos.map(({ sats }) => sats);
  return {
    sighash: async (index, { sighash, script, map }) => {
      if ((sighash & ANYONE_CAN_PAY) !== 0) {
        // The app keeps no single input: it fetches this one again.
        await readInput(device, map);
        await witnessUtxo(device.ask, map);
      }
      return script === null
        ? transaction.preimageWitnessV1(index, scripts, sighash, amounts)
        : transaction.preimageWitnessV1(
            index,
            scripts,
            sighash,
            amounts,
            undefined,
            script,
            LEAF_VERSION,
          );
    },
  };
}

async function readInput(
  { ask }: Device,
  map: MerkleMap,
): Promise<{ txid: string; index: number; sequence: number }> {
  const txid = await fixedValue(ask, map, { key: FIELD.txid, length: 32 });
  const index = await fixedValue(ask, map, { key: FIELD.outputIndex, length: 4 });
  const sequence = await valueOf(ask, map, { key: FIELD.sequence, max: 4 });
  return {
    txid: hex.encode(Uint8Array.from(txid).reverse()),
    index: little32(index),
    sequence: sequence?.length === 4 ? little32(sequence) : SEQUENCE_FINAL,
  };
}
