import fc from "fast-check";
import { expect, it } from "vitest";
import { openFingerprints } from "../../orchestrator/accounts/fingerprints.ts";
import { sha256 } from "../../policies/bitcoin/hash.ts";

const keyOf = (n: number) => sha256(new TextEncoder().encode(`key ${n}`));

it("finds all that was put in, through every growth, and each once", () => {
  const prints = openFingerprints();
  for (let n = 0; n < 20_000; n += 1) prints.add(keyOf(n));
  for (let n = 0; n < 20_000; n += 1) prints.add(keyOf(n));
  expect(prints.size()).toBe(20_000);
  const found = (from: number) =>
    Array.from({ length: 20_000 }, (_, n) => prints.has(keyOf(from + n))).filter(Boolean).length;
  expect(found(0)).toBe(20_000);
  // Of strangers none: two with the same 64 bits are met once in 2^49 looks here.
  expect(found(20_000)).toBe(0);
  // Less than 30 bytes a key, so that a million take less than 30 MB.
  expect(prints.bytes()).toBeLessThan(20_000 * 30);
});

/** Few values of each byte, so that keys share shards, slots and words, zero among them. */
it("tells apart what differs in the first eight bytes, and nothing else", () => {
  const byte = fc.constantFrom(0, 1, 255);
  const key = fc.array(byte, { minLength: 9, maxLength: 9 }).map((head) => {
    const bytes = new Uint8Array(32);
    bytes.set(head);
    return bytes;
  });
  // The pair of zeros marks a free slot, so a key of zeros stands as another.
  const print = (bytes: Uint8Array) => {
    const text = bytes.subarray(0, 8).join();
    return text === "0,0,0,0,0,0,0,0" ? "0,0,0,0,0,0,0,1" : text;
  };
  fc.assert(
    fc.property(fc.array(key, { maxLength: 80 }), fc.array(key), (ours, others) => {
      const prints = openFingerprints();
      for (const one of ours) prints.add(one);
      const truth = new Set(ours.map(print));
      expect(prints.size()).toBe(truth.size);
      for (const one of [...ours, ...others]) expect(prints.has(one)).toBe(truth.has(print(one)));
    }),
  );
});
