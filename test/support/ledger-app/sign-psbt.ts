/** SIGN_PSBT: looks through the transaction, asks the person, signs what has a derivation. */
import { randomBytes } from "node:crypto";
import { schnorr } from "@noble/curves/secp256k1.js";
import { Script as Codec } from "@scure/btc-signer/script.js";
import { concatBytes, taprootTweakPrivKey } from "@scure/btc-signer/utils.js";
import { yieldResult } from "./client.ts";
import { isDefaultPolicy } from "./commands.ts";
import type { Device } from "./device.ts";
import { checkSorted, fixedValue, readCommitment, valueOf } from "./merkle-map.ts";
import { leafHash, leafScript, type Place, treeHash } from "./output-script.ts";
import { type OwnExpression, ownExpressions } from "./own-expression.ts";
import { policyWithId } from "./policy.ts";
import { little32, reader, varint } from "./reader.ts";
import { transactionReview, warningReview } from "./reviews.ts";
import { type Digest, readDigest } from "./sighash.ts";
import {
  type InputsView,
  inputMap,
  type OutputsView,
  paymentsOf,
  type Spend,
  sighashOf,
  viewInputs,
  viewOutputs,
  xpubs,
} from "./spend.ts";
import { refuse, SIGN_DETAIL, STATUS } from "./status.ts";
import { witnessUtxo } from "./utxo.ts";

/** Limits of the app (2.4.6). */
const INPUTS_MAX = 512;
const OUTPUTS_MAX = 512;
const GLOBAL = { version: 0x02, fallbackLocktime: 0x03 } as const;
/** Below this sum the fee is not compared with it. */
const HIGH_FEE_FROM_SATS = 100_000n;

export async function signPsbt(device: Device, data: Uint8Array): Promise<Uint8Array> {
  const spend = await readSpend(device, data);
  device.show(["Loading transaction"]);
  const inputs = await viewInputs(device, spend);
  const outputs = await viewOutputs(device, spend, inputs.totalSats);
  const digest = await readDigest(device, spend);
  await review(device, spend, { inputs, outputs });
  for (const expression of spend.own.filter(({ toSign }) => toSign)) {
    // The account key is fetched and verified once more before each round of signatures.
    const [account = 0] = expression.key.indexes;
    await xpubs(device, spend)(account);
    for (const index of inputs.ownInputs) {
      await signInput(device, spend, { expression, index, digest });
    }
  }
  device.show(["Transaction signed"]);
  return new Uint8Array();
}

async function readSpend(device: Device, data: Uint8Array): Promise<Spend> {
  const { ask } = device;
  const from = reader(data);
  const globals = readCommitment(from);
  const inputs = { size: from.varint(), root: from.bytes(32) };
  if (inputs.size > INPUTS_MAX) refuse(STATUS.notSupported);
  const outputs = { size: from.varint(), root: from.bytes(32) };
  if (outputs.size > OUTPUTS_MAX) refuse(STATUS.notSupported);
  const [id, hmac] = [from.bytes(32), from.bytes(32)];
  await checkSorted(ask, globals);
  const version = little32(await fixedValue(ask, globals, { key: GLOBAL.version, length: 4 }));
  const locktime = await valueOf(ask, globals, { key: GLOBAL.fallbackLocktime, max: 4 });
  const isDefault = hmac.every((byte) => byte === 0);
  if (!isDefault && !device.seed.isRegistered(id, hmac)) refuse(STATUS.badSignature);
  const policy = await policyWithId(ask, id);
  if (isDefault && !(await isDefaultPolicy(device, policy))) {
    refuse(STATUS.incorrectData, SIGN_DETAIL.missingHmac);
  }
  if (isDefault && policy.name !== "") refuse(STATUS.incorrectData, SIGN_DETAIL.nameOnDefault);
  // The other kinds of address have signatures of another kind, which this app does not make.
  if (policy.template.kind !== "tr") refuse(STATUS.notSupported);
  const own = await ownExpressions(device, policy);
  return {
    policy,
    isDefault,
    version,
    locktime: locktime === null ? 0 : little32(locktime),
    inputs,
    outputs,
    own,
  };
}

