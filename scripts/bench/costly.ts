/**
 * PSBTs that pass the gate and then cost as much as they can: as many inputs, outputs, fields,
 * signatures and derivations as fit. Each is refused by rules, after the curve pool has done all of
 * its work; what counts is how long the main thread cannot answer meanwhile.
 */
import * as ecc from "tiny-secp256k1";
import { fromHex, sha256 } from "../../policies/bitcoin/hash.ts";
import {
  PSBT_INPUTS_MAX,
  PSBT_OUTPUTS_MAX,
  type Psbt,
  psbtOf,
  readPsbt,
  writePsbt,
} from "../../policies/bitcoin/psbt.ts";
import {
  field,
  IN,
  OUT,
  type PsbtField,
  type PsbtMap,
} from "../../policies/bitcoin/psbt-fields.ts";
import {
  type Tx,
  type TxInput,
  txidOf,
  writeUnsignedTx,
} from "../../policies/bitcoin/transaction.ts";
import { concat, size, sized, u32, u64 } from "../../policies/bitcoin/wire.ts";
import type { IntentDocument } from "../../policies/intent.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import type { VaultScript, VaultScripts } from "../../policies/vault-scripts.ts";
import type { CurvePool } from "../../signer/curve.ts";
import type { Signer } from "../../signer/signer.ts";
import { deepTree } from "./hostile.ts";
import { measured, type Row, rounded } from "./result.ts";
import { mainThreadMs, quantile, timed, watchLoop } from "./timing.ts";

const WARM_UP = 10;
const TABLE = "refusal of a well-formed hostile PSBT through the whole guard, ms";

export interface CostlyRow extends Row {
  readonly kind: string;
  /** Milliseconds that a timer of the main thread had to wait at worst. */
  readonly "longest delay": number;
}

interface Asked {
  readonly signer: Signer;
  readonly curve: CurvePool;
  readonly scripts: VaultScripts;
  readonly intent: IntentDocument;
  readonly rounds: number;
}

/** Every kind refused `rounds` times by this signer; throws if one is not refused by rules. */
export async function timeCostly(asked: Asked): Promise<readonly CostlyRow[]> {
  const rows: CostlyRow[] = [];
  for (const [kind, psbt] of Object.entries(costly(asked.scripts))) {
    const bytes = writePsbt(psbt);
    const refusal = async () => {
      const { kind: outcome } = await asked.signer.sign({ psbt: bytes, intent: asked.intent });
      measured(outcome === "refused", `a hostile PSBT was ${outcome}: ${kind}`);
    };
    rows.push(await rowOf(kind, bytes, refusal, asked.rounds));
  }
  return rows;
}

/**
 * The pool at work with nothing for the main thread to do: what its timer waits then is the machine's
 * doing, and no delay beside it says more.
 */
export async function timeControl({ curve, rounds }: Asked): Promise<CostlyRow> {
  const message = sha256(u32(2));
  const xOnly = ecc.xOnlyPointFromScalar(secret);
  const jobs = Array.from({ length: 3 * INPUTS }, () => ({ message, xOnly, signature: FORGED }));
  const work = async () => measured(await curve.verify(jobs), "a bare signature does not verify");
  return await rowOf("control: 750 verifications by the pool alone", null, work, rounds);
}

async function rowOf(
  kind: string,
  psbt: Uint8Array | null,
  work: () => Promise<void>,
  rounds: number,
): Promise<CostlyRow> {
  const whole: number[] = [];
  const gate: number[] = [];
  const delays: number[] = [];
  const own: number[] = [];
  for (let round = -WARM_UP; round < rounds; round += 1) {
    const start = performance.now();
    if (psbt !== null) readPsbt(psbt);
    const gateMs = performance.now() - start;
    // Apart from the watched one: the watch wakes the main thread every millisecond.
    const before = mainThreadMs();
    await work();
    const ownMs = mainThreadMs() - before;
    const watch = await watchLoop();
    const { ms } = await timed(work);
    const delay = await watch.end();
    if (round < 0) continue;
    whole.push(ms);
    gate.push(gateMs);
    delays.push(delay);
    own.push(ownMs);
  }
  return {
    table: TABLE,
    kind,
    bytes: psbt?.length ?? 0,
    "gate p50": rounded(quantile(gate, 0.5)),
    p50: rounded(quantile(whole, 0.5)),
    p99: rounded(quantile(whole, 0.99)),
    "delay p50": rounded(quantile(delays, 0.5)),
    "longest delay": rounded(Math.max(...delays)),
    "main thread p50": rounded(quantile(own, 0.5)),
    "main thread max": rounded(Math.max(...own)),
  };
}

function costly(scripts: VaultScripts): Readonly<Record<string, Psbt>> {
  return {
    "250 inputs and 250 outputs of nobody, 11 unknown fields each": crowd(),
    "250 coins, three signatures each that do not verify": forged(scripts),
    "250 coins, 5 signatures of strangers each": strangers(scripts),
    "250 coins, 14 derivations each that lead elsewhere": derivations(scripts),
    "250 coins and 250 outputs at 500 far addresses, none of them true": far(scripts),
    "250 outputs, each a tree 128 levels deep that claims the vault's key": trees(scripts),
    "250 previous transactions of 28 outputs": previous(scripts),
  };
}

const INPUTS = PSBT_INPUTS_MAX;
const OUTPUTS = PSBT_OUTPUTS_MAX;
const COIN_SATS = 100_000n;
/** The fields that the gate reads at most, less the transaction's, by the number of maps. */
const FIELDS_EACH = 11;

