/** The commands that read: fingerprint, extended key, address; and the registration of a policy. */
import { hex } from "@scure/base";
import { concatBytes } from "@scure/btc-signer/utils.js";
import { addressOf } from "./address.ts";
import { type Device, keyOf, soundKey } from "./device.ts";
import { isOwn } from "./key-information.ts";
import { outputScript } from "./output-script.ts";
import { type Policy, policyWithId, readPolicy } from "./policy.ts";
import { type Reader, reader } from "./reader.ts";
import { addressReview, type KeyLine, registerReview, xpubReview } from "./reviews.ts";
import { isNameAcceptable, isSane, keysNamed } from "./sanity.ts";
import { HARDENED, pathText } from "./seed.ts";
import { REGISTER_DETAIL, refuse, STATUS, StatusError } from "./status.ts";

/** BIP341's point that nobody has a key for. */
const UNSPENDABLE = "0250929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0";

/** Limits of the app (2.4.6). */
export const PATH_STEPS_MAX = 8;
const KEYS_MAX = 15;
const ACCOUNT_MAX = 100;
const DEFAULT_INDEX_MAX = 50_000;

export async function masterFingerprint({ seed }: Device): Promise<Uint8Array> {
  return hex.decode(seed.fingerprint.toString(16).padStart(8, "0"));
}

export async function extendedPublicKey(device: Device, data: Uint8Array): Promise<Uint8Array> {
  const from = reader(data);
  const display = from.u8();
  const steps = from.u8();
  if (display > 1 || steps > PATH_STEPS_MAX) refuse(STATUS.incorrectData);
  const path = readPath(from, steps);
  if (display === 0 && !isExportedSilently(path, device.network.coinType)) {
    refuse(STATUS.notSupported);
  }
  if (!isPathAllowed(path, device.network.coinType)) refuse(STATUS.notSupported);
  const xpub = device.seed.at(path).publicExtendedKey;
  if (display === 1) await device.confirm(xpubReview({ path: pathText(path), xpub }));
  return Buffer.from(xpub);
}

export async function registerWallet(device: Device, data: Uint8Array): Promise<Uint8Array> {
  const from = reader(data);
  from.varint();
  const policy = await readPolicy(device.ask, from.bytes(from.left));
  if (policy.keys.size > KEYS_MAX) refuse(STATUS.notSupported);
  if (keysNamed(policy.template) !== policy.keys.size) refuse(STATUS.incorrectData);
  if (!isNameAcceptable(policy.name)) refuse(STATUS.incorrectData, REGISTER_DETAIL.name);
  if (!(await isSane(device.ask, policy, device.network.versions))) {
    refuse(STATUS.notSupported, REGISTER_DETAIL.notSane);
  }
  const keys: KeyLine[] = [];
  for (let index = 0; index < policy.keys.size; index++) {
    keys.push(await keyLine(device, policy, index));
  }
  if (!keys.some(({ kind }) => kind === "Our")) {
    refuse(STATUS.incorrectData, REGISTER_DETAIL.noOwnKey);
  }
  await device.confirm(registerReview({ name: policy.name, template: policy.text, keys }));
  return concatBytes(policy.id, device.seed.registration(policy.id));
}

export async function walletAddress(device: Device, data: Uint8Array): Promise<Uint8Array> {
  const from = reader(data);
  const display = from.u8();
  const [id, hmac] = [from.bytes(32), from.bytes(32)];
  const change = from.u8();
  if (change > 1) refuse(STATUS.incorrectData);
  const index = from.u32();
  if (index >= HARDENED) refuse(STATUS.incorrectData);
  const policy = await policyWithId(device.ask, id);
  const isDefault = hmac.every((byte) => byte === 0);
  if (isDefault) {
    if (!(await isDefaultPolicy(device, policy))) refuse(STATUS.incorrectData);
    if (policy.name !== "" || index > DEFAULT_INDEX_MAX) refuse(STATUS.incorrectData);
  } else if (!device.seed.isRegistered(id, hmac)) {
    refuse(STATUS.badSignature);
  }
  const script = await outputScript(async (i) => (await soundKey(device, policy, i)).xpub, {
    template: policy.template,
    place: { change: change === 1, index },
  }).catch(badStateIfRefused);
  const address = addressOf(script, device.network) ?? refuse(STATUS.badState);
  if (display !== 0) {
    await device.confirm(addressReview({ address, account: isDefault ? null : policy.name }));
  }
  return Buffer.from(address);
}

/** The app does not expect a client to fail once the policy is proved. */
function badStateIfRefused(error: unknown): never {
  if (error instanceof StatusError) refuse(STATUS.badState);
  throw error;
}

/** A policy that needs no registration: one own key on the path that its kind of address has. */
export async function isDefaultPolicy(device: Device, policy: Policy): Promise<boolean> {
  const { template } = policy;
  if (template.kind === "wsh" || (template.kind === "tr" && template.tree !== null)) return false;
  const purpose = { pkh: 44, "sh-wpkh": 49, wpkh: 84, tr: 86 }[template.kind];
  if (policy.keys.size !== 1) return false;
  const key = await keyOf(device, policy, 0);
  if (key?.origin === undefined || key.origin === null || !isOwn(device.seed, key)) return false;
  const [first, coin, account, ...more] = key.origin.path;
  return (
    first === HARDENED + purpose &&
    coin === HARDENED + device.network.coinType &&
    account !== undefined &&
    account >= HARDENED &&
    account <= HARDENED + ACCOUNT_MAX &&
    more.length === 0
  );
}

export function readPath(from: Reader, steps: number): number[] {
  return Array.from({ length: steps }, () => from.u32());
}

/** The device's system derives for this app only below its coin; some old paths are excepted. */
export function isPathAllowed(path: readonly number[], coinType: number): boolean {
  const [first, second] = path;
  return second === HARDENED + coinType || first === HARDENED + 45 || first === HARDENED + 4541509;
}

async function keyLine(device: Device, policy: Policy, index: number): Promise<KeyLine> {
  const key = (await keyOf(device, policy, index)) ?? refuse(STATUS.incorrectData);
  const { text, xpub, origin } = key;
  if (hex.encode(xpub.publicKey ?? new Uint8Array()) === UNSPENDABLE)
    return { kind: "Dummy", text };
  const claimsOwn = origin !== null && origin.fingerprint === device.seed.fingerprint;
  if (claimsOwn && !isPathAllowed(origin.path, device.network.coinType))
    refuse(STATUS.notSupported);
  return { kind: isOwn(device.seed, key) ? "Our" : "Their", text };
}

/** Standard accounts leave the device without a question. */
function isExportedSilently(path: readonly number[], coinType: number): boolean {
  const [first = 0, second, third = 0, fourth = 0] = path;
  const purpose = first - HARDENED;
  if (purpose === 4541509) return path.length === 2 && second === HARDENED + 1112098098;
  const hardened = purpose === 48 ? 4 : 3;
  return (
    [44, 45, 48, 49, 84, 86].includes(purpose) &&
    path.length >= hardened &&
    path.every((step, i) => step >= HARDENED === i < hardened) &&
    second === HARDENED + coinType &&
    third - HARDENED <= ACCOUNT_MAX &&
    (purpose !== 48 || [1, 2].includes(fourth - HARDENED))
  );
}
