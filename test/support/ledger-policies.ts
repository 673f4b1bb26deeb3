/** Seeds, account keys and policies for the tests of the emulator of Ledger's app. */
import { pbkdf2Sync } from "node:crypto";
import { hex } from "@scure/base";
import { HDKey } from "@scure/bip32";
import type { PolicyText } from "./ledger-host.ts";

/** Public words, of no value: each is one person's device. */
export const WORDS = {
  user: `${"abandon ".repeat(11)}about`,
  trustee: "legal winner thank year wave sausage worth useful legal winner thank yellow",
  lsp: "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
} as const;
export type Who = keyof typeof WORDS;

export const HARDENED = 0x80000000;

/** Version bytes of test networks. */
const VERSIONS = { private: 0x04358394, public: 0x043587cf };

/** BIP341's unspendable point. */
const UNSPENDABLE = "0250929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0";

export function rootOf(who: Who): HDKey {
  const seed = pbkdf2Sync(WORDS[who], "mnemonic", 2048, 64, "sha512");
  return HDKey.fromMasterSeed(seed, VERSIONS);
}

/** An account key as a policy names it, its origin before it. */
export function accountKey(who: Who, { path = "48'/1'/0'/2'" } = {}): string {
  const root = rootOf(who);
  const fingerprint = root.fingerprint.toString(16).padStart(8, "0");
  return `[${fingerprint}/${path}]${root.derive(`m/${path}`).publicExtendedKey}`;
}

/** The bare unspendable key; the chain code is of no weight to the device. */
export function unspendableKey(chainCode = 7): string {
  return new HDKey({
    versions: VERSIONS,
    chainCode: new Uint8Array(32).fill(chainCode),
    publicKey: hex.decode(UNSPENDABLE),
  }).publicExtendedKey;
}

export const MULTI: PolicyText = {
  name: "Ballast",
  template: "tr(@0/**,sortedmulti_a(2,@1/**,@2/**,@3/**))",
  keys: [unspendableKey(), accountKey("user"), accountKey("trustee"), accountKey("lsp")],
};

/** The user's exit beside the 2-of-3: the same key in two leaves. */
export const EXIT: PolicyText = {
  ...MULTI,
  name: "Ballast exit",
  template: "tr(@0/**,{sortedmulti_a(2,@1/**,@2/**,@3/**),and_v(v:pk(@1/<2;3>/*),older(26280))})",
};
