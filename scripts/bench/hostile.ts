/**
 * PSBTs of up to 256 KiB that are meant to keep the gate busy: each is refused for its structure,
 * and each puts its fault as late as it can, so that everything before it has been read.
 */
import { base64 } from "@scure/base";
import {
  PSBT_BYTES_MAX,
  PSBT_INPUTS_MAX,
  type Psbt,
  PsbtFault,
  psbtOf,
  readPsbt,
  readPsbtText,
  writePsbt,
} from "../../policies/bitcoin/psbt.ts";
import { field, IN, OUT, type PsbtField } from "../../policies/bitcoin/psbt-fields.ts";
import { writeUnsignedTx } from "../../policies/bitcoin/transaction.ts";
import { concat, size, sized, u8, u32, u64 } from "../../policies/bitcoin/wire.ts";
import { measured, type Row, rounded } from "./result.ts";
import { quantile } from "./timing.ts";

/** Refusals of each kind: enough for a 99th percentile. */
const REFUSALS = 100;
const WARM_UP = 10;

export interface Refusal {
  readonly kind: string;
  readonly bytes: number;
  readonly code: string;
  /** Milliseconds. */
  readonly samples: readonly number[];
}

/** Times the refusal of every kind, in turn; throws if one is let through. */
export function timeRefusals(honest: Uint8Array): readonly Refusal[] {
  const cases = Object.entries(hostile(honest)).map(([kind, { bytes, read }]) => ({
    kind,
    bytes,
    read,
    code: "",
    samples: [] as number[],
  }));
  for (let round = -WARM_UP; round < REFUSALS; round += 1) {
    for (const each of cases) {
      const start = performance.now();
      each.code = refusalOf(each.read);
      const ms = performance.now() - start;
      measured(each.code !== "", `the gate let through a hostile PSBT: ${each.kind}`);
      if (round >= 0) each.samples.push(ms);
    }
  }
  return cases;
}

export function refusalRow({ kind, bytes, code, samples }: Refusal): Row {
  return {
    table: "refusal of a hostile PSBT by the gate alone, main thread, ms",
    kind,
    bytes,
    code,
    p50: rounded(quantile(samples, 0.5)),
    p99: rounded(quantile(samples, 0.99)),
    max: rounded(Math.max(...samples)),
  };
}

function refusalOf(read: () => unknown): string {
  try {
    read();
    return "";
  } catch (error) {
    if (error instanceof PsbtFault) return error.code;
    throw error;
  }
}

interface Hostile {
  readonly bytes: number;
  readonly read: () => unknown;
}

/** Room for the transaction and the maps' ends beside the one thing that is large. */
const OVERHEAD = 400;
const ROOM = PSBT_BYTES_MAX - OVERHEAD;

function hostile(honest: Uint8Array): Readonly<Record<string, Hostile>> {
  return {
    "an honest PSBT of 250 inputs, cut one byte short": of(honest.subarray(0, -1)),
    "an honest PSBT of 250 inputs, one byte longer": of(concat([honest, u8(0)])),
    "many tiny fields, the last one twice": of(writePsbt(tinyFields())),
    "23 fields in each of 250 inputs, one byte short": of(writePsbt(crowded()).subarray(0, -1)),
    "251 inputs": of(writePsbt(skeleton(PSBT_INPUTS_MAX + 1))),
    "an announced length of 4 GiB": of(announced()),
    "a previous transaction of many inputs, not the one spent": inInput(
      field(IN.NON_WITNESS_UTXO, previous("inputs")),
    ),
    "a previous transaction of many outputs, not the one spent": inInput(
      field(IN.NON_WITNESS_UTXO, previous("outputs")),
    ),
    "a final witness of many items, one missing": inInput(
      field(IN.FINAL_SCRIPTWITNESS, concat([size(ROOM), new Uint8Array(ROOM - 6)])),
    ),
    "a derivation of many steps, a byte too long": inInput(
      field(IN.TAP_BIP32_DERIVATION, new Uint8Array(4 * Math.floor(ROOM / 4) + 2), key(32)),
    ),
    "a derivation of many leaves, cut off": inInput(
      field(
        IN.TAP_BIP32_DERIVATION,
        concat([size(Math.floor(ROOM / 32)), new Uint8Array(ROOM - 40)]),
        key(32),
      ),
    ),
    "a tree of 65,536 leaves, the last one missing": inOutput(
      field(OUT.TAP_TREE, leaves(65_535, 16)),
    ),
    "many trees 128 levels deep, the last one incomplete": of(writePsbt(deepTrees())),
    "base64 with one wrong character at its end": junkText(),
  };
}

