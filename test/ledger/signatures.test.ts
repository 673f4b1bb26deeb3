/** An honest answer of a device, bent in one thing each: nothing of it leaves. */
import { describe, expect, it } from "vitest";
import { checkedSignatures } from "../../signer/ledger/signatures.ts";
import { approvalOf, vaultAround } from "../support/ledger-stand.ts";
import { honest, party, signTweaked } from "../support/spend.ts";

const OWN = party("ledger/own");
const VAULT = vaultAround(OWN.text, { exit: true });
const SPEND = honest({ from: VAULT, coins: 2 });
const { inputs: APPROVED } = approvalOf(SPEND);

type Given = Parameters<typeof checkedSignatures>[0][number];
const HONEST: readonly Given[] = APPROVED.map(({ input, xOnly, leafHash, sighash, tweak }) => [
  input,
  {
    pubkey: Buffer.from(xOnly),
    signature: Buffer.from(signTweaked(OWN, tweak, sighash)),
    tapleafHash: Buffer.from(leafHash),
  },
]);
const [FIRST, SECOND] = HONEST;
if (FIRST === undefined || SECOND === undefined) throw new Error("two inputs were approved");
const exit = SPEND.coins[0]?.script.exit?.leafHash ?? new Uint8Array();
const withFirst = (part: Partial<Given[1]>): readonly Given[] => [
  [FIRST[0], { ...FIRST[1], ...part }],
  SECOND,
];

describe("an answer", () => {
  it("that is honest passes, in the approval's order whatever its own", () => {
    const made = checkedSignatures([SECOND, FIRST], APPROVED);
    expect(made.map(({ input }) => input)).toEqual([0, 1]);
    expect(Buffer.from(made[0]?.signature ?? [])).toEqual(FIRST[1].signature);
  });

  it.each<[string, readonly Given[], string]>([
    ["is empty", [], "gave no signature"],
    ["lacks an input", [FIRST], "no signature for input 1"],
    ["has one input twice", [FIRST, FIRST, SECOND], "2 signatures for input 0"],
    ["has an input too many", [...HONEST, [2, FIRST[1]]], "input 2, never approved"],
    [
      "has a signature of the exit leaf, too",
      [...HONEST, [0, { ...FIRST[1], tapleafHash: Buffer.from(exit) }]],
      "2 signatures for input 0",
    ],
    ["is for another leaf", withFirst({ tapleafHash: Buffer.from(exit) }), "another leaf"],
    [
      "is for the key path",
      [[0, { pubkey: FIRST[1].pubkey, signature: FIRST[1].signature }], SECOND],
      "key path",
    ],
    ["is by another key", withFirst({ pubkey: SECOND[1].pubkey }), "another key"],
    [
      "has 65 bytes, the last SIGHASH_ALL",
      withFirst({ signature: Buffer.concat([FIRST[1].signature, Buffer.of(1)]) }),
      "65 bytes",
    ],
    ["has 63 bytes", withFirst({ signature: FIRST[1].signature.subarray(1) }), "63 bytes"],
    ["is another input's", withFirst({ signature: SECOND[1].signature }), "does not verify"],
  ])("that %s does not", (_, given, words) => {
    expect(() => checkedSignatures(given, APPROVED)).toThrow(words);
  });
});