/** Warnings first, each by itself; then the transaction. */
async function review(
  device: Device,
  spend: Spend,
  { inputs, outputs }: { readonly inputs: InputsView; readonly outputs: OutputsView },
): Promise<void> {
  const feeSats = inputs.totalSats - outputs.totalSats;
  if (inputs.hasOddSighash) await device.confirm(warningReview("sighash"));
  if (inputs.ownInputs.size < spend.inputs.size) {
    await device.confirm(warningReview("externalInputs"));
  }
  await device.confirm(
    transactionReview({
      account: spend.isDefault ? null : spend.policy.name,
      payments: paymentsOf(device, outputs),
      feeSats,
      highFee: 10n * feeSats >= inputs.totalSats && inputs.totalSats > HIGH_FEE_FROM_SATS,
      ticker: device.network.ticker,
    }),
  );
}

async function signInput(
  device: Device,
  spend: Spend,
  { expression, index, digest }: { expression: OwnExpression; index: number; digest: Digest },
): Promise<void> {
  const input = await inputMap(device, spend, index);
  const place = input.place ?? refuse(STATUS.incorrectData);
  const asked =
    expression.leaf === null
      ? null
      : await leafScript(xpubs(device, spend), expression.leaf, place);
  const key = await signingKey(device, spend, { expression, place });
  const script = device.faults.signature === "other-leaf" ? ownLeaf(key) : asked;
  const sighash = await sighashOf(device, input);
  await witnessUtxo(device.ask, input.map);
  const message = await digest.sighash(index, { sighash, script, map: input.map });
  const leaf = script === null ? new Uint8Array() : leafHash(script);
  await handOver(device, { index, key, leaf, message, sighash });
}

/** A leaf that one signature satisfies; no policy of a vault has it. */
function ownLeaf(key: Uint8Array): Uint8Array {
  return Codec.encode([schnorr.getPublicKey(key), "CHECKSIG"]);
}

/** The private key of the place, tweaked where the key path is signed. */
async function signingKey(
  device: Device,
  spend: Spend,
  { expression, place }: { expression: OwnExpression; place: Place },
): Promise<Uint8Array> {
  const { key, path, leaf } = expression;
  const branch = key.branches[place.change ? 1 : 0];
  const child = device.seed.at([...path, branch]).deriveChild(place.index).privateKey;
  if (!child) return refuse(STATUS.badState);
  if (leaf !== null) return child;
  const { template } = spend.policy;
  const tree = template.kind === "tr" ? template.tree : null;
  const root = tree === null ? new Uint8Array() : await treeHash(xpubs(device, spend), tree, place);
  return taprootTweakPrivKey(child, root);
}

/** Signs and hands over the result, as the faults will have it. */
async function handOver(
  { ask, faults }: Device,
  signed: {
    readonly index: number;
    readonly key: Uint8Array;
    readonly leaf: Uint8Array;
    readonly message: Uint8Array;
    readonly sighash: number;
  },
): Promise<void> {
  const fault = faults.signature;
  if (fault === "none") return;
  const message =
    fault === "other-message" ? signed.message.map((byte) => byte ^ 1) : signed.message;
  const key = fault === "wrong-key" ? schnorr.utils.randomSecretKey() : signed.key;
  const signature = schnorr.sign(message, key, randomBytes(32));
  const bytes = fault === "short" ? signature.subarray(0, 63) : signature;
  const payload = concatBytes(
    varint(signed.index),
    Uint8Array.of(32 + signed.leaf.length),
    schnorr.getPublicKey(signed.key),
    signed.leaf,
    bytes,
    signed.sighash === 0 ? new Uint8Array() : Uint8Array.of(signed.sighash),
  );
  await yieldResult(ask, payload);
  if (fault === "twice") await yieldResult(ask, payload);
}
