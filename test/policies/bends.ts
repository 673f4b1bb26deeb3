import * as ecc from "tiny-secp256k1";
import { fromHex, hash160, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { field, IN, OUT, type PsbtField } from "../../policies/bitcoin/psbt-fields.ts";
import { midstates, SIGHASH_DEFAULT, taprootSighash } from "../../policies/bitcoin/sighash.ts";
import { addressOf, multiLeaf, tapTree } from "../../policies/bitcoin/taproot.ts";
import {
  outpoint,
  type Tx,
  type TxOutput,
  txidOf,
  writeUnsignedTx,
} from "../../policies/bitcoin/transaction.ts";
import { concat, sized, u8, u32 } from "../../policies/bitcoin/wire.ts";
import type { ChainView, CoinStatus } from "../../policies/chain-view.ts";
import type { PolicyDocument } from "../../policies/document/policy.ts";
import type { Claim, HistoryDocument } from "../../policies/history.ts";
import type { SpendIntent } from "../../policies/intent.ts";
import { SATS_MAX, sats } from "../../policies/money.ts";
import type { RuleId } from "../../policies/rules.ts";
import { CHANGE, RECEIVE, type Role } from "../../policies/vault.ts";
import type { ExitLeaf, VaultScript } from "../../policies/vault-scripts.ts";
import {
  CHANGE_AT,
  type Draft,
  derivation,
  EXIT_VAULT,
  exitDerivations,
  HEIGHT,
  honest,
  type Maps,
  NOW,
  OTHER_VAULT,
  onInput,
  onOutput,
  PAYMENTS,
  POLICY,
  recipient,
  type SpendOptions,
  signatureOf,
  TREASURY,
  USER_VAULT,
  withoutFields,
} from "../support/spend.ts";
import { purposeBends } from "./purpose-bends.ts";

/** A point of nobody in particular: x of the generator times two, say. */
const ATTACKER = fromHex("c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5");
const P2TR = concat([Uint8Array.of(0x51, 0x20), ATTACKER]);
const DAY_MS = 86_400_000;
/** What the honest spend leaves of its window, plus one. */
const FULL = 100_000_000n - 2_001_799n;
const HONEST = honest();
/** The origin of a key that the vault has. */
const OURS = {
  leafHashes: [],
  fingerprint: USER_VAULT.vault.holders[0]?.key.origin?.fingerprint ?? "",
  path: USER_VAULT.vault.holders[0]?.key.origin?.path ?? [],
};
/** Where the change of a vault with an exit goes, and its user's key at a path above the account. */
const EXIT_CHANGE = EXIT_VAULT.scripts.at(CHANGE_AT.branch, CHANGE_AT.index);
const exitUser = (steps: readonly number[]) => {
  const origin = EXIT_VAULT.vault.holders.find(({ role }) => role === "user")?.key.origin;
  return { fingerprint: origin?.fingerprint ?? "", path: [...(origin?.path ?? []), ...steps] };
};
const ADDRESS_0 = addressOf(recipient(0), "regtest") ?? "";
const ADDRESS_1 = addressOf(recipient(1), "regtest") ?? "";

/**
 * The honest spend with exactly one thing bent. `brink` goes as far as the rule lets, `beyond` one
 * step further. `also` are other rules that this bend cannot help but break.
 */
export interface BentSpend {
  readonly what: string;
  readonly brink?: SpendOptions;
  readonly beyond: SpendOptions;
  readonly also?: readonly RuleId[];
  /** The violation passes by itself: the signer says when to ask again. */
  readonly held?: true;
}

/** A `Record` over all rules: a rule without a bend does not compile. */
export const bends: Record<RuleId, readonly BentSpend[]> = {
  ...purposeBends,
  "not-paused": [
    { what: "the kill switch is pulled", held: true, beyond: history({ paused: true }) },
  ],
  "network-agrees": [
    { what: "the policy is for another network", beyond: policy({ network: "signet" }) },
    { what: "the intent is for another network", beyond: intent({ network: "testnet" }) },
    {
      what: "the vault is on another network",
      beyond: { bend: { vault: (vault) => ({ ...vault, network: "testnet" }) } },
    },
  ],
  "vault-registered": [
    { what: "the vault is unknown here", beyond: { bend: { vault: () => null } } },
    {
      what: "the registered vault is another one",
      beyond: { bend: { vault: () => OTHER_VAULT.vault } },
    },
    {
      what: "the signer's role has no key in it",
      beyond: policy({ role: "second-trustee" }),
      also: ["purpose-signers"],
    },
  ],
  "has-inputs-and-outputs": [
    {
      what: "no inputs",
      beyond: { bend: { tx: (tx) => ({ ...tx, inputs: [] }), spent: () => [] } },
      also: ["purpose-fits", "fee-not-negative"],
    },
    {
      what: "no outputs",
      beyond: { bend: { tx: (tx) => ({ ...tx, outputs: [] }) } },
      also: [
        "purpose-fits",
        "outputs-as-intended",
        "fee-absolute",
        "fee-budget",
        "fee-rate",
        "fee-share",
      ],
    },
  ],
  "size-within-caps": [
    {
      what: "inputs",
      brink: { coins: 3, ...transaction({ inputs: 3 }) },
      beyond: { coins: 3, ...transaction({ inputs: 2 }) },
    },
    { what: "outputs", brink: transaction({ outputs: 2 }), beyond: transaction({ outputs: 1 }) },
  ],
  "purpose-allowed": [
    {
      what: "a policy without this purpose",
      beyond: intent({ purpose: "margin" }),
      also: ["purpose-fits", "statement-signed"],
    },
  ],
  "purpose-fits": [
    {
      what: "coins of the house under a withdrawal",
      beyond: { from: TREASURY },
      also: ["house-vaults-known"],
    },
    {
      what: "nothing leaves the vault",
      beyond: { payments: [], ...intent({ outputs: intended(PAYMENTS) }), feeSats: 0n },
      also: ["outputs-as-intended", "fee-rate"],
    },
  ],
  "inputs-of-the-vault": [
    {
      what: "a coin of another registered vault",
      beyond: { coins: [at(0), { ...at(1), from: OTHER_VAULT }] },
      also: ["purpose-fits"],
    },
    {
      what: "a coin of nobody known",
      beyond: {
        coins: 2,
        bend: { spent: (spent) => spent.map((o, i) => (i === 1 ? { ...o, script: P2TR } : o)) },
      },
      also: ["purpose-fits"],
    },
    {
      what: "an input of a script before Taproot",
      beyond: {
        coins: 2,
        bend: {
          spent: (spent) => spent.map((o, i) => (i === 1 ? { ...o, script: recipient(9) } : o)),
        },
      },
      also: ["purpose-fits"],
    },
  ],
  "inputs-distinct": [
    {
      what: "one coin twice",
      beyond: {
        coins: [at(0), at(0)],
        bend: {
          tx: (tx) => ({ ...tx, inputs: tx.inputs.map((input) => tx.inputs[0] ?? input) }),
          spent: (spent) => spent.map((output) => spent[0] ?? output),
        },
      },
    },
  ],
  "utxo-present": [
    {
      what: "no WITNESS_UTXO",
      beyond: maps((psbt) => withoutFields(psbt, 0, [IN.WITNESS_UTXO])),
      also: ["purpose-fits"],
    },
    {
      what: "only the previous transaction",
      beyond: {
        previous: true,
        ...maps((psbt) => withoutFields(psbt, 0, [IN.WITNESS_UTXO])),
      },
      also: ["purpose-fits"],
    },
  ],
  "utxo-consistent": [
    {
      what: "the previous transaction pays another amount",
      brink: { previous: true },
      beyond: {
        previous: true,
        bend: { spent: (spent) => spent.map((o) => ({ ...o, sats: o.sats + 1n })) },
      },
    },
    {
      what: "the previous transaction pays another script",
      beyond: {
        bend: {
          tx: (tx, draft) => ({
            ...tx,
            inputs: tx.inputs.map((input) => ({ ...input, txid: txidOf(twin(draft)) })),
          }),
          maps: (psbt, draft) =>
            onInput(psbt, 0, [field(IN.NON_WITNESS_UTXO, writeUnsignedTx(twin(draft)))]),
        },
      },
    },
  ],
  "amounts-in-range": [
    {
      what: "an input of more than 21 million bitcoin",
      brink: { change: SATS_MAX - 2_001_800n },
      beyond: { change: SATS_MAX - 2_001_799n },
    },
    { what: "an output of more than 21 million bitcoin", beyond: { change: SATS_MAX + 1n } },
    { what: "an output that would be negative as a signed number", beyond: { change: 1n << 63n } },
    {
      what: "outputs of together more than 21 million bitcoin",
      beyond: { change: SATS_MAX - 1_999_999n },
    },
  ],
  "fee-not-negative": [
    {
      what: "the outputs exceed the inputs",
      brink: { feeSats: 0n, ...fees({ sat_per_vbyte: { min: 0, max: 50 } }) },
      beyond: { feeSats: -1n },
    },
  ],
  "chain-view-present": [
    {
      what: "the signer's node does not answer",
      held: true,
      beyond: { bend: { chain: () => null } },
    },
  ],
  "coins-confirmed": [
    {
      what: "depth",
      held: true,
      brink: coinOnChain({ height: HEIGHT - 2 }),
      beyond: coinOnChain({ height: HEIGHT - 1 }),
    },
    {
      what: "in the mempool",
      held: true,
      brink: { bend: { ...coinOnChain({ height: 0 }).bend, policy: confirmations(0) } },
      beyond: { bend: { ...coinOnChain({ height: 0 }).bend, policy: confirmations(1) } },
    },
    {
      what: "a coinbase output",
      held: true,
      brink: coinOnChain({ height: HEIGHT - 99, coinbase: true }),
      beyond: coinOnChain({ height: HEIGHT - 98, coinbase: true }),
    },
    {
      what: "the node calls it missing",
      held: true,
      beyond: chain((view) => ({
        ...view,
        coins: new Map([...view.coins.keys()].map((id) => [id, { kind: "missing" } as const])),
      })),
    },
    {
      what: "the node does not know it",
      held: true,
      beyond: chain((view) => ({ ...view, coins: new Map() })),
    },
  ],
  "coins-as-declared": [
    { what: "the node has one sat more", beyond: coinOnChain({ satsMore: 1n }) },
    { what: "the node has one sat less", beyond: coinOnChain({ satsMore: -1n }) },
    { what: "the node has another script", beyond: coinOnChain({ script: "51" }) },
  ],
  "internal-key": [
    {
      what: "another internal key of an input",
      beyond: maps((psbt) => onInput(psbt, 0, [field(IN.TAP_INTERNAL_KEY, ATTACKER)])),
    },
    {
      what: "another internal key of the change",
      brink: maps((psbt) => onOutput(psbt, 1, [])),
      beyond: maps((psbt) => onOutput(psbt, 1, [field(OUT.TAP_INTERNAL_KEY, ATTACKER)])),
    },
    {
      what: "an internal key shown for a payment that has none",
      beyond: maps((psbt) => onOutput(psbt, 0, [field(OUT.TAP_INTERNAL_KEY, ATTACKER)])),
    },
  ],
  "merkle-root": [
    {
      what: "another root",
      beyond: maps((psbt) => onInput(psbt, 0, [field(IN.TAP_MERKLE_ROOT, sha256(u8(1)))])),
    },
    {
      what: "the 2-of-3's hash alone where an exit stands beside it",
      brink: { from: EXIT_VAULT },
      beyond: besideExit((psbt, { leafHash }) =>
        onInput(psbt, 0, [field(IN.TAP_MERKLE_ROOT, leafHash)]),
      ),
    },
  ],
  "leaf-bytes": [
    { what: "1-of-3", beyond: leafOffered((leaf) => changed(leaf, 102, 0x51)) },
    { what: "GREATERTHANOREQUAL", beyond: leafOffered((leaf) => changed(leaf, 103, 0xa2)) },
    { what: "a trailing NOP", beyond: leafOffered((leaf) => concat([leaf, u8(0x61)])) },
    { what: "an OP_SUCCESS", beyond: leafOffered((leaf) => concat([u8(0x50), leaf])) },
    { what: "PUSHDATA1", beyond: leafOffered((leaf) => concat([u8(0x4c), leaf])) },
    { what: "an attacker's key", beyond: leafOffered(() => multiLeaf(1, [ATTACKER])) },
    {
      what: "the keys in another order",
      beyond: leafOffered((leaf) =>
        concat([leaf.subarray(0, 1), leaf.subarray(35, 67), leaf.subarray(33, 35)]),
      ),
    },
    { what: "no script at all", beyond: leafOffered(() => new Uint8Array(0)) },
    {
      what: "the vault's own exit leaf in its place",
      beyond: besideExit((psbt, _, exit) =>
        onInput(withoutFields(psbt, 0, [IN.TAP_LEAF_SCRIPT]), 0, [leafField(exit)]),
      ),
    },
    {
      what: "the vault's own exit leaf beside it",
      beyond: besideExit((psbt, _, exit) => onInput(psbt, 0, [leafField(exit)])),
    },
    {
      what: "the vault's own exit leaf with a day less",
      beyond: besideExit((psbt, _, { leaf, controlBlock }) =>
        onInput(psbt, 0, [leafField({ leaf: changed(leaf, 35, 0x18), controlBlock })]),
      ),
      also: ["control-block"],
    },
  ],
  "leaf-version": [
    { what: "another version in the leaf", beyond: leafOffered((leaf) => leaf, 0xc2) },
    { what: "a parity bit in the leaf version", beyond: leafOffered((leaf) => leaf, 0xc1) },
    {
      what: "another version in the control block",
      beyond: controlOffered((control) => changed(control, 0, (control[0] ?? 0) ^ 2)),
      also: ["control-block"],
    },
  ],
  "control-block": [
    {
      what: "the other parity",
      beyond: controlOffered((control) => changed(control, 0, (control[0] ?? 0) ^ 1)),
    },
    {
      what: "another internal key",
      beyond: controlOffered((control) => concat([control.subarray(0, 1), ATTACKER])),
    },
    {
      what: "a path to a deeper tree",
      beyond: controlOffered((control) => concat([control, sha256(u8(1))])),
    },
    {
      what: "a second control block beside the right one",
      beyond: maps((psbt, { coins }) => {
        const leaf = coins[0]?.script.leaf ?? u8(0);
        const control = concat([u8(0xc0), ATTACKER]);
        return onInput(psbt, 0, [keyed(IN.TAP_LEAF_SCRIPT, control, concat([leaf, u8(0xc0)]))]);
      }),
    },
    {
      what: "a path that leaves out the exit beside the leaf",
      beyond: besideExit((psbt, { leaf, controlBlock }) => {
        const short = { leaf, controlBlock: controlBlock.subarray(0, 33) };
        return onInput(withoutFields(psbt, 0, [IN.TAP_LEAF_SCRIPT]), 0, [leafField(short)]);
      }),
    },
    {
      what: "the path of the exit for the 2-of-3",
      beyond: besideExit((psbt, { leaf }, { controlBlock }) =>
        onInput(psbt, 0, [leafField({ leaf, controlBlock })]),
      ),
    },
  ],
  "derivation-honest": [
    { what: "another fingerprint", beyond: derivedAs({ fingerprint: "deadbeef" }) },
    { what: "a step more", beyond: derivedAs({ path: (path) => [...path, 0] }) },
    { what: "a step less", beyond: derivedAs({ path: (path) => path.slice(1) }) },
    { what: "another account", beyond: derivedAs({ path: (path) => path.with(2, 1) }) },
    { what: "another index", beyond: derivedAs({ path: (path) => path.with(-1, 1) }) },
    { what: "a hardened index", beyond: derivedAs({ path: (path) => path.with(-1, 0x80000000) }) },
    {
      what: "a leaf that the vault does not have",
      beyond: derivedAs({ leafHashes: [sha256(u8(1))] }),
    },
    {
      what: "no leaf at all is merely silent",
      brink: derivedAs({ leafHashes: [] }),
      beyond: derivedAs({ leafHashes: [], fingerprint: "00000000" }),
    },
    {
      what: "a key that the vault does not have",
      beyond: maps((psbt) =>
        onInput(psbt, 0, [derivation(IN.TAP_BIP32_DERIVATION, ATTACKER, OURS)]),
      ),
    },
    {
      what: "a payment that claims to be ours",
      brink: maps((psbt) =>
        onOutput(psbt, 0, [
          derivation(OUT.TAP_BIP32_DERIVATION, ATTACKER, { ...OURS, fingerprint: "deadbeef" }),
        ]),
      ),
      beyond: maps((psbt) =>
        onOutput(psbt, 0, [derivation(OUT.TAP_BIP32_DERIVATION, ATTACKER, OURS)]),
      ),
    },
    {
      what: "a payment that claims to be ours in the fields of older scripts",
      beyond: maps((psbt) =>
        onOutput(psbt, 0, [keyed(OUT.BIP32_DERIVATION, concat([u8(2), ATTACKER]), originBytes())]),
      ),
    },
    {
      what: "the internal key on another path",
      beyond: maps((psbt, { coins }) =>
        onInput(psbt, 0, [
          derivation(IN.TAP_BIP32_DERIVATION, coins[0]?.script.internalKey ?? ATTACKER, {
            leafHashes: [],
            fingerprint: "7c461e5d",
            path: [0, 1],
          }),
        ]),
      ),
    },
    {
      what: "change on another path than it says",
      beyond: maps((psbt) => {
        const { keys } = USER_VAULT.scripts.at(CHANGE_AT.branch, CHANGE_AT.index);
        const own = { ...OURS, path: [...OURS.path, CHANGE, CHANGE_AT.index + 1] };
        return onOutput(psbt, 1, [
          derivation(OUT.TAP_BIP32_DERIVATION, keys[0]?.xOnly ?? ATTACKER, own),
        ]);
      }),
    },
    {
      what: "a path to the exit key of a coin, by which a device would sign that leaf too",
      beyond: besideExit((psbt, script) =>
        onInput(psbt, 0, exitDerivations(IN.TAP_BIP32_DERIVATION, EXIT_VAULT.vault, script)),
      ),
    },
    {
      what: "a cosigner's key of a coin in the exit leaf",
      beyond: besideExit((psbt, script, { leafHash }) =>
        onInput(psbt, 0, [userDerivation(IN.TAP_BIP32_DERIVATION, script, leafHash)]),
      ),
    },
    {
      what: "the exit key of change in the 2-of-3",
      brink: exitOfChange(({ exit }) => ({ branch: exit.branch, leafHash: exit.leafHash })),
      beyond: exitOfChange(({ exit, leafHash }) => ({ branch: exit.branch, leafHash })),
    },
    {
      what: "the exit key of change on the branch of the 2-of-3",
      beyond: exitOfChange(({ exit, branch }) => ({ branch, leafHash: exit.leafHash })),
    },
    {
      what: "a cosigner's key of change in the exit leaf",
      brink: besideExit((psbt) =>
        onOutput(psbt, 1, [userDerivation(OUT.TAP_BIP32_DERIVATION, EXIT_CHANGE, null)]),
      ),
      beyond: besideExit((psbt) => {
        const leafHash = EXIT_CHANGE.exit?.leafHash ?? null;
        const said = userDerivation(OUT.TAP_BIP32_DERIVATION, EXIT_CHANGE, leafHash);
        return onOutput(psbt, 1, [said]);
      }),
    },
  ],
  "tap-tree-honest": [
    {
      what: "another tree shown for the change",
      beyond: maps((psbt) => onOutput(psbt, 1, [field(OUT.TAP_TREE, tree(u8(0x51)))])),
    },
    {
      what: "a tree shown for a payment without its internal key",
      beyond: maps((psbt) => onOutput(psbt, 0, [field(OUT.TAP_TREE, tree(u8(0x51)))])),
    },
    {
      what: "the vault's own tree and key shown for a payment",
      beyond: maps((psbt) => {
        const { internalKey, leaf } = USER_VAULT.scripts.at(CHANGE, 4);
        return onOutput(psbt, 0, [
          field(OUT.TAP_INTERNAL_KEY, internalKey),
          field(OUT.TAP_TREE, tree(leaf)),
        ]);
      }),
    },
    {
      what: "the change's tree without its exit: which leaf comes first does not matter",
      brink: besideExit((psbt) =>
        onOutput(psbt, 1, [
          field(OUT.TAP_TREE, tapTree(EXIT_CHANGE.exit?.leaf ?? u8(0), EXIT_CHANGE.leaf)),
        ]),
      ),
      beyond: besideExit((psbt) =>
        onOutput(psbt, 1, [field(OUT.TAP_TREE, tree(EXIT_CHANGE.leaf))]),
      ),
    },
    {
      what: "the change's tree with the exit of another address",
      beyond: besideExit((psbt, _, exit) =>
        onOutput(psbt, 1, [field(OUT.TAP_TREE, tapTree(EXIT_CHANGE.leaf, exit.leaf))]),
      ),
    },
  ],
  "sighash-default": [0x01, 0x02, 0x03, 0x80, 0x81, 0x82, 0x83, 0x04, 0xffffffff].map((type) => ({
    what: `type 0x${type.toString(16)}`,
    brink: maps((psbt) => onInput(psbt, 0, [field(IN.SIGHASH_TYPE, u32(0))])),
    beyond: maps((psbt) => onInput(psbt, 0, [field(IN.SIGHASH_TYPE, u32(type))])),
  })),
  "nothing-but-cosigning": [
    field(IN.FINAL_SCRIPTSIG, u8(0x51)),
    field(IN.FINAL_SCRIPTWITNESS, Uint8Array.of(1, 1, 0x51)),
    field(IN.TAP_KEY_SIG, new Uint8Array(64)),
    keyed(IN.PARTIAL_SIG, generator(), fromDer()),
    field(IN.REDEEM_SCRIPT, u8(0x51)),
    field(IN.WITNESS_SCRIPT, u8(0x51)),
    keyed(IN.BIP32_DERIVATION, generator(), originBytes()),
    keyed(IN.MUSIG2_PARTICIPANT_PUBKEYS, generator(), generator()),
    keyed(IN.MUSIG2_PUB_NONCE, concat([generator(), generator()]), new Uint8Array(66)),
    keyed(IN.MUSIG2_PARTIAL_SIG, concat([generator(), generator()]), new Uint8Array(32)),
    keyed(IN.RIPEMD160, new Uint8Array(20), u8(1)),
    keyed(IN.SHA256, new Uint8Array(32), u8(1)),
    keyed(IN.HASH160, new Uint8Array(20), u8(1)),
    keyed(IN.HASH256, new Uint8Array(32), u8(1)),
  ].map((burden) => ({
    what: `input field 0x${burden.type.toString(16)}`,
    beyond: maps((psbt) => onInput(psbt, 0, [burden])),
  })),
  "signatures-valid": [
    {
      what: "a cosigner's signature with one bit flipped",
      brink: { signed: ["user", "trustee"] },
      beyond: cosigned((signature) => changed(signature, 63, (signature[63] ?? 0) ^ 1)),
    },
    {
      what: "a cosigner's signature that says SIGHASH_ALL",
      beyond: cosigned((signature) => concat([signature, u8(1)])),
    },
    {
      what: "a signature of a key that the vault does not have",
      beyond: maps((psbt, { coins }) => {
        const leafHash = coins[0]?.script.leafHash ?? ATTACKER;
        const slot = concat([ATTACKER, leafHash]);
        return onInput(psbt, 0, [keyed(IN.TAP_SCRIPT_SIG, slot, new Uint8Array(64))]);
      }),
    },
    {
      what: "a cosigner's signature for another leaf",
      beyond: maps((psbt, draft) => {
        const key = keyOf(draft, "trustee");
        const slot = concat([key, sha256(u8(1))]);
        const signature = signatureOf(draft, 0, "trustee");
        return onInput(psbt, 0, [keyed(IN.TAP_SCRIPT_SIG, slot, signature)]);
      }),
    },
    {
      what: "the exit key's signature for its own leaf",
      beyond: exitSigned(({ exit }) => exit.leafHash),
    },
    {
      what: "the exit key's signature for the 2-of-3",
      beyond: exitSigned(({ leafHash }) => leafHash),
    },
    {
      what: "the exit key's signature in place of the user's",
      beyond: { ...exitSigned(({ leafHash }) => leafHash), signed: [] },
      also: ["user-signs-first"],
    },
    {
      what: "the user's signature over another transaction",
      beyond: maps((psbt, draft) => {
        const other = { ...draft, tx: { ...draft.tx, locktime: draft.tx.locktime - 1 } };
        const slot = concat([keyOf(draft, "user"), draft.coins[0]?.script.leafHash ?? u8(0)]);
        return onInput(psbt, 0, [keyed(IN.TAP_SCRIPT_SIG, slot, signatureOf(other, 0, "user"))]);
      }),
      also: ["user-signs-first"],
    },
  ],
  "user-signs-first": [
    {
      what: "nobody has signed",
      brink: { signed: [], ...policy({ role: "user" }) },
      beyond: { signed: [] },
    },
    { what: "only the trustee has signed", beyond: { signed: ["trustee"] } },
    {
      what: "the user has signed all inputs but the last",
      beyond: { coins: 3, ...maps((psbt) => withoutFields(psbt, 2, [IN.TAP_SCRIPT_SIG])) },
    },
    {
      what: "the trustee is asked before the user",
      brink: policy({ role: "trustee" }),
      beyond: { signed: ["lsp"], ...policy({ role: "trustee" }) },
    },
  ],
  "outputs-as-intended": [
    { what: "one sat more", beyond: intent({ outputs: intended(PAYMENTS, -1n) }) },
    { what: "one sat less", beyond: intent({ outputs: intended(PAYMENTS, 1n) }) },
    {
      what: "another payee",
      beyond: intent({ outputs: intended([{ script: recipient(1), sats: 2_000_000n }]) }),
    },
    {
      what: "a payment that the intent has not",
      brink: { payments: [pay(0, 1_000_000n), pay(1, 1_000_000n)] },
      beyond: {
        payments: [pay(0, 1_000_000n), pay(1, 1_000_000n)],
        ...intent({ outputs: intended([pay(0, 1_000_000n)]) }),
      },
    },
    {
      what: "one payment for two equal ones",
      brink: { payments: [pay(0, 1_000_000n), pay(0, 1_000_000n)] },
      beyond: {
        payments: [pay(0, 1_000_000n)],
        ...intent({ outputs: intended([pay(0, 1_000_000n), pay(0, 1_000_000n)]) }),
      },
    },
    {
      what: "two equal payments for one",
      beyond: {
        payments: [pay(0, 1_000_000n), pay(0, 1_000_000n)],
        ...intent({ outputs: intended([pay(0, 1_000_000n)]) }),
      },
    },
    {
      what: "the two amounts swapped",
      beyond: {
        payments: [pay(0, 1_000_000n), pay(1, 1_500_000n)],
        ...intent({ outputs: intended([pay(1, 1_000_000n), pay(0, 1_500_000n)]) }),
      },
    },
  ],
  "destination-allowed": [
    {
      what: "an address that is not on the list",
      brink: withdrawal({ destinations: [ADDRESS_0, ADDRESS_1] }),
      beyond: withdrawal({ destinations: [ADDRESS_1] }),
    },
    {
      what: "an entry of another vault",
      brink: withdrawal({
        destinations: [{ address: ADDRESS_0, vault: USER_VAULT.vault.id }],
      }),
      beyond: withdrawal({
        destinations: [{ address: ADDRESS_0, vault: OTHER_VAULT.vault.id }],
      }),
    },
  ],
  "destination-known": [
    { what: "a data output", beyond: paying(Uint8Array.of(0x6a, 1, 1)) },
    { what: "a bare key", beyond: paying(concat([sized(generator()), u8(0xac)])) },
    { what: "an anchor", beyond: paying(Uint8Array.of(0x51, 2, 0x4e, 0x73)) },
    { what: "a future witness version", beyond: paying(concat([u8(0x52), sized(ATTACKER)])) },
    { what: "an empty script", beyond: paying(new Uint8Array(0)) },
    {
      // BIP340: no point has x = 5, as 5^3 + 7 is no square.
      what: "a P2TR that pays nobody",
      beyond: paying(concat([Uint8Array.of(0x51, 0x20), new Uint8Array(31), u8(5)])),
    },
    {
      what: "a P2TR with a longer key",
      brink: paying(P2TR),
      beyond: paying(concat([u8(0x51), sized(concat([ATTACKER, u8(0)]))])),
    },
  ],
  "no-address-reuse": [
    {
      what: "change on the address just spent from",
      brink: { coins: [{ branch: CHANGE, index: CHANGE_AT.index + 1 }] },
      beyond: { coins: [{ branch: CHANGE, index: CHANGE_AT.index }] },
    },
  ],
  "change-to-change": [
    { what: "the receive branch", beyond: { changeAt: { branch: RECEIVE, index: 3 } } },
    {
      what: "another registered vault",
      beyond: {
        coins: [at(0), { ...at(1), from: OTHER_VAULT }],
        bend: {
          tx: (tx) => ({
            ...tx,
            outputs: tx.outputs.map((output, i) =>
              i === 1 ? { ...output, script: OTHER_VAULT.scripts.at(CHANGE, 0).script } : output,
            ),
          }),
        },
      },
      also: ["purpose-fits", "inputs-of-the-vault"],
    },
  ],
  "change-once": [
    {
      what: "two change outputs",
      beyond: {
        bend: {
          tx: (tx) => ({
            ...tx,
            outputs: [
              ...tx.outputs.map((o, i) => (i === 1 ? { ...o, sats: o.sats - 1_000n } : o)),
              { script: USER_VAULT.scripts.at(CHANGE, 4).script, sats: 1_000n },
            ],
          }),
        },
      },
    },
  ],
  "change-findable": [
    {
      what: "beyond the gap of a vault without change",
      brink: { changeAt: { branch: CHANGE, index: 19 } },
      beyond: { changeAt: { branch: CHANGE, index: 20 } },
    },
    {
      what: "beyond the gap after the highest change",
      brink: {
        changeAt: { branch: CHANGE, index: 27 },
        ...claims(claim({ places: changed7(USER_VAULT) })),
      },
      beyond: {
        changeAt: { branch: CHANGE, index: 28 },
        ...claims(claim({ places: changed7(USER_VAULT) })),
      },
    },
    {
      what: "far away: a ransom",
      beyond: { changeAt: { branch: CHANGE, index: 0x7fffffff } },
    },
    {
      what: "change of another vault raises nothing",
      beyond: {
        changeAt: { branch: CHANGE, index: 20 },
        ...claims(claim({ places: changed7(OTHER_VAULT) })),
      },
    },
  ],
  "no-dust": [
    { what: "change", brink: { change: 330n }, beyond: { change: 329n } },
    ...(
      [
        ["p2tr", P2TR, 330n],
        ["p2wpkh", recipient(0), 294n],
        ["p2wsh", concat([Uint8Array.of(0, 0x20), sha256(u8(1))]), 330n],
        ["p2pkh", p2pkh(), 546n],
        ["p2sh", p2sh(), 540n],
      ] as const
    ).map(([what, script, least]) => ({
      what,
      brink: { payments: [pay(1), { script, sats: least }] },
      beyond: { payments: [pay(1), { script, sats: least - 1n }] },
    })),
    { what: "nothing at all", beyond: { change: 0n } },
  ],
  "fee-absolute": [
    { what: "the cap", brink: fees({ sats: 1_800 }), beyond: fees({ sats: 1_799 }) },
  ],
  "fee-rate": [
    {
      what: "too high, by a millisat per virtual byte",
      brink: { feeSats: 1_940n, ...fees({ sat_per_vbyte: { min: 1, max: 10 } }) },
      beyond: { feeSats: 1_941n, ...fees({ sat_per_vbyte: { min: 1, max: 10 } }) },
    },
    {
      what: "too low, by a sat",
      brink: { feeSats: 291n, ...fees({ sat_per_vbyte: { min: 1.5, max: 50 } }) },
      beyond: { feeSats: 290n, ...fees({ sat_per_vbyte: { min: 1.5, max: 50 } }) },
    },
    {
      what: "too high, with the longer control block of a vault with an exit",
      brink: exitFee(2_020n, { min: 1, max: 10 }),
      beyond: exitFee(2_021n, { min: 1, max: 10 }),
    },
    {
      what: "too low, with the longer control block of a vault with an exit",
      brink: exitFee(303n, { min: 1.5, max: 50 }),
      beyond: exitFee(302n, { min: 1.5, max: 50 }),
    },
    {
      what: "padding in the PSBT buys no lower rate",
      beyond: {
        feeSats: 193n,
        ...maps((psbt) => ({
          ...psbt,
          global: [...psbt.global, keyed(0xf0, u8(1), new Uint8Array(10_000))],
        })),
      },
    },
  ],
  "fee-share": [
    {
      what: "the share of the payment",
      brink: { feeSats: 2_000n, ...fees({ share_bps: 10 }) },
      beyond: { feeSats: 2_001n, ...fees({ share_bps: 10 }) },
    },
  ],
  "spend-limit": [
    {
      what: "one payment",
      brink: withdrawal({ sats_per_spend: 2_000_000 }),
      beyond: withdrawal({ sats_per_spend: 1_999_999 }),
    },
    {
      what: "many payments, each below the limit",
      brink: {
        payments: [pay(0, 700_000n), pay(1, 700_000n), pay(2, 600_000n)],
        ...withdrawal({ sats_per_spend: 2_000_000 }),
      },
      beyond: {
        payments: [pay(0, 700_000n), pay(1, 700_000n), pay(2, 600_001n)],
        ...withdrawal({ sats_per_spend: 2_000_000 }),
      },
    },
  ],
  "window-limit": [
    {
      what: "of this vault",
      brink: withdrawal({ vault_windows: [{ hours: 1, sats: 2_001_800 }] }),
      beyond: withdrawal({ vault_windows: [{ hours: 1, sats: 2_001_799 }] }),
    },
    {
      what: "of one destination, which pays no fee",
      brink: withdrawal({ destination_windows: [{ hours: 1, sats: 2_000_000 }] }),
      beyond: withdrawal({ destination_windows: [{ hours: 1, sats: 1_999_999 }] }),
    },
    {
      what: "of one destination, with what it was paid before",
      held: true,
      brink: {
        ...withdrawal({ destination_windows: [{ hours: 2, sats: 2_001_000 }] }),
        bend: {
          ...withdrawal({ destination_windows: [{ hours: 2, sats: 2_001_000 }] }).bend,
          ...claims(claim({ charges: spent(1_000n) })).bend,
        },
      },
      beyond: {
        bend: {
          ...withdrawal({ destination_windows: [{ hours: 2, sats: 2_001_000 }] }).bend,
          ...claims(claim({ charges: spent(1_001n) })).bend,
        },
      },
    },
    {
      what: "of another destination is not this one's",
      brink: {
        bend: {
          ...withdrawal({ destination_windows: [{ hours: 2, sats: 2_000_000 }] }).bend,
          ...claims(
            claim({
              charges: [{ account: `destination ${hex(recipient(1))} withdrawal`, sats: 1n }],
            }),
          ).bend,
        },
      },
      beyond: {
        bend: {
          ...withdrawal({ destination_windows: [{ hours: 2, sats: 2_000_000 }] }).bend,
          ...claims(claim({ charges: spent(1n) })).bend,
        },
      },
      held: true,
    },
    {
      what: "this spend alone, its fee included",
      brink: withdrawal({ windows: [{ hours: 1, sats: 2_001_800 }] }),
      beyond: withdrawal({ windows: [{ hours: 1, sats: 2_001_799 }] }),
    },
    {
      what: "with what left before",
      held: true,
      brink: claims(claim({ charges: spent(100_000_000n - 2_001_800n) })),
      beyond: claims(claim({ charges: spent(100_000_000n - 2_001_799n) })),
    },
    {
      what: "with another vault's spend, purpose or no purpose",
      held: true,
      beyond: claims(
        claim({ charges: spent(100_000_000n), vault: OTHER_VAULT.vault.id, purpose: "collect" }),
      ),
    },
    {
      what: "the clock says that a day has passed, the blocks do not",
      held: true,
      brink: claims(claim({ charges: spent(FULL), at: NOW - DAY_MS, height: HEIGHT - 144 })),
      beyond: claims(claim({ charges: spent(FULL), at: NOW - DAY_MS, height: HEIGHT - 143 })),
    },
    {
      what: "the blocks say that a day has passed, the clock does not",
      held: true,
      beyond: claims(claim({ charges: spent(FULL), at: NOW - DAY_MS + 1, height: HEIGHT - 144 })),
    },
    {
      what: "a clock that was set back",
      held: true,
      beyond: claims(claim({ charges: spent(FULL), at: NOW + DAY_MS, height: HEIGHT })),
    },
    {
      what: "the second of two windows",
      held: true,
      beyond: {
        bend: {
          ...withdrawal({
            windows: [
              { hours: 1, sats: 100_000_000 },
              { hours: 48, sats: 3_000_000 },
            ],
          }).bend,
          ...claims(claim({ charges: spent(1_000_000n), at: NOW - DAY_MS, height: 0 })).bend,
        },
      },
    },
  ],
  "fee-budget": [
    {
      what: "one spend",
      brink: fees({ windows: [{ hours: 1, sats: 1_800 }] }),
      beyond: fees({ windows: [{ hours: 1, sats: 1_799 }] }),
    },
    {
      what: "with the fees of others",
      held: true,
      brink: claims(claim({ charges: spent(0n, 1_000_000n - 1_800n) })),
      beyond: claims(claim({ charges: spent(0n, 1_000_000n - 1_799n) })),
    },
  ],
  "tx-version": [0, 1, 3, 0xffffffff].map((version) => ({
    what: `version ${version}`,
    beyond: { bend: { tx: (tx) => ({ ...tx, version }) } },
  })),
  "sequence-replaceable": [0, 1, 144, 0xfffffffc, 0xfffffffe, 0xffffffff].map((sequence) => ({
    what: `sequence ${sequence}`,
    beyond: {
      coins: 2,
      bend: {
        tx: (tx) => ({
          ...tx,
          inputs: tx.inputs.map((input, i) => (i === 1 ? { ...input, sequence } : input)),
        }),
      },
    },
  })),
  "locktime-recent": [
    { what: "stale", brink: locktime(HEIGHT - 144), beyond: locktime(HEIGHT - 145) },
    { what: "none", beyond: locktime(0) },
    { what: "early", brink: locktime(HEIGHT + 2), beyond: locktime(HEIGHT + 3) },
    { what: "a time", beyond: locktime(1_800_000_000) },
    {
      what: "the journal has seen a higher block than the node now shows",
      beyond: {
        bend: {
          ...locktime(HEIGHT).bend,
          history: (document) => ({ ...document, height: HEIGHT + 145 }),
        },
      },
    },
    {
      what: "inputs whose locktimes exclude each other",
      beyond: {
        coins: 2,
        psbtVersion: 2,
        bend: {
          tx: (tx) => ({ ...tx, locktime: 0 }),
          maps: (psbt) =>
            onInput(onInput(psbt, 0, [field(IN.REQUIRED_HEIGHT_LOCKTIME, u32(HEIGHT))]), 1, [
              field(IN.REQUIRED_TIME_LOCKTIME, u32(1_800_000_000)),
            ]),
        },
      },
    },
  ],
  "coins-unclaimed": [
    {
      what: "a coin signed away for another intent",
      brink: {
        bend: {
          history: (document, { tx }) => ({
            ...document,
            claims: [
              claim({ outpoints: tx.inputs.map(({ txid }) => outpoint({ txid, vout: 0 })) }),
            ],
          }),
        },
      },
      beyond: claimed({}),
    },
    {
      what: "one of several coins",
      beyond: {
        coins: 3,
        bend: {
          history: (document, { tx }) => ({
            ...document,
            claims: [claim({ outpoints: tx.inputs.slice(2).map(outpoint) })],
          }),
        },
      },
    },
  ],
  "one-transaction-an-intent": [
    {
      what: "one bump more than the policy allows",
      brink: bumped(1, 1_799n, 1),
      beyond: bumped(1, 1_799n, 2),
    },
    { what: "a bump that pays no more", brink: bumped(1, 1_799n, 1), beyond: bumped(1, 1_800n, 1) },
    {
      what: "a bump of other coins",
      brink: bumped(1, 1_000n, 1),
      beyond: {
        bend: {
          ...fees({ bumps: 1 }).bend,
          ...claims(claim({ intent: HONEST.intent.id, charges: spent(0n) })).bend,
        },
      },
    },
    {
      what: "this intent as another transaction",
      brink: claims(claim({ intent: HONEST.intent.id, txid: HONEST.facts.txid })),
      beyond: claims(claim({ intent: HONEST.intent.id, txid: "ab".repeat(32) })),
    },
    {
      what: "this intent as another transaction of the same coins",
      beyond: claimed({ intent: HONEST.intent.id, txid: "ab".repeat(32) }),
    },
  ],
};

export function policy(part: Partial<PolicyDocument>): SpendOptions {
  return { bend: { policy: (document) => ({ ...document, ...part }) } };
}

function transaction(part: Partial<PolicyDocument["transaction"]>): SpendOptions {
  return policy({ transaction: { ...POLICY.transaction, ...part } });
}

function fees(part: Partial<PolicyDocument["fees"]>): SpendOptions {
  return policy({ fees: { ...POLICY.fees, ...part } });
}

export function withdrawal(part: Partial<PolicyDocument["purposes"]["withdrawal"]>): SpendOptions {
  return policy({ purposes: { withdrawal: { ...POLICY.purposes.withdrawal, ...part } } });
}

function confirmations(count: number) {
  return (document: PolicyDocument) => ({ ...document, chain: { confirmations: count } });
}

function intent(part: Partial<Omit<SpendIntent, "id">>): SpendOptions {
  return { bend: { intent: (content) => ({ ...content, ...part }) } };
}

function intended(outputs: readonly TxOutput[], more = 0n): SpendIntent["outputs"] {
  return outputs.map(({ script, sats: amount }) => ({ script, sats: sats(amount + more) }));
}

function pay(n: number, amount = 2_000_000n): TxOutput {
  return { script: recipient(n), sats: amount };
}

function paying(script: Uint8Array): SpendOptions {
  return { payments: [{ script, sats: 2_000_000n }] };
}

export function at(index: number) {
  return { branch: RECEIVE, index } as const;
}

function maps(change: (psbt: Maps, draft: Draft) => Maps): SpendOptions {
  return { bend: { maps: change } };
}

function locktime(height: number): SpendOptions {
  return { bend: { tx: (tx) => ({ ...tx, locktime: height }) } };
}

function history(part: Partial<HistoryDocument>): SpendOptions {
  return { bend: { history: (document) => ({ ...document, ...part }) } };
}

function claims(...all: readonly Claim[]): SpendOptions {
  return history({
    claims: all.map((one) => ({
      ...one,
      outpoints: [...one.outpoints],
      charges: [...one.charges],
    })),
  });
}

/** A claim on this very spend's coins. */
function claimed(part: Partial<Claim>): SpendOptions {
  return {
    bend: {
      history: (document, { tx }) => ({
        ...document,
        claims: [{ ...claim(part), outpoints: tx.inputs.map(outpoint) }],
      }),
    },
  };
}

/** What a withdrawal of the vault took out of the windows. */
function spent(sats: bigint, fee = 0n): Claim["charges"] {
  return [
    { account: "purpose withdrawal", sats },
    { account: `vault ${USER_VAULT.vault.id} withdrawal`, sats },
    { account: `destination ${hex(recipient(0))} withdrawal`, sats },
    { account: "fees", sats: fee },
  ];
}

/** This intent, signed before with this very coin so many times. */
function bumped(allowed: number, fee: bigint, before: number): SpendOptions {
  return {
    bend: {
      ...fees({ bumps: allowed }).bend,
      history: (document, { tx }) => ({
        ...document,
        claims: Array.from({ length: before }, (_, n) => ({
          ...claim({
            intent: HONEST.intent.id,
            txid: `${n}${n}`.repeat(32),
            // A second transaction was charged what it took more than the first: nothing.
            charges: n === 0 ? spent(2_000_000n, fee) : spent(0n),
          }),
          outpoints: tx.inputs.map(outpoint),
        })),
      }),
    },
  };
}

/** Something else that was signed an hour ago. */
function claim(part: Partial<Claim>): HistoryDocument["claims"][number] {
  const elsewhere = `${"cd".repeat(32)}:0`;
  const { outpoints = [elsewhere], charges = spent(1_000n), ...rest } = part;
  return {
    intent: "ef".repeat(32),
    purpose: "withdrawal",
    vault: USER_VAULT.vault.id,
    txid: "12".repeat(32),
    anchor: elsewhere,
    outpoints: [...outpoints],
    charges: [...charges],
    at: NOW - 3_600_000,
    height: HEIGHT - 6,
    userSigned: true,
    fixed: "",
    ...rest,
    places: [...(rest.places ?? [])],
    nonces: [...(rest.nonces ?? [])],
  };
}

/** Change at index 7 of a vault. */
function changed7({ vault }: typeof USER_VAULT): Claim["places"] {
  const outpoint = `${"12".repeat(32)}:1`;
  return [{ outpoint, vault: vault.id, index: 7, sats: 1_000n, gained: false }];
}

function chain(change: (view: ChainView) => ChainView): SpendOptions {
  return { bend: { chain: change } };
}

/** The node tells another story about the coins. */
export function coinOnChain(part: {
  readonly height?: number;
  readonly coinbase?: boolean;
  readonly script?: string;
  readonly satsMore?: bigint;
}): SpendOptions {
  const { satsMore = 0n, ...rest } = part;
  return chain((view) => ({
    ...view,
    coins: new Map(
      [...view.coins].map(([id, coin]): [string, CoinStatus] => [
        id,
        coin.kind === "missing" ? coin : { ...coin, ...rest, sats: coin.sats + satsMore },
      ]),
    ),
  }));
}

/** Puts another script in the place of the leaf, under the honest control block. */
function leafOffered(other: (leaf: Uint8Array) => Uint8Array, version = 0xc0): SpendOptions {
  return maps((psbt, { coins }) => {
    const script = coins[0]?.script;
    if (script === undefined) return psbt;
    const value = concat([other(script.leaf), u8(version)]);
    return onInput(psbt, 0, [keyed(IN.TAP_LEAF_SCRIPT, script.controlBlock, value)]);
  });
}

/** Puts another control block in the place of the honest one, over the honest leaf. */
function controlOffered(other: (control: Uint8Array) => Uint8Array): SpendOptions {
  return maps((psbt, { coins }) => {
    const script = coins[0]?.script;
    if (script === undefined) return psbt;
    const value = concat([script.leaf, u8(0xc0)]);
    return onInput(withoutFields(psbt, 0, [IN.TAP_LEAF_SCRIPT]), 0, [
      keyed(IN.TAP_LEAF_SCRIPT, other(script.controlBlock), value),
    ]);
  });
}

/** The first key's derivation of the first input, told differently. */
function derivedAs(part: {
  readonly leafHashes?: readonly Uint8Array[];
  readonly fingerprint?: string;
  readonly path?: (path: readonly number[]) => readonly number[];
}): SpendOptions {
  return maps((psbt, { coins }) => {
    const script = coins[0]?.script;
    if (script === undefined) return psbt;
    const path = [...OURS.path, script.branch, script.index];
    return onInput(psbt, 0, [
      derivation(IN.TAP_BIP32_DERIVATION, script.keys[0]?.xOnly ?? ATTACKER, {
        leafHashes: part.leafHashes ?? [script.leafHash],
        fingerprint: part.fingerprint ?? OURS.fingerprint,
        path: part.path?.(path) ?? path,
      }),
    ]);
  });
}

/** A spend of a vault with an exit, whose words about the first coin's leaves are bent. */
function besideExit(
  change: (psbt: Maps, script: VaultScript, exit: ExitLeaf, draft: Draft) => Maps,
): SpendOptions {
  const bent = maps((psbt, draft) => {
    const script = draft.coins[0]?.script;
    if (script === undefined || script.exit === null) throw new Error("the coin has no exit");
    return change(psbt, script, script.exit, draft);
  });
  return { from: EXIT_VAULT, ...bent };
}

function leafField({ leaf, controlBlock }: Pick<ExitLeaf, "leaf" | "controlBlock">): PsbtField {
  return keyed(IN.TAP_LEAF_SCRIPT, controlBlock, concat([leaf, u8(0xc0)]));
}

/** What the PSBT says of the user's key in the 2-of-3; null names no leaf. */
function userDerivation(
  type: number,
  { keys, branch, index }: VaultScript,
  leafHash: Uint8Array | null,
): PsbtField {
  const key = keys.find(({ role }) => role === "user");
  const leafHashes = leafHash === null ? [] : [leafHash];
  return derivation(type, key?.xOnly ?? ATTACKER, { leafHashes, ...exitUser([branch, index]) });
}

/** What the PSBT says of the exit key of the change. */
function exitOfChange(
  say: (script: VaultScript & { readonly exit: ExitLeaf }) => {
    readonly branch: number;
    readonly leafHash: Uint8Array;
  },
): SpendOptions {
  return besideExit((psbt) => {
    const { exit } = EXIT_CHANGE;
    if (exit === null) throw new Error("the change has no exit");
    const { branch, leafHash } = say({ ...EXIT_CHANGE, exit });
    const said = { leafHashes: [leafHash], ...exitUser([branch, EXIT_CHANGE.index]) };
    return onOutput(psbt, 1, [derivation(OUT.TAP_BIP32_DERIVATION, exit.xOnly, said)]);
  });
}

/** Adds a good signature of the exit key over the leaf that is meant, in the field of that leaf. */
function exitSigned(
  meant: (script: VaultScript & { readonly exit: ExitLeaf }) => Uint8Array,
): SpendOptions {
  return besideExit((psbt, script, exit, { tx, spent }) => {
    const leafHash = meant({ ...script, exit });
    const states = midstates(tx, spent);
    const about = { tx, midstates: states, input: 0, type: SIGHASH_DEFAULT, leafHash };
    const secret = EXIT_VAULT.parties.get("user")?.secretAt(exit.branch, script.index);
    const signature = ecc.signSchnorr(taprootSighash(about), secret ?? u8(0));
    const slot = concat([exit.xOnly, leafHash]);
    return onInput(psbt, 0, [keyed(IN.TAP_SCRIPT_SIG, slot, signature)]);
  });
}

function exitFee(feeSats: bigint, rate: PolicyDocument["fees"]["sat_per_vbyte"]): SpendOptions {
  return { from: EXIT_VAULT, feeSats, ...fees({ sat_per_vbyte: rate }) };
}

/** Adds the trustee's signature, damaged. */
function cosigned(damage: (signature: Uint8Array) => Uint8Array): SpendOptions {
  return maps((psbt, draft) => {
    const slot = concat([keyOf(draft, "trustee"), draft.coins[0]?.script.leafHash ?? u8(0)]);
    const signature = damage(signatureOf(draft, 0, "trustee"));
    return onInput(psbt, 0, [keyed(IN.TAP_SCRIPT_SIG, slot, signature)]);
  });
}

export function keyOf(draft: Draft, role: Role, input = 0): Uint8Array {
  const key = draft.coins[input]?.script.keys.find((candidate) => candidate.role === role);
  if (key === undefined) throw new Error(`no ${role} at input ${input}`);
  return key.xOnly;
}

/** A transaction that pays another script where the coin's own transaction pays the vault. */
function twin({ coins }: Draft): Tx {
  const previous = coins[0]?.previous;
  if (previous === undefined) throw new Error("no coin");
  const outputs = previous.outputs.map((output) => ({ ...output, script: recipient(7) }));
  return { ...previous, outputs };
}

function keyed(type: number, keyData: Uint8Array, value: Uint8Array): PsbtField {
  return { type, keyData, value };
}

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return bytes.with(at, value);
}

function tree(leaf: Uint8Array): Uint8Array {
  return concat([u8(0), u8(0xc0), sized(leaf)]);
}

/** The curve's generator, compressed: a public key that is one. */
function generator(): Uint8Array {
  return fromHex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
}

/** A signature of the form that older scripts take. */
function fromDer(): Uint8Array {
  return fromHex("300602010102010101");
}

function originBytes(): Uint8Array {
  return concat([fromHex(OURS.fingerprint), ...OURS.path.map(u32)]);
}

function p2pkh(): Uint8Array {
  return concat([Uint8Array.of(0x76, 0xa9, 20), hash160(u8(1)), Uint8Array.of(0x88, 0xac)]);
}

function p2sh(): Uint8Array {
  return concat([Uint8Array.of(0xa9, 20), hash160(u8(1)), u8(0x87)]);
}