function txOf(outputScript: (i: number) => Uint8Array, outputs: number = OUTPUTS): Tx {
  return {
    version: 2,
    inputs: Array.from(
      { length: INPUTS },
      (_, i): TxInput => ({ txid: sha256(u32(i)), vout: 0, sequence: 0xfffffffd }),
    ),
    outputs: Array.from({ length: outputs }, (_, i) => ({
      sats: 10_000n,
      script: outputScript(i),
    })),
    locktime: 0,
  };
}

const stranger = (i: number): Uint8Array =>
  concat([Uint8Array.of(0x00, 0x14), sha256(u32(i)).subarray(0, 20)]);

function crowd(): Psbt {
  const psbt = psbtOf(txOf(stranger));
  const fields = Array.from({ length: FIELDS_EACH }, (_, i) =>
    field(0x70, new Uint8Array(37), Uint8Array.of(i)),
  );
  return {
    ...psbt,
    inputs: psbt.inputs.map(() => fields),
    outputs: psbt.outputs.map(() => fields),
  };
}

/** The vault's own coins with these fields, paid to one stranger. */
function coins(scripts: VaultScripts, fieldsOf: (script: VaultScript, i: number) => PsbtMap): Psbt {
  const psbt = psbtOf(txOf(stranger, 1));
  return {
    ...psbt,
    inputs: psbt.inputs.map((_, i) => {
      const script = scripts.at(RECEIVE, i);
      return [
        utxo(script.script),
        hint(IN.TAP_BIP32_DERIVATION, script, i),
        ...fieldsOf(script, i),
      ];
    }),
  };
}

function utxo(script: Uint8Array): PsbtField {
  return field(IN.WITNESS_UTXO, concat([u64(COIN_SATS), sized(script)]));
}

/** A derivation with the shortest path that leads to this index. */
function hint(type: number, script: VaultScript, index: number): PsbtField {
  const path = [script.branch, index].map(u32);
  return field(type, concat([size(0), fromHex("7c461e5d"), ...path]), script.internalKey);
}

const secret = sha256(u32(1));
/** A signature over something else: it has the form, so that only the curve can tell. */
const FORGED = ecc.signSchnorr(sha256(u32(2)), secret, sha256(u32(3)));

function forged(scripts: VaultScripts): Psbt {
  return coins(scripts, ({ keys, leafHash }) =>
    keys.map(({ xOnly }) => field(IN.TAP_SCRIPT_SIG, FORGED, concat([xOnly, leafHash]))),
  );
}

function strangers(scripts: VaultScripts): Psbt {
  return coins(scripts, ({ leafHash }, i) =>
    Array.from({ length: 5 }, (_, n) =>
      field(IN.TAP_SCRIPT_SIG, FORGED, concat([sha256(u32(i * 100 + n)), leafHash])),
    ),
  );
}

function derivations(scripts: VaultScripts): Psbt {
  return coins(scripts, (_, i) =>
    Array.from({ length: 14 }, (__, n) =>
      field(
        IN.TAP_BIP32_DERIVATION,
        concat([size(0), u32(i), u32(0), u32(n)]),
        sha256(u32(i * 100 + n)),
      ),
    ),
  );
}

/** Taproot scripts of nobody whose hints make the vault derive an address for each. */
function far(scripts: VaultScripts): Psbt {
  const taproot = (i: number) => concat([Uint8Array.of(0x51, 0x20), sha256(u32(i))]);
  const psbt = psbtOf(txOf(taproot));
  const script = scripts.at(CHANGE, 0);
  return {
    ...psbt,
    inputs: psbt.inputs.map((_, i) => [
      utxo(taproot(1_000 + i)),
      hint(IN.TAP_BIP32_DERIVATION, { ...script, branch: RECEIVE }, FAR + i),
    ]),
    outputs: psbt.outputs.map((_, i) => [hint(OUT.TAP_BIP32_DERIVATION, script, FAR + i)]),
  };
}

/** Indices that no honest spend has made the vault remember. */
const FAR = 1_000_000;

function trees(scripts: VaultScripts): Psbt {
  const { internalKey } = scripts.at(CHANGE, 0);
  const psbt = psbtOf(txOf((i) => concat([Uint8Array.of(0x51, 0x20), sha256(u32(i))])));
  const [holder] = scripts.vault.holders;
  const fingerprint = fromHex(holder?.key.origin?.fingerprint ?? "00000000");
  return {
    ...psbt,
    inputs: psbt.inputs.map((_, i) => [utxo(scripts.at(RECEIVE, i).script)]),
    outputs: psbt.outputs.map(() => [
      field(OUT.TAP_INTERNAL_KEY, internalKey),
      field(OUT.TAP_TREE, deepTree()),
      field(OUT.TAP_BIP32_DERIVATION, concat([size(0), fingerprint]), internalKey),
    ]),
  };
}

/** Each input brings the whole transaction that paid it, which the gate hashes. */
function previous(scripts: VaultScripts): Psbt {
  const paid = Array.from({ length: INPUTS }, (_, i): Tx => {
    const others = Array.from({ length: 27 }, (__, n) => ({ sats: 1_000n, script: stranger(n) }));
    return {
      version: 2,
      inputs: [{ txid: sha256(u32(i)), vout: 0, sequence: 0 }],
      outputs: [{ sats: COIN_SATS, script: scripts.at(RECEIVE, i).script }, ...others],
      locktime: 0,
    };
  });
  const tx = txOf(stranger, 1);
  const inputs = paid.map(
    (each): TxInput => ({ txid: txidOf(each), vout: 0, sequence: 0xfffffffd }),
  );
  const psbt = psbtOf({ ...tx, inputs });
  return {
    ...psbt,
    inputs: paid.map((each, i) => [
      field(IN.NON_WITNESS_UTXO, writeUnsignedTx(each)),
      utxo(scripts.at(RECEIVE, i).script),
    ]),
  };
}
