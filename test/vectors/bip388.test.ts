import { expect, it } from "vitest";
import { MULTI_TEMPLATE, readVault, VaultError } from "../../policies/vault.ts";
import { USER_VAULT } from "../support/spend.ts";
import { describeVectors } from "../support/vectors.ts";

/** A vault has one template. Whatever else BIP388 knows, valid or not, is no vault. */
describeVectors("BIP388: wallet policies", "bip388.json", (text) => {
  const vectors: {
    readonly valid: readonly { readonly name: string; readonly template: string }[];
    readonly invalid: readonly { readonly reason: string; readonly template: string }[];
  } = JSON.parse(text);

  it("takes its own template", () => {
    expect(readVault(vaultWith(MULTI_TEMPLATE)).id).toBe(USER_VAULT.vault.id);
  });

  for (const { name, template } of vectors.valid) {
    it(`refuses a valid policy that is no vault: ${name}`, () => {
      expect(() => readVault(vaultWith(template))).toThrow(VaultError);
    });
  }

  for (const { reason, template } of vectors.invalid) {
    it(`refuses ${template}: ${reason}`, () => {
      expect(() => readVault(vaultWith(template))).toThrow(VaultError);
    });
  }
});

function vaultWith(template: string): unknown {
  const { document } = USER_VAULT.vault;
  return { ...document, policy: { ...document.policy, template } };
}
