/** Take an amendment that the quorum agrees to, bend one thing, expect one reason (attacks.md 111). */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import {
  type Amendment,
  amendmentText,
  verifyAmendment,
} from "../../policies/document/amendment.ts";
import { PolicyError, readPolicy } from "../../policies/document/policy.ts";
import type { Agreement } from "../../policies/document/quorum.ts";
import { readSignedPolicy, writeSignedPolicy } from "../../policies/document/signed-policy.ts";
import { POLICY } from "../support/spend.ts";

const SECRETS = [1, 2, 3, 4].map((n) => sha256(u32(n)));
const NAMES = ["ann", "ben", "cleo", "dora"];
const people = SECRETS.slice(0, 3).map((secret, i) => ({
  name: NAMES[i] ?? "",
  key: hex(secp256k1.getPublicKey(secret, true)),
}));
const IN_FORCE = { ...POLICY, version: 5, quorum: { approvals: 2, people } };
const TIGHTER = { ...IN_FORCE, version: 6, chain: { confirmations: 4 } };
const LOOSER = { ...IN_FORCE, version: 6, chain: { confirmations: 2 } };

function textOf(next: unknown, inForce: unknown = IN_FORCE): string {
  return amendmentText({ before: readPolicy(inForce), after: readPolicy(next) });
}

function agree(text: string, ...who: readonly number[]): readonly Agreement[] {
  return who.map((i) => ({
    person: NAMES[i] ?? "",
    signature: ecc.signSchnorr(textHash(text), SECRETS[i] ?? new Uint8Array()),
  }));
}

/** The honest amendment to `next`. */
function amends(next: unknown, inForce: unknown = IN_FORCE): Amendment {
  return { inForce, next, agreements: agree(textOf(next, inForce), 0, 2) };
}

function reasons(amendment: Amendment): readonly string[] {
  const outcome = verifyAmendment(amendment);
  return outcome.kind === "refused" ? outcome.reasons : [];
}

describe("an amendment", () => {
  it.each([
    ["tightening", TIGHTER],
    ["loosening", LOOSER],
    ["neutral", { ...IN_FORCE, version: 6, name: "lsp.second" }],
    ["loosening", { ...TIGHTER, fees: { ...POLICY.fees, sats: 100_001 } }],
  ])("that is %s is accepted as such", (direction, next) => {
    expect(verifyAmendment(amends(next))).toMatchObject({
      kind: "accepted",
      direction,
      people: ["ann", "cleo"],
      policy: { version: 6 },
    });
  });

  it("may skip versions, and loosens when it takes a person away", () => {
    const quorum = { approvals: 2, people: people.slice(0, 2) };
    expect(verifyAmendment(amends({ ...IN_FORCE, version: 9, quorum }))).toMatchObject({
      kind: "accepted",
      direction: "loosening",
    });
  });

  const honest = amends(TIGHTER);
  const text = textOf(TIGHTER);
  const stranger = { ...agree(text, 3)[0], person: "dora" } as Agreement;
  it.each<[string, Amendment, string]>([
    ["of an older version, signed", amends({ ...TIGHTER, version: 4 }), "older than 5"],
    ["of the same version with other content, signed", amends({ ...TIGHTER, version: 5 }), "other"],
    ["to the very same document, signed", amends(IN_FORCE), "in force already"],
    ["that nobody signed", { ...honest, agreements: [] }, "0 of 2 people agree"],
    ["that one signed", { ...honest, agreements: agree(text, 0) }, "1 of 2 people agree"],
    ["that one signed twice", { ...honest, agreements: agree(text, 0, 0) }, "signed twice"],
    ["that a stranger signed", { ...honest, agreements: [...agree(text, 0), stranger] }, "nobody"],
    [
      "that a stranger signed in another's name",
      { ...honest, agreements: [...agree(text, 0), { ...stranger, person: "ben" }] },
      "ben is not one of this text",
    ],
    [
      "signed for another document",
      { ...honest, agreements: agree(textOf(LOOSER), 0, 2) },
      "not one of this text",
    ],
    [
      "signed over another policy in force",
      { ...honest, agreements: agree(textOf(TIGHTER, { ...IN_FORCE, version: 4 }), 0, 2) },
      "not one of this text",
    ],
    [
      "to another network",
      amends({ ...TIGHTER, network: "signet" }),
      "network: regtest is for good",
    ],
    ["to another role", amends({ ...TIGHTER, role: "trustee" }), "role: lsp is for good"],
    ["of a law that names no quorum", amends(TIGHTER, { ...POLICY, version: 5 }), "no quorum"],
    ["that begins later", { ...honest, next: { ...TIGHTER, from: 1_900_000_000 } }, "from"],
    ["to a document with a typo", { ...honest, next: { ...TIGHTER, feez: {} } }, "feez"],
  ])("%s is refused", (_, amendment, reason) => {
    expect(reasons(amendment).join("; ")).toContain(reason);
  });

  it("is agreed to by the people in force, not by those whom it would bring", () => {
    const quorum = {
      approvals: 1,
      people: [
        { name: "dora", key: hex(secp256k1.getPublicKey(SECRETS[3] ?? new Uint8Array(), true)) },
      ],
    };
    const next = { ...TIGHTER, quorum };
    expect(reasons({ ...amends(next), agreements: agree(textOf(next), 3) })).toEqual([
      "the policy names nobody dora",
      "0 of 2 people agree",
    ]);
  });

  it("is told all that is wrong with it at once", () => {
    const next = { ...LOOSER, version: 4, role: "user" };
    expect(reasons({ ...amends(next), agreements: [] })).toHaveLength(3);
  });

  it("of a document in force that nobody can read is a fault", () => {
    expect(() => verifyAmendment({ ...honest, inForce: {} })).toThrow(PolicyError);
  });
});

