/** The coin that an input spends, by its witness UTXO or by the whole transaction before it. */
import { RawTx } from "@scure/btc-signer/script.js";
import { equalBytes, sha256x2 } from "@scure/btc-signer/utils.js";
import type { Ask } from "./client.ts";
import { fixedValue, type MerkleMap, valueOf } from "./merkle-map.ts";
import { little32, little64, reader } from "./reader.ts";
import { refuse, SIGN_DETAIL, STATUS } from "./status.ts";

export interface Utxo {
  readonly sats: bigint;
  readonly script: Uint8Array;
}

const FIELD = { utxo: 0x00, witnessUtxo: 0x01, txid: 0x0e, outputIndex: 0x0f } as const;
const OUTPUT_SCRIPT = 0x04;

/** A transaction before may be this long; the app itself streams it. */
const TRANSACTION_MAX = 1_000_000;
/** Scripts of outputs: the longest is an OP_RETURN. */
const SCRIPT_MAX = 83;

export async function utxoOf(
  ask: Ask,
  { map, fields }: { readonly map: MerkleMap; readonly fields: ReadonlySet<number> },
): Promise<Utxo> {
  const whole = fields.has(FIELD.utxo) ? await fromTransaction(ask, map) : null;
  const witness = fields.has(FIELD.witnessUtxo) ? await witnessUtxo(ask, map) : null;
  if (whole !== null && witness !== null) {
    const isSame = whole.sats === witness.sats && equalBytes(whole.script, witness.script);
    if (!isSame) refuse(STATUS.incorrectData, SIGN_DETAIL.utxoMismatch);
  }
  return whole ?? witness ?? refuse(STATUS.incorrectData, SIGN_DETAIL.noUtxo);
}

export async function witnessUtxo(ask: Ask, map: MerkleMap): Promise<Utxo> {
  const value = await valueOf(ask, map, { key: FIELD.witnessUtxo, max: 8 + 1 + SCRIPT_MAX });
  const from = reader(value ?? refuse(STATUS.incorrectData), STATUS.incorrectData);
  const sats = little64(from.bytes(8));
  const script = from.bytes(from.varint());
  return from.left === 0 ? { sats, script } : refuse(STATUS.incorrectData);
}

export async function scriptOf(ask: Ask, map: MerkleMap): Promise<Uint8Array> {
  const script = await valueOf(ask, map, { key: OUTPUT_SCRIPT, max: SCRIPT_MAX });
  return script ?? refuse(STATUS.incorrectData);
}

async function fromTransaction(ask: Ask, map: MerkleMap): Promise<Utxo> {
  const txid = await fixedValue(ask, map, { key: FIELD.txid, length: 32 });
  const bytes = await valueOf(ask, map, { key: FIELD.utxo, max: TRANSACTION_MAX });
  const index = little32(await fixedValue(ask, map, { key: FIELD.outputIndex, length: 4 }));
  try {
    const transaction = RawTx.decode(bytes ?? new Uint8Array());
    const stripped = RawTx.encode({ ...transaction, segwitFlag: false, witnesses: [] });
    const output = transaction.outputs[index];
    if (equalBytes(sha256x2(stripped), txid) && output !== undefined) {
      return { sats: output.amount, script: output.script };
    }
  } catch {
    // Not a transaction: refused like one with another id.
  }
  return refuse(STATUS.incorrectData, SIGN_DETAIL.previousTransaction);
}
