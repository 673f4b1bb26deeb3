/** The words of a PSBT's maps: honest fields, each left out or turned into a lie. */
import { fromHex } from "../../policies/bitcoin/hash.ts";
import {
  field,
  IN,
  OUT,
  type PsbtField,
  readTapDerivation,
} from "../../policies/bitcoin/psbt-fields.ts";
import { multiLeaf, tapTree } from "../../policies/bitcoin/taproot.ts";
import { concat, equal, u8 } from "../../policies/bitcoin/wire.ts";
import { derivation } from "../support/spend.ts";
import type { Input, InputWord, Output, OutputWord } from "./plan.ts";

type Fields = readonly PsbtField[];
type Speak = (fields: Fields) => Fields;

/** The generator and its double: keys of nobody here. */
const ONE = fromHex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
const TWO = fromHex("c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5");

const without =
  (type: number): Speak =>
  (fields) =>
    fields.filter((one) => one.type !== type);
const adding =
  (...more: readonly PsbtField[]): Speak =>
  (fields) => [...fields, ...more];

/** Changes the first field of a type. */
const changing =
  (type: number, change: (one: PsbtField) => PsbtField): Speak =>
  (fields) => {
    const at = fields.findIndex((one) => one.type === type);
    return fields.map((one, i) => (i === at ? change(one) : one));
  };

type Said = ReturnType<typeof readTapDerivation>;
const deriving = (type: number, change: (said: Said) => Partial<Said>): Speak =>
  changing(type, (one) => {
    const said = readTapDerivation(one.value);
    return derivation(type, one.keyData, { ...said, ...change(said) });
  });

const strangers = (type: number): PsbtField =>
  derivation(type, ONE, { leafHashes: [], fingerprint: "deadbeef", path: [0, 0] });
const UNKNOWN: PsbtField = { type: 0xf0, keyData: Uint8Array.of(1), value: Uint8Array.of(2) };
const PROPRIETARY: PsbtField = {
  type: 0xfc,
  keyData: Uint8Array.of(2, 0x61, 0x62, 0),
  value: Uint8Array.of(1),
};

const silentLeaves =
  (type: number): Speak =>
  (fields) =>
    fields.map((one) =>
      one.type === type
        ? derivation(type, one.keyData, { ...readTapDerivation(one.value), leafHashes: [] })
        : one,
    );
const longer = ({ path }: Said) => ({ path: [...path, 0] });
const elsewhere = ({ path }: Said) => ({ path: path.with(-1, (path.at(-1) ?? 0) ^ 1) });
const inLeaf = (change: (leaf: Uint8Array) => Uint8Array): Speak =>
  changing(IN.TAP_LEAF_SCRIPT, (one) => ({
    ...one,
    value: concat([change(one.value.subarray(0, -1)), one.value.subarray(-1)]),
  }));
const inControl = (change: (block: Uint8Array) => Uint8Array): Speak =>
  changing(IN.TAP_LEAF_SCRIPT, (one) => ({ ...one, keyData: change(one.keyData) }));

/** OP_2 becomes OP_1 before the last byte. */
const weaker = (leaf: Uint8Array) => leaf.map((byte, i) => (i === leaf.length - 2 ? 0x51 : byte));
const otherParity = (block: Uint8Array) => block.map((byte, i) => (i === 0 ? byte ^ 1 : byte));