describe("the text that people sign", () => {
  it("is one line of printable ASCII", () => {
    expect(text()).toMatch(/^Ballast policy 1 [\x20-\x7e]+$/);
  });

  it("is another for another document, name, version and policy in force", () => {
    const texts = [
      text(),
      text(LOOSER),
      text({ ...TIGHTER, name: "other" }),
      text({ ...TIGHTER, version: 7 }),
      text(TIGHTER, { ...IN_FORCE, version: 4 }),
    ];
    expect(new Set(texts).size).toBe(texts.length);
  });

  function text(next: unknown = TIGHTER, inForce: unknown = IN_FORCE): string {
    return textOf(next, inForce);
  }
});

describe("a signed policy file", () => {
  const { agreements } = amends(TIGHTER);
  const file = writeSignedPolicy({ document: TIGHTER, agreements });

  it("is read as it was written", () => {
    const read = readSignedPolicy(JSON.parse(JSON.stringify(file)));
    expect(read.policy.hash).toBe(readPolicy(TIGHTER).hash);
    expect(
      verifyAmendment({ inForce: IN_FORCE, next: read.document, agreements: read.agreements }).kind,
    ).toBe("accepted");
  });

  it("may be a policy document alone, signed by nobody", () => {
    expect(readSignedPolicy(TIGHTER).agreements).toEqual([]);
  });

  const [first] = file.agreements;
  it.each([
    ["an unknown key", { ...file, from: 1_900_000_000 }],
    ["nobody's agreement", { ...file, agreements: [] }],
    ["no list of agreements", { ...file, agreements: undefined }],
    ["an unknown key within", { ...file, agreements: [{ ...first, at: 1 }] }],
    ["a short signature", { ...file, agreements: [{ ...first, signature: "ab".repeat(63) }] }],
    ["a long signature", { ...file, agreements: [{ ...first, signature: "ab".repeat(66) }] }],
    [
      "a signature in capitals",
      { ...file, agreements: [{ ...first, signature: "AB".repeat(64) }] },
    ],
    ["a document that is none", { ...file, policy: { ...TIGHTER, feez: 1 } }],
    ["a signed policy within", { ...file, policy: file }],
    ["another format", { ...file, format: "ballast/signed-policy@2" }],
  ])("with %s is refused", (_, document) => {
    expect(() => readSignedPolicy(document)).toThrow(PolicyError);
  });
});
