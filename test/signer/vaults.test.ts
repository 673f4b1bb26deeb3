import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import { readPolicy } from "../../policies/document/policy.ts";
import { possessionHash, possessionLine, possessionText } from "../../policies/possession.ts";
import {
  composeVault,
  RECEIVE,
  type Role,
  readVault,
  type VaultDocument,
} from "../../policies/vault.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { KeyError } from "../../signer/key-error.ts";
import type { Key, VaultRegistration } from "../../signer/signer.ts";
import { openVaults } from "../../signer/vaults.ts";
import {
  openRoom,
  proofOf,
  type RoomOptions,
  registrationOf,
  requestOf,
  type SignerRoom,
} from "../support/signer-room.ts";
import { honest, NOW, POLICY, party, TREASURY, testVault, USER_VAULT } from "../support/spend.ts";

const curve = openCurvePool(1);
let folder = "";
const open: SignerRoom[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-vaults-"));
});
afterEach(async () => {
  for (const room of open.splice(0)) await room.close();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => curve.close());

async function room(options: Partial<RoomOptions> = {}): Promise<SignerRoom> {
  const opened = await openRoom({ folder, curve, vaults: [], ...options });
  open.push(opened);
  return opened;
}

const HONEST = registrationOf(USER_VAULT);
const proofs = (changed: VaultRegistration["proofs"]): VaultRegistration => ({
  ...HONEST,
  proofs: { ...HONEST.proofs, ...changed },
});
const document = (changed: Partial<VaultDocument>): VaultRegistration => ({
  ...HONEST,
  vault: { ...HONEST.vault, ...changed },
});
const named = (name: string): VaultRegistration =>
  document({ policy: { ...HONEST.vault.policy, name } });
const text = (role: Role) =>
  USER_VAULT.vault.holders.find((holder) => holder.role === role)?.key.text ?? "";
/** A vault of USER_VAULT's keys, but for some. */
const composed = (keys: Partial<Record<Role, string>>) =>
  readVault(
    composeVault({
      network: "regtest",
      kind: "user",
      name: "Ballast test",
      holders: (["user", "lsp", "trustee"] as const).map((role) => ({
        role,
        key: keys[role] ?? text(role),
      })),
    }),
  );

describe("a vault with proofs by all holders", () => {
  it("is registered, with a proof of the signer's own, and signed for from then on", async () => {
    const at = await room();
    const spend = honest();
    at.chain.show(spend);
    const before = await at.signer.sign(requestOf(spend));
    expect(before.kind === "signed" ? [] : before.violations.map(({ rule }) => rule)).toContain(
      "vault-registered",
    );
    const outcome = await at.vaults.register({ ...HONEST, proofs: { ...HONEST.proofs, lsp: "" } });
    expect(outcome).toMatchObject({ kind: "registered", vault: USER_VAULT.vault.id });
    expect((await at.signer.sign(requestOf(spend))).kind).toBe("signed");
  });

  it("is registered once, however often it is asked, and not forgotten by a restart", async () => {
    const at = await room();
    for (let times = 0; times < 3; times += 1) {
      expect((await at.vaults.register(HONEST)).kind).toBe("registered");
    }
    // What is registered already needs no new proof.
    expect((await at.vaults.register({ ...HONEST, proofs: {} })).kind).toBe("registered");
    expect(at.vaults.count()).toBe(1);
    const { document: stored } = at.vaults.byId(USER_VAULT.vault.id) ?? {};
    await at.close();
    open.pop();
    const again = await room();
    expect(again.vaults.count()).toBe(1);
    expect(again.vaults.byId(USER_VAULT.vault.id)?.document).toEqual(stored);
    expect(again.vaults.byId("00".repeat(20))).toBeNull();
  });

  it("is the house's own too, with its second trustee", async () => {
    const lsp = USER_VAULT.parties.get("lsp");
    const others = ["trustee", "second-trustee"] as const;
    const document = composeVault({
      network: "regtest",
      kind: "treasury",
      name: "House",
      holders: [
        { role: "lsp", key: lsp?.text ?? "" },
        ...others.map((role) => ({ role, key: TREASURY.parties.get(role)?.text ?? "" })),
      ],
    });
    const vault = readVault(document);
    const at = await room();
    const proofs = Object.fromEntries(
      others.map((role) => [role, hex(proofOf(TREASURY, role, vault))]),
    );
    expect((await at.vaults.register({ vault: document, proofs })).kind).toBe("registered");
  });
});

describe("a registration is refused, and nothing is stored:", () => {
  const elsewhere = testVault({ seed: "elsewhere" });
  const onSignet = readVault({ ...HONEST.vault, network: "signet" });
  const stranger = party("stranger");
  const own = composed({ lsp: stranger.text });
  const table: readonly [string, VaultRegistration, RegExp][] = [
    ["without proofs", { ...HONEST, proofs: {} }, /the user has not proven/],
    ["without the trustee's", { ...HONEST, proofs: { user: proof("user") } }, /trustee has not/],
    ["with an empty proof", proofs({ user: "" }), /user's proof/],
    ["with 64 zero bytes", proofs({ user: "00".repeat(64) }), /user's proof/],
    ["with a proof too short", proofs({ user: proof("user").slice(2) }), /user's proof/],
    ["with a proof too long", proofs({ user: `${proof("user")}00` }), /user's proof/],
    ["in upper case", proofs({ user: proof("user").toUpperCase() }), /user's proof/],
    ["with another holder's proof", proofs({ user: proof("trustee") }), /user's proof/],
    [
      "with both proofs swapped",
      proofs({ user: proof("trustee"), trustee: proof("user") }),
      /user/,
    ],
    [
      "with a proof by another key",
      proofs({ user: hex(proofOf(elsewhere, "user", USER_VAULT.vault)) }),
      /user's proof/,
    ],
    [
      "with a proof about another vault",
      proofs({ user: hex(proofOf(USER_VAULT, "user", elsewhere.vault)) }),
      /user's proof/,
    ],
    [
      "with a proof for another network",
      proofs({ user: hex(proofOf(USER_VAULT, "user", onSignet)) }),
      /user's proof/,
    ],
    ["with one bit flipped", proofs({ user: flipped(proof("user")) }), /user's proof/],
    [
      "on another network",
      { vault: onSignet.document, proofs: proofsAbout(onSignet) },
      /on regtest/,
    ],
    [
      "with the signer's key missing",
      { vault: own.document, proofs: proofsAbout(own) },
      /lsp's key/,
    ],
    ["of another house", registrationOf(elsewhere), /lsp's key/],
    [
      "of another template",
      document({ policy: { ...HONEST.vault.policy, template: "tr(@0/**)" } }),
      /template/,
    ],
    [
      "with a key too few",
      document({ policy: { ...HONEST.vault.policy, keys: HONEST.vault.policy.keys.slice(1) } }),
      /keys/,
    ],
    [
      "with roles that are not its kind's",
      document({ kind: "treasury" }),
      /treasury vault is held/,
    ],
  ];

  it.each(table)("%s", async (_, registration, reason) => {
    const at = await room();
    const outcome = await at.vaults.register(registration);
    expect(outcome.kind).toBe("refused");
    expect(outcome.kind === "refused" ? outcome.reasons.join("; ") : "").toMatch(reason);
    expect(at.vaults.count()).toBe(0);
    expect(at.key.signed()).toBe(0);
  });

  it("under another name than it is registered with, whatever proofs come with it", async () => {
    const at = await room();
    await at.vaults.register(HONEST);
    expect(await at.vaults.register(named("Another name"))).toMatchObject({
      kind: "refused",
      reasons: [expect.stringMatching(/another name or other holders/)],
    });
    expect(at.vaults.byId(USER_VAULT.vault.id)?.document.policy.name).toBe("Ballast test");
  });

  const exchanged = readVault({
    ...HONEST.vault,
    holders: HONEST.vault.holders.map((role) =>
      role === "user" ? "trustee" : role === "trustee" ? "user" : role,
    ) as unknown as VaultDocument["holders"],
  });

  it("with its holders' roles exchanged, for proofs bind the role", async () => {
    const { user = "", trustee = "" } = HONEST.proofs;
    const swapped = { user: trustee, trustee: user };
    const at = await room();
    for (const proofs of [swapped, HONEST.proofs]) {
      const outcome = await at.vaults.register({ vault: exchanged.document, proofs });
      expect(outcome.kind).toBe("refused");
    }
    expect(at.vaults.count()).toBe(0);
  });

  /**
   * One script would have two readings: under the second, the trustee's signature is the user's,
   * and "user-signs-first" is kept by the wrong person. Only both holders together can prove it.
   */
  it("of keys that are registered with other holders", async () => {
    const at = await room();
    expect((await at.vaults.register(HONEST)).kind).toBe("registered");
    const sign = (role: "user" | "trustee", as: "user" | "trustee") => {
      const secret = USER_VAULT.parties.get(role)?.secretAt(RECEIVE, 0);
      if (secret === undefined) throw new Error("the test has all secrets");
      return hex(ecc.signSchnorr(possessionHash(possessionText(exchanged, as)), secret));
    };
    const proofs = { user: sign("trustee", "user"), trustee: sign("user", "trustee") };
    const outcome = await at.vaults.register({ vault: exchanged.document, proofs });
    expect(outcome.kind).toBe("refused");
  });

  /** tiny-secp256k1 throws where r or s is above the group order; the server would say 500. */
  it("with a proof out of range", async () => {
    const at = await room();
    expect((await at.vaults.register(proofs({ user: "ff".repeat(64) }))).kind).toBe("refused");
  });

  /** Invariant 7: a refused request makes no call to a vault key. */
  it("without asking the key", async () => {
    const at = await room();
    expect((await at.vaults.register({ ...HONEST, proofs: {} })).kind).toBe("refused");
    expect(at.key.proven()).toBe(0);
  });
});

/** Both find no such vault, both are judged, one is stored: the other must not hear "registered". */
it("two registrations at once under two names", async () => {
  const at = await room();
  const outcomes = await Promise.all([
    at.vaults.register(HONEST),
    at.vaults.register(named("Another name")),
  ]);
  expect(at.vaults.count()).toBe(1);
  expect(outcomes.map(({ kind }) => kind).sort()).toEqual(["refused", "registered"]);
});

function proof(role: Role): string {
  return HONEST.proofs[role] ?? "";
}

function flipped(proof: string): string {
  return `${proof.slice(0, -1)}${(Number.parseInt(proof.slice(-1), 16) ^ 1).toString(16)}`;
}

function proofsAbout(vault: ReturnType<typeof readVault>): VaultRegistration["proofs"] {
  return {
    user: hex(proofOf(USER_VAULT, "user", vault)),
    trustee: hex(proofOf(USER_VAULT, "trustee", vault)),
  };
}

const LINE = possessionLine(possessionText(USER_VAULT.vault, "lsp"));

describe("the signer's own proof, given instead of asked for", () => {
  const own = HONEST.vault;
  const lsp = (about = USER_VAULT) => hex(proofOf(USER_VAULT, "lsp", about.vault));
  /** As a device: it says what it owns without asking anybody, and a person proves, or says no. */
  async function registered(given: string, isOwn: boolean) {
    const { journal } = await room();
    let asked = 0;
    const key: Key = {
      ...{ name: "a device", custody: "of a test", sign: never, accountKey: never },
      owns: async () => isOwn,
      provePossession: async () => {
        asked += 1;
        throw new KeyError("unknown-account", "it has no such key");
      },
      close: async () => undefined,
    };
    const vaults = openVaults({ journal, policy: readPolicy(POLICY), key, now: () => NOW });
    const outcome = await vaults.register({ vault: own, proofs: { ...HONEST.proofs, lsp: given } });
    return [outcome.kind, asked, vaults.count()];
  }
  const never = () => Promise.reject(new Error("not asked for in this test"));

  it("is enough where the device has the key, and nobody is asked", async () => {
    expect(await registered(lsp(), true)).toEqual(["registered", 0, 1]);
  });

  it("is not where the device has another: a vault without the own key is none", async () => {
    expect(await registered(lsp(), false)).toEqual(["refused", 1, 0]);
  });

  const message = `Ballast approval 1 regtest intent=${"00".repeat(32)}`;
  it.each([
    ["another vault's", lsp(testVault({ seed: "second" }))],
    ["the user's", hex(proofOf(USER_VAULT, "user"))],
    ["words of another kind", hex(ecc.signSchnorr(textHash(message), lspSecret()))],
    ["the line, as software signs lines", hex(ecc.signSchnorr(textHash(LINE), lspSecret()))],
    ["none", "00".repeat(64)],
  ])("is not where it is %s: the key is asked", async (_, given) => {
    expect(await registered(given, true)).toEqual(["refused", 1, 0]);
  });
});

function lspSecret(): Uint8Array {
  return USER_VAULT.parties.get("lsp")?.secretAt(RECEIVE, 0) ?? new Uint8Array(32);
}