const INPUT_SPEECH: Readonly<Record<InputWord, Speak>> = {
  "no-derivations": without(IN.TAP_BIP32_DERIVATION),
  "no-internal-key": without(IN.TAP_INTERNAL_KEY),
  "no-merkle-root": without(IN.TAP_MERKLE_ROOT),
  "no-leaf": without(IN.TAP_LEAF_SCRIPT),
  "no-leaf-hashes": silentLeaves(IN.TAP_BIP32_DERIVATION),
  "unknown-field": adding(UNKNOWN),
  "proprietary-field": adding(PROPRIETARY),
  "internal-key": adding(field(IN.TAP_INTERNAL_KEY, ONE)),
  "merkle-root": adding(field(IN.TAP_MERKLE_ROOT, ONE)),
  "leaf-threshold": inLeaf(weaker),
  "leaf-nop": inLeaf((leaf) => concat([leaf, u8(0x61)])),
  "leaf-version": changing(IN.TAP_LEAF_SCRIPT, (one) => ({
    ...one,
    value: concat([one.value.subarray(0, -1), u8(0xc2)]),
  })),
  "control-parity": inControl(otherParity),
  "control-path": inControl((block) => concat([block, ONE])),
  "second-leaf": (fields) => [
    ...fields,
    ...fields
      .filter(({ type }) => type === IN.TAP_LEAF_SCRIPT)
      .map((one) => ({ ...one, keyData: otherParity(one.keyData) })),
  ],
  fingerprint: deriving(IN.TAP_BIP32_DERIVATION, () => ({ fingerprint: "deadbeef" })),
  "path-index": deriving(IN.TAP_BIP32_DERIVATION, elsewhere),
  "path-longer": deriving(IN.TAP_BIP32_DERIVATION, longer),
  "stranger-key": adding(strangers(IN.TAP_BIP32_DERIVATION)),
  "strange-leaf-hash": deriving(IN.TAP_BIP32_DERIVATION, () => ({ leafHashes: [ONE] })),
  "final-witness": adding(field(IN.FINAL_SCRIPTWITNESS, Uint8Array.of(1, 1, 1))),
  "key-path-signature": adding(field(IN.TAP_KEY_SIG, new Uint8Array(64).fill(1))),
  "redeem-script": adding(field(IN.REDEEM_SCRIPT, Uint8Array.of(0x51))),
  "musig-nonce": adding({
    type: IN.MUSIG2_PUB_NONCE,
    keyData: concat([u8(2), ONE, u8(2), TWO]),
    value: new Uint8Array(66).fill(2),
  }),
  preimage: adding({ type: IN.SHA256, keyData: ONE, value: Uint8Array.of(1) }),
};

const OUTPUT_SPEECH: Readonly<Record<OutputWord, Speak>> = {
  "no-derivations": without(OUT.TAP_BIP32_DERIVATION),
  "no-words": () => [],
  "unknown-field": adding(UNKNOWN),
  "internal-key": adding(field(OUT.TAP_INTERNAL_KEY, ONE)),
  "other-tree": adding(field(OUT.TAP_TREE, tapTree(multiLeaf(2, [ONE, TWO])))),
  fingerprint: (fields) =>
    fields.map((one) =>
      one.type === OUT.TAP_BIP32_DERIVATION
        ? derivation(one.type, one.keyData, {
            ...readTapDerivation(one.value),
            fingerprint: "deadbeef",
          })
        : one,
    ),
  "path-index": deriving(OUT.TAP_BIP32_DERIVATION, elsewhere),
  "stranger-key": adding(strangers(OUT.TAP_BIP32_DERIVATION)),
  "claims-our-key": (fields) => fields,
  "stranger-derivation": adding(strangers(OUT.TAP_BIP32_DERIVATION)),
  "tree-alone": adding(field(OUT.TAP_TREE, tapTree(multiLeaf(2, [ONE, TWO])))),
  "key-alone": adding(field(OUT.TAP_INTERNAL_KEY, ONE)),
};

/** What stands twice in a map stands there as it was said last. */
function once(fields: Fields): Fields {
  return fields.filter(
    (one, i) =>
      !fields
        .slice(i + 1)
        .some(({ type, keyData }) => type === one.type && equal(keyData, one.keyData)),
  );
}

export function speakInput(honest: Fields, { words }: Input): Fields {
  return once(words.reduce<Fields>((fields, word) => INPUT_SPEECH[word](fields), honest));
}

export function speakOutput(honest: Fields, { words }: Output, ours: Fields = []): Fields {
  const claimed = words.includes("claims-our-key") ? ours : [];
  return once(
    words.reduce<Fields>((fields, word) => OUTPUT_SPEECH[word](fields), [...honest, ...claimed]),
  );
}
