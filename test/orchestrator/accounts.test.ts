import { describe, expect, it } from "vitest";
import { readVault } from "../../policies/vault.ts";
import { holder, proofOf } from "./holders.ts";
import { memoryChain } from "./memory-chain.ts";
import { moveIn, openWorld } from "./world.ts";

const user = holder("user", "ann");
const trustee = holder("trustee", "ann");
const request = { name: "ann", userKey: user.key, trusteeKey: trustee.key };

async function begun() {
  const world = openWorld(memoryChain());
  const outcome = await world.accounts.begin(request);
  if (outcome.kind === "refused") throw new Error(outcome.reasons.join());
  const vault = readVault(outcome.account.document);
  return { ...world, id: outcome.account.id, vault };
}

describe("registration", () => {
  it("begins and completes, and both again are the same", async () => {
    const { accounts, id, vault, store } = await begun();
    expect(await accounts.begin(request)).toMatchObject({ kind: "done", fresh: false });
    expect(await accounts.find(id)).toMatchObject({ state: "begun", address: null, proofs: null });
    const proofs = { user: proofOf(vault, user), trustee: proofOf(vault, trustee) };
    const opened = await accounts.complete(id, proofs);
    expect(opened).toMatchObject({ kind: "done", fresh: true, account: { state: "open" } });
    expect(await accounts.complete(id, proofs)).toMatchObject({ kind: "done", fresh: false });
    const account = await accounts.find(id);
    expect(Object.keys(account?.proofs ?? {}).sort()).toEqual(["lsp", "trustee", "user"]);
    expect(account?.address).toMatch(/^bcrt1p/);
    const { scripts } = await store.db
      .selectFrom("scripts")
      .select((eb) => eb.fn.countAll<bigint>().as("scripts"))
      .executeTakeFirstOrThrow();
    expect(scripts).toBe(40n);
  });

  it("opens once where two complete at the same moment", async () => {
    const { accounts, id, vault } = await begun();
    const proofs = { user: proofOf(vault, user), trustee: proofOf(vault, trustee) };
    const both = await Promise.all([accounts.complete(id, proofs), accounts.complete(id, proofs)]);
    const fresh = both.filter((outcome) => outcome?.kind === "done" && outcome.fresh);
    expect(fresh).toHaveLength(1);
  });

  it("does not open on another's proof", async () => {
    const { accounts, id, vault } = await begun();
    const own = proofOf(vault, user);
    const swapped = await accounts.complete(id, { user: proofOf(vault, trustee), trustee: own });
    expect(swapped).toMatchObject({ kind: "refused", code: "proof" });
    expect(swapped).toHaveProperty("reasons.length", 2);
    expect((await accounts.find(id))?.state).toBe("begun");
  });

  it.each([
    ["no key at all", { ...request, userKey: "tpub" }, "keys"],
    ["a trustee's key that is none", { ...request, trusteeKey: "xpub" }, "keys"],
    ["one key for two roles", { ...request, trusteeKey: user.key }, "keys"],
  ])("refuses %s", async (_, bad, code) => {
    const { accounts } = openWorld(memoryChain());
    expect(await accounts.begin(bad)).toMatchObject({ kind: "refused", code });
    expect(await accounts.list()).toEqual([]);
  });

  it("refuses a user key that is registered with other words", async () => {
    const { accounts } = await begun();
    const renamed = await accounts.begin({ ...request, name: "anna" });
    expect(renamed).toMatchObject({ kind: "refused", code: "conflict" });
  });

  it("has no account of an unknown id", async () => {
    const { accounts } = openWorld(memoryChain());
    const proofs = { user: "00".repeat(64), trustee: "00".repeat(64) };
    expect(await accounts.complete("a-0", proofs)).toBeNull();
    expect(await accounts.find("a-0")).toBeNull();
  });

  it("gives each person another vault", async () => {
    const world = openWorld(memoryChain());
    const ann = await moveIn(world, "ann");
    const bob = await moveIn(world, "bob");
    expect(ann.vault.vault.id).not.toBe(bob.vault.vault.id);
    expect(ann.address).not.toBe(bob.address);
  });
});
