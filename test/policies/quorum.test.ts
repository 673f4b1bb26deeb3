import { secp256k1 } from "@noble/curves/secp256k1.js";
import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { fromHex, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { messageHash, signsText, textHash } from "../../policies/bitcoin/message.ts";
import { concat, u32 } from "../../policies/bitcoin/wire.ts";
import { PolicyError, readPolicy } from "../../policies/document/policy.ts";
import { type Agreement, quorumOf, resumeText } from "../../policies/document/quorum.ts";
import { POLICY } from "../support/spend.ts";

const SECRETS = [1, 2, 3, 4].map((n) => sha256(u32(n)));
const KEYS = SECRETS.map((secret) => secp256k1.getPublicKey(secret, true));
const NAMES = ["ann", "ben", "cleo"];
const quorum = {
  approvals: 2,
  people: NAMES.map((name, i) => ({ name, key: KEYS[i] ?? new Uint8Array() })),
};
const TEXT = resumeText({ network: "regtest", role: "lsp", policy: "ab".repeat(32), pause: 1 });

function bip340(person: number, text = TEXT): Uint8Array {
  return ecc.signSchnorr(textHash(text), SECRETS[person] ?? new Uint8Array());
}

/** As a wallet signs a message: by another library, header first. */
function message(person: number, text = TEXT): Uint8Array {
  const made = secp256k1.sign(messageHash(text), SECRETS[person] ?? new Uint8Array(), {
    prehash: false,
    format: "recovered",
  });
  return concat([Uint8Array.of(31 + (made[0] ?? 0)), made.subarray(1)]);
}

function agrees(person: number, signature = bip340(person)): Agreement {
  return { person: NAMES[person] ?? "dora", signature };
}

describe("a text", () => {
  const key = KEYS[0] ?? new Uint8Array();
  it("has the hash that wallets give it", () => {
    // Computed by hand: double SHA256 of the magic, the length, the text.
    const bytes = concat([
      new TextEncoder().encode("\u0018Bitcoin Signed Message:\n"),
      Uint8Array.of(5),
      new TextEncoder().encode("hello"),
    ]);
    expect(hex(messageHash("hello"))).toBe(hex(sha256(sha256(bytes))));
  });

  it("is signed in both ways", () => {
    expect([signsText(TEXT, bip340(0), key), signsText(TEXT, message(0), key)]).toEqual([
      true,
      true,
    ]);
  });

  it.each([
    ["nothing", new Uint8Array(0)],
    ["a signature of another text", message(0, `${TEXT} `)],
    ["a BIP340 signature of another text", bip340(0, `${TEXT} `)],
    ["another person's message", message(1)],
    ["another person's BIP340", bip340(1)],
    ["a header for an uncompressed key", Uint8Array.from(message(0)).fill(27, 0, 1)],
    ["a header for a SegWit address", Uint8Array.from(message(0)).fill(39, 0, 1)],
    ["r of zero", Uint8Array.from(message(0)).fill(0, 1, 33)],
    ["s out of range", Uint8Array.from(message(0)).fill(0xff, 33)],
    ["a byte too many", concat([message(0), Uint8Array.of(0)])],
  ])("is not signed by %s", (_, signature) => {
    expect(signsText(TEXT, signature, key)).toBe(false);
  });
});

describe("a quorum", () => {
  it("agrees by two of three, in either way", () => {
    expect(quorumOf(TEXT, [agrees(0), agrees(2, message(2))], quorum)).toEqual({
      kind: "agreed",
      people: ["ann", "cleo"],
    });
  });

  it.each([
    ["nobody", []],
    ["one", [agrees(0)]],
    ["one twice", [agrees(0), agrees(0)]],
    ["one in two ways", [agrees(0), agrees(0, message(0))]],
    ["one and a stranger", [agrees(0), agrees(3)]],
    ["two and a stranger", [agrees(0), agrees(1), agrees(3)]],
    ["one under two names", [agrees(0), { person: "ben", signature: bip340(0) }]],
    ["two, one of another text", [agrees(0), agrees(1, bip340(1, "other"))]],
  ])("does not agree by %s", (_, agreements) => {
    expect(quorumOf(TEXT, agreements, quorum).kind).toBe("refused");
  });

  it("that the policy does not name never agrees", () => {
    expect(quorumOf(TEXT, [agrees(0), agrees(1)], null).kind).toBe("refused");
  });

  it("signs another text for another network, role, policy and pause", () => {
    const base = { network: "regtest", role: "lsp", policy: "ab".repeat(32), pause: 1 } as const;
    const texts = [
      base,
      { ...base, network: "bitcoin" as const },
      { ...base, role: "trustee" as const },
      { ...base, policy: "cd".repeat(32) },
      { ...base, pause: 2 },
    ].map(resumeText);
    expect(new Set(texts).size).toBe(texts.length);
  });
});

describe("the quorum of a policy", () => {
  const people = quorum.people.map(({ name, key }) => ({ name, key: hex(key) }));
  const read = (document: unknown) => readPolicy({ ...POLICY, quorum: document });

  it("is read, up to everybody", () => {
    expect(read({ approvals: 3, people }).quorum?.approvals).toBe(3);
    expect(readPolicy(POLICY).quorum).toBeNull();
  });

  it.each([
    ["more approvals than people", { approvals: 4, people }],
    ["no approval", { approvals: 0, people }],
    ["nobody", { approvals: 1, people: [] }],
    [
      "a name twice",
      { approvals: 1, people: [...people, { ...people[0], key: hex(KEYS[3] ?? fromHex("")) }] },
    ],
    ["a key twice", { approvals: 1, people: [...people, { ...people[0], name: "dora" }] }],
    [
      "a key twice, its sign turned",
      {
        approvals: 1,
        people: [
          ...people,
          {
            name: "dora",
            key: `${people[0]?.key.startsWith("02") ? "03" : "02"}${people[0]?.key.slice(2)}`,
          },
        ],
      },
    ],
    [
      "a key that is no point",
      { approvals: 1, people: [{ name: "ann", key: `02${"ff".repeat(32)}` }] },
    ],
    ["a key without its sign", { approvals: 1, people: [{ name: "ann", key: "ab".repeat(32) }] }],
    ["an unknown key", { approvals: 1, people, more: 1 }],
  ])("is not read with %s", (_, document) => {
    expect(() => read(document)).toThrow(PolicyError);
  });
});
