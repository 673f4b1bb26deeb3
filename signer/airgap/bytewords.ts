/**
 * Bytewords in their minimal form (BCR-2020-012): two letters a byte, the first and the last of its
 * word, and a CRC-32 of the whole at the end.
 */
import { crc32 } from "node:zlib";
import { concat, equal } from "../../policies/bitcoin/wire.ts";
import { AirgapError } from "./airgap-error.ts";

/** Lower case letters. */
export function writeBytewords(bytes: Uint8Array): string {
  return [...concat([bytes, crcBytes(bytes)])].map((byte) => PAIRS[byte]).join("");
}

/** Throws an AirgapError where letters are wrong, missing or swapped. */
export function readBytewords(text: string): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(text.length / 2));
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = BYTES.get(text.slice(2 * i, 2 * i + 2));
    if (byte === undefined) {
      throw new AirgapError("bad-part", "a UR code has letters that are no bytewords");
    }
    bytes[i] = byte;
  }
  const body = bytes.subarray(0, -CRC_BYTES);
  if (bytes.length <= CRC_BYTES || !equal(bytes.subarray(-CRC_BYTES), crcBytes(body))) {
    throw new AirgapError("bad-part", "a UR code's checksum is wrong: scan it again");
  }
  return body;
}

/** CRC-32 (ISO 3309), big-endian. */
function crcBytes(bytes: Uint8Array): Uint8Array {
  const crc = new Uint8Array(CRC_BYTES);
  new DataView(crc.buffer).setUint32(0, crc32(bytes), false);
  return crc;
}

const CRC_BYTES = 4;

/** First and last letter of each word, from able (0x00) to zoom (0xff). */
const LETTERS = [
  "aeadaoaxaaahamatayasbkbdbnbtbabsbebybgbwbbbzcmchcscfcycwcecackct",
  "cxclcpcndkdadsdidedtdrdndwdpdmdldyeheyeoeeecenemetesftfrfnfsfmfh",
  "fzfpfwfxfyfefgflfdgagegrgsgtglgwgdgygmgughgohfhghdhkhthphhhlhyhe",
  "hnhsidiaieihiyioisinimjejzjnjtjljojsjpjkjykpkoktkskkknkgkekikblb",
  "lalylflslrlplnltloldlelulklgmnmymhmemomumwmdmtmsmknlnyndnsntnnne",
  "nboyoeotoxonolospdptpkpypspmplpepfpaprqdqzrerprlrorhrdrkrfryrnrs",
  "rtsesasrssskswstspsosgsbsfsntotktitttdtetytltbtstptatnuyuoutueur",
  "vtvyvovlvevwvavdvswlwdwmwpwewywswtwnwzwfwkykynylyaytzszoztzczezm",
].join("");

const PAIRS: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  LETTERS.slice(2 * byte, 2 * byte + 2),
);

const BYTES: ReadonlyMap<string, number> = new Map(PAIRS.map((pair, byte) => [pair, byte]));
