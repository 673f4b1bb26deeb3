/** Reads the fields of a command or of a client's reply, in order. */
import { refuse, STATUS } from "./status.ts";

export interface Reader {
  u8(): number;
  u32(): number;
  bytes(length: number): Uint8Array;
  /** Bitcoin's compact size. */
  varint(): number;
  readonly left: number;
}

/** @throws StatusError with `shortage` when a field is not there. */
export function reader(data: Uint8Array, shortage: 0x6a87 | 0x6a80 = STATUS.wrongLength): Reader {
  let at = 0;
  const bytes = (length: number): Uint8Array => {
    if (at + length > data.length) refuse(shortage);
    at += length;
    return data.subarray(at - length, at);
  };
  const little = (length: number): number =>
    bytes(length).reduceRight((sum, byte) => sum * 256 + byte, 0);
  const u8 = (): number => little(1);
  return {
    u8,
    u32: () => bytes(4).reduce((sum, byte) => sum * 256 + byte, 0),
    bytes,
    varint: () => {
      const first = u8();
      if (first < 0xfd) return first;
      const value = little(2 ** (first - 0xfc));
      if (!Number.isSafeInteger(value)) refuse(shortage);
      return value;
    },
    get left() {
      return data.length - at;
    },
  };
}

/** Bitcoin's compact size. */
export function varint(value: number): Uint8Array {
  if (value < 0xfd) return Uint8Array.of(value);
  const [mark, length] = value <= 0xffff ? [0xfd, 2] : value <= 0xffffffff ? [0xfe, 4] : [0xff, 8];
  const bytes = [mark];
  for (let i = 0, rest = value; i < length; i++, rest = Math.floor(rest / 256)) {
    bytes.push(rest % 256);
  }
  return Uint8Array.from(bytes);
}

/** An unsigned number of four bytes, least significant first. */
export function little32(bytes: Uint8Array): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

/** An amount of eight bytes, least significant first. */
export function little64(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
}
