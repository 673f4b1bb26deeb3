/** The bytes of a paper: a PSBT with the words and signatures that the plan says. */
import * as ecc from "tiny-secp256k1";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { psbtOf, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { field, GLOBAL, IN, OUT, type PsbtField } from "../../policies/bitcoin/psbt-fields.ts";
import { midstates, taprootSighash } from "../../policies/bitcoin/sighash.ts";
import { tapTree } from "../../policies/bitcoin/taproot.ts";
import { type Tx, type TxOutput, writeUnsignedTx } from "../../policies/bitcoin/transaction.ts";
import { concat, size, sized, u8, u32, u64 } from "../../policies/bitcoin/wire.ts";
import type { VaultScript } from "../../policies/vault-scripts.ts";
import { derivation, exitDerivations, type TestVault } from "../support/spend.ts";
import { outpointBytes, outpointOf, previousTx, scriptOf, TEST_VAULTS } from "./build-scripts.ts";
import { speakInput, speakOutput } from "./build-words.ts";
import { type Input, isPlace, type Paper, type Plan, type Signature } from "./plan.ts";

type Maps = Parameters<typeof writePsbt>[0];

export function paperBytes(plan: Plan, paper: Paper): Uint8Array {
  const tx = txOf(plan, paper);
  const spent = paper.inputs.map((input) => spentOf(plan, input));
  const bare = paper.psbt === 2 ? bareV2(tx) : psbtOf(tx);
  const states = spent.length === 0 ? null : midstates(tx, spent);
  return writePsbt({
    global: bare.global,
    inputs: paper.inputs.map((input, i) => {
      const own = bare.inputs[i] ?? [];
      return [...own, ...inputFields(plan, input), ...signatureFields(i)];
    }),
    outputs: paper.outputs.map((output, i) => {
      const { to } = output;
      const own = isPlace(to) ? ownOutput(TEST_VAULTS[to.vault], scriptAt(to)) : [];
      return [...(bare.outputs[i] ?? []), ...speakOutput(own, output, ours(plan))];
    }),
  });

  function signatureFields(i: number): PsbtField[] {
    const input = paper.inputs[i];
    const at = input === undefined ? undefined : plan.coins.get(input.coin)?.at;
    if (input === undefined || at === undefined || !isPlace(at) || states === null) return [];
    const script = scriptAt(at);
    const sighash = taprootSighash({
      tx,
      midstates: states,
      input: i,
      type: 0,
      leafHash: script.leafHash,
    });
    return input.signatures.flatMap((one) =>
      signatureField(one, { vault: TEST_VAULTS[at.vault], script, sighash }),
    );
  }
}

function scriptAt({
  vault,
  branch,
  index,
}: {
  vault: keyof typeof TEST_VAULTS;
  branch: 0 | 1;
  index: number;
}) {
  return TEST_VAULTS[vault].scripts.at(branch, index);
}

function txOf(plan: Plan, { inputs, outputs, version, locktime }: Paper): Tx {
  return {
    version,
    inputs: inputs.map(({ coin, sequence }) => ({
      ...outpointBytes(outpointOf(plan, coin)),
      sequence,
    })),
    outputs: outputs.map(({ to, sats }) => ({ script: scriptOf(to), sats })),
    locktime,
  };
}

/** What the signers of the paper take the coin for: what WITNESS_UTXO says. */
function spentOf({ coins }: Plan, { coin, said }: Input): TxOutput {
  const known = coins.get(coin);
  if (known === undefined) throw new Error(`no coin ${coin}`);
  return { script: scriptOf(known.at), sats: said ?? known.sats };
}

function inputFields(plan: Plan, input: Input): readonly PsbtField[] {
  const coin = plan.coins.get(input.coin);
  if (coin === undefined) throw new Error(`no coin ${input.coin}`);
  const another = { ...coin, sats: coin.sats + 1n };
  const previous = previousTx(input.coin, input.previous === "another" ? another : coin);
  return [
    ...(input.previous === "none" ? [] : [field(IN.NON_WITNESS_UTXO, writeUnsignedTx(previous))]),
    ...(input.said === null
      ? []
      : [field(IN.WITNESS_UTXO, concat([u64(input.said), sized(scriptOf(coin.at))]))]),
    ...(input.sighash === null ? [] : [field(IN.SIGHASH_TYPE, u32(input.sighash))]),
    ...(isPlace(coin.at)
      ? speakInput(ownInput(TEST_VAULTS[coin.at.vault], scriptAt(coin.at)), input)
      : []),
  ];
}

function ownInput(vault: TestVault, script: VaultScript): readonly PsbtField[] {
  return [
    {
      type: IN.TAP_LEAF_SCRIPT,
      keyData: script.controlBlock,
      value: concat([script.leaf, u8(0xc0)]),
    },
    ...derivations(IN.TAP_BIP32_DERIVATION, vault, script),
    field(IN.TAP_INTERNAL_KEY, script.internalKey),
    field(IN.TAP_MERKLE_ROOT, script.merkleRoot),
  ];
}

/** Words that claim an output for the vault that the intent names. */
function ours({ intent }: Plan): readonly PsbtField[] {
  const vault = TEST_VAULTS[intent.vault];
  return derivations(OUT.TAP_BIP32_DERIVATION, vault, vault.scripts.at(1, 0)).slice(0, 1);
}

function ownOutput(vault: TestVault, script: VaultScript): readonly PsbtField[] {
  return [
    field(OUT.TAP_INTERNAL_KEY, script.internalKey),
    field(OUT.TAP_TREE, tapTree(script.leaf, script.exit?.leaf)),
    ...derivations(OUT.TAP_BIP32_DERIVATION, vault, script),
    ...exitDerivations(OUT.TAP_BIP32_DERIVATION, vault.vault, script),
  ];
}

function derivations(type: number, { vault }: TestVault, script: VaultScript) {
  const { branch, index, internalKey, leafHash } = script;
  const keys = script.keys.map(({ xOnly }, i) => {
    const origin = vault.holders[i]?.key.origin ?? { path: [], fingerprint: "00000000" };
    const path = [...origin.path, branch, index];
    return derivation(type, xOnly, {
      leafHashes: [leafHash],
      fingerprint: origin.fingerprint,
      path,
    });
  });
  const said = { leafHashes: [], fingerprint: "7c461e5d", path: [branch, index] };
  return [...keys, derivation(type, internalKey, said)];
}

function signatureField(
  { by, how }: Signature,
  { vault, script, sighash }: { vault: TestVault; script: VaultScript; sighash: Uint8Array },
): readonly PsbtField[] {
  const key = script.keys.find(({ role }) => role === by);
  const secret = vault.parties.get(by)?.secretAt(script.branch, script.index);
  if (key === undefined || secret === undefined) return [];
  const message = how === "other-tx" ? Uint8Array.from(sighash).fill(7, 0, 4) : sighash;
  const signature = Uint8Array.from(ecc.signSchnorr(message, secret));
  if (how === "broken") signature[10] = (signature[10] ?? 0) ^ 1;
  const value = how === "sighash-all" ? concat([signature, u8(1)]) : signature;
  const leafHash = how === "other-leaf" ? script.leafHash.map((byte) => byte ^ 1) : script.leafHash;
  const xOnly = how === "stranger" ? STRANGER : key.xOnly;
  return [{ type: IN.TAP_SCRIPT_SIG, keyData: concat([xOnly, leafHash]), value }];
}

/** The generator's x: a key of nobody here. */
const STRANGER = fromHex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");

function bareV2(tx: Tx): Maps {
  return {
    global: [
      field(GLOBAL.TX_VERSION, u32(tx.version)),
      field(GLOBAL.FALLBACK_LOCKTIME, u32(tx.locktime)),
      field(GLOBAL.INPUT_COUNT, size(tx.inputs.length)),
      field(GLOBAL.OUTPUT_COUNT, size(tx.outputs.length)),
      field(GLOBAL.VERSION, u32(2)),
    ],
    inputs: tx.inputs.map(({ txid, vout, sequence }) => [
      field(IN.PREVIOUS_TXID, txid),
      field(IN.OUTPUT_INDEX, u32(vout)),
      field(IN.SEQUENCE, u32(sequence)),
    ]),
    outputs: tx.outputs.map(({ sats, script }) => [
      field(OUT.AMOUNT, u64(sats)),
      field(OUT.SCRIPT, script),
    ]),
  };
}
