/** Policy ids by our own reckoning: those of the real app's recordings, and of Ledger's client. */
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import type { Vault } from "../../policies/vault.ts";
import { previewOf, walletPolicy } from "../../signer/ledger/wallet-policy.ts";
import { ledgerStand, vaultAround } from "../support/ledger-stand.ts";
import { EXIT_VAULT, TREASURY, USER_VAULT } from "../support/spend.ts";
import { describeVectors } from "../support/vectors.ts";

interface Recorded {
  readonly call: string;
  readonly args: {
    readonly name?: string;
    readonly descriptorTemplate?: string;
    readonly keys?: string[];
  };
  readonly result?: readonly [string, string];
}

describeVectors("an id of the real app", "ledger/app-2.4.6-user.json", (text) => {
  const { calls } = JSON.parse(text) as { calls: readonly Recorded[] };
  const registered = calls.filter(({ call, result }) => call === "registerWallet" && result);
  it.each(registered.map(({ args, result }) => [args.descriptorTemplate, args, result] as const))(
    "%s",
    (_, { name, descriptorTemplate: template, keys }, result) => {
      const document = { policy: { name, template, keys } };
      expect(hex(walletPolicy({ document } as unknown as Vault).id)).toBe(result?.[0]);
    },
  );
});

describe("an id of Ledger's client", () => {
  const { WalletPolicy } = createRequire(import.meta.url)("ledger-bitcoin") as {
    WalletPolicy: new (
      name: string,
      template: string,
      keys: readonly string[],
    ) => { getId(): Buffer };
  };

  it.each([
    ["a user's vault", USER_VAULT],
    ["a vault with an exit", EXIT_VAULT],
    ["a treasury", TREASURY],
  ])("of %s", (_, { vault }) => {
    const { name, template, keys, id } = walletPolicy(vault);
    expect(hex(id)).toBe(new WalletPolicy(name, template, keys).getId().toString("hex"));
  });
});

describe("what the device will show", () => {
  it("is what the emulated app then shows, page by page", async () => {
    const stand = ledgerStand();
    const { vault } = vaultAround(await stand.key.accountKey("0"), { exit: true });
    const shown: { title: string; text: string }[] = [];
    stand.decide = ({ kind, pages }) => {
      if (kind === "register") shown.push(...pages);
      return "approve";
    };
    await stand.register(vault);
    const { nano } = previewOf(vault, "lsp");
    const decision = nano.at(-1);
    expect(shown).toEqual(nano.slice(0, -1));
    expect(decision?.title).toBe("Register account");
    expect(stand.app.screens.flat()).toContain(decision?.title);
    await stand.close();
  });

  it("calls exactly one key the holder's own, on both kinds of screen", () => {
    const { nano, flex, checks } = previewOf(USER_VAULT.vault, "trustee");
    const titles = (pages: typeof nano) => pages.map(({ title }) => title);
    expect(titles(nano).filter((title) => title.startsWith("Our key"))).toHaveLength(1);
    expect(titles(nano).filter((title) => title.startsWith("Their key"))).toHaveLength(2);
    expect(titles(flex)).toContain("Unspendable key@0");
    expect(titles(flex).filter((title) => title.startsWith("Internal key"))).toHaveLength(1);
    expect(checks.join(" ")).toContain("anything else: reject");
    expect(() => previewOf(USER_VAULT.vault, "second-trustee")).toThrow("no key of the second");
  });
});