function of(bytes: Uint8Array): Hostile {
  measured(bytes.length <= PSBT_BYTES_MAX, `a hostile PSBT of ${bytes.length} bytes is too long`);
  return { bytes: bytes.length, read: () => readPsbt(bytes) };
}

function junkText(): Hostile {
  const whole = base64.encode(new Uint8Array(PSBT_BYTES_MAX - (PSBT_BYTES_MAX % 3)));
  const bent = `${whole.slice(0, -1)}-`;
  return { bytes: bent.length, read: () => readPsbtText(bent) };
}

/** An empty v0 PSBT of this many inputs and one output. */
function skeleton(inputs: number, outputs = 1): Psbt {
  return psbtOf({
    version: 2,
    inputs: Array.from({ length: inputs }, (_, i) => ({
      txid: txidOf(i),
      vout: 0,
      sequence: 0xfffffffd,
    })),
    outputs: Array.from({ length: outputs }, () => ({ sats: 1_000n, script: new Uint8Array(22) })),
    locktime: 0,
  });
}

function inInput(one: PsbtField): Hostile {
  return of(writePsbt({ ...skeleton(1), inputs: [[one]] }));
}

function inOutput(one: PsbtField): Hostile {
  return of(writePsbt({ ...skeleton(1), outputs: [[one]] }));
}

/** Unknown fields without a value, three bytes of key each: the most that fit. */
function tinyFields(): Psbt {
  const each = 1 + 3 + 1;
  const count = Math.floor(ROOM / each);
  // Type 0x70 is assigned to nobody.
  const fields = Array.from({ length: count }, (_, i) =>
    field(0x70, new Uint8Array(0), Uint8Array.of(i >> 8, i & 0xff)),
  );
  const last = fields.at(-1) ?? field(0x70, new Uint8Array(0));
  return { ...skeleton(1), inputs: [[...fields, last]] };
}

/** As many fields as the gate reads, in as many maps. */
function crowded(): Psbt {
  const psbt = skeleton(PSBT_INPUTS_MAX);
  const fields = Array.from({ length: 23 }, (_, i) =>
    field(0x70, new Uint8Array(20), Uint8Array.of(i)),
  );
  return { ...psbt, inputs: psbt.inputs.map(() => fields) };
}

/** An output map whose first key says that it has 2^32 - 1 bytes. */
function announced(): Uint8Array {
  const start = writePsbt(skeleton(1)).slice(0, -1);
  return concat([start, Uint8Array.of(0xfe), u32(0xffffffff), new Uint8Array(ROOM)]);
}

/** A transaction as large as fits, that no input of the skeleton spends. */
function previous(many: "inputs" | "outputs"): Uint8Array {
  const counts = many === "inputs" ? [ROOM / 41, 1] : [1, ROOM / 9];
  const [inputs = 1, outputs = 1] = counts.map((count) => Math.max(1, Math.floor(count) - 4));
  return writeUnsignedTx({
    version: 2,
    inputs: Array.from({ length: inputs }, (_, i) => ({
      txid: txidOf(i + 1_000),
      vout: 0,
      sequence: 0,
    })),
    outputs: Array.from({ length: outputs }, () => ({ sats: 1n, script: new Uint8Array(0) })),
    locktime: 0,
  });
}

/** So many empty leaves, all of one depth. */
function leaves(count: number, depth: number): Uint8Array {
  return concat(Array.from({ length: count }, () => Uint8Array.of(depth, 0xc0, 0)));
}

/** The longest chain that BIP371 allows, complete: two leaves at the bottom, one a level above. */
export function deepTree(): Uint8Array {
  const depths = [128, ...Array.from({ length: 128 }, (_, i) => 128 - i)];
  return concat(depths.map((depth) => Uint8Array.of(depth, 0xc0, 0)));
}

function deepTrees(): Psbt {
  const trees = 250;
  const whole = deepTree();
  const psbt = skeleton(1, trees);
  return {
    ...psbt,
    outputs: psbt.outputs.map((_, i) => [
      field(OUT.TAP_TREE, i === trees - 1 ? whole.subarray(0, -3) : whole),
    ]),
  };
}

function key(length: number): Uint8Array {
  return new Uint8Array(length).fill(2);
}

function txidOf(number: number): Uint8Array {
  return concat([u64(BigInt(number)), sized(new Uint8Array(23))]);
}
