/** SIGN_MESSAGE: Bitcoin's old message signature, deterministic (RFC 6979). */

import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { hex } from "@scure/base";
import { concatBytes, sha256x2 } from "@scure/btc-signer/utils.js";
import { element } from "./client.ts";
import { isPathAllowed, PATH_STEPS_MAX, readPath } from "./commands.ts";
import type { Device } from "./device.ts";
import { reader, varint } from "./reader.ts";
import { messageReview } from "./reviews.ts";
import { pathText } from "./seed.ts";
import { refuse, STATUS } from "./status.ts";

const CHUNK = 64;
/** Longer messages, and those with other characters, are shown by their hash. */
const SHOWN_MAX = 10 * CHUNK;
const MAGIC = Buffer.from("\x18Bitcoin Signed Message:\n", "latin1");
/** First byte of a signature whose key is compressed. */
const HEADER = 27 + 4;

export async function signMessage(device: Device, data: Uint8Array): Promise<Uint8Array> {
  const from = reader(data);
  const steps = from.u8();
  if (steps > PATH_STEPS_MAX) refuse(STATUS.wrongLength);
  const path = readPath(from, steps);
  const length = from.varint();
  const root = from.bytes(32);
  if (length >= 2 ** 32) refuse(STATUS.incorrectData);
  const message = await fetchMessage(device, { root, length });
  const shown = /^[\x20-\x7e\n]*$/.test(latin1(message)) && length <= SHOWN_MAX;
  await device.confirm(
    messageReview({
      path: pathText(path),
      title: shown ? "Message" : "Message hash",
      text: shown ? latin1(message) : hex.encode(sha256(message)).toUpperCase(),
    }),
  );
  const { privateKey } = device.seed.at(path);
  if (!privateKey || !isPathAllowed(path, device.network.coinType)) return refuse(STATUS.badState);
  const digest = sha256x2(concatBytes(MAGIC, varint(length), message));
  const signature = secp256k1.sign(digest, privateKey, { prehash: false, format: "recovered" });
  const parity = (signature[0] ?? 0) & 1;
  return concatBytes(Uint8Array.of(HEADER + parity), signature.subarray(1));
}

async function fetchMessage(
  { ask }: Device,
  { root, length }: { readonly root: Uint8Array; readonly length: number },
): Promise<Uint8Array> {
  const list = { root, size: Math.ceil(length / CHUNK) };
  const chunks: Uint8Array[] = [];
  for (let index = 0; index < list.size; index++) {
    const chunk = await element(ask, list, { index, max: CHUNK });
    const whole = index === list.size - 1 ? length - CHUNK * index : CHUNK;
    if (chunk.length !== whole) refuse(STATUS.badState);
    chunks.push(chunk);
  }
  return concatBytes(...chunks);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
