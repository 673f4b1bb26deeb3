/**
 * A vault as a device registers it: BIP388's name, template and key texts, byte for byte, and the id
 * that Ledger gives it (its doc/wallet.md, version 2), computed here and not taken from the client.
 */
import { sha256 } from "../../policies/bitcoin/hash.ts";
import { concat, size, sized, u8 } from "../../policies/bitcoin/wire.ts";
import type { Role, Vault } from "../../policies/vault.ts";
import { KeyError } from "../key-error.ts";

export interface WalletPolicy {
  readonly name: string;
  readonly template: string;
  readonly keys: readonly string[];
  /** 32 bytes. */
  readonly id: Uint8Array;
}

const WALLET_VERSION = 2;

export function walletPolicy({ document }: Vault): WalletPolicy {
  const { name, template, keys } = document.policy;
  const serialized = concat([
    u8(WALLET_VERSION),
    sized(ascii(name)),
    size(template.length),
    sha256(ascii(template)),
    size(keys.length),
    merkleRoot(keys.map((text) => sha256(concat([u8(0), ascii(text)])))),
  ]);
  return { name, template, keys, id: sha256(serialized) };
}

/** RFC 6962 over hashed leaves: the left half is the largest power of two below their number. */
function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves;
  if (only === undefined) throw new Error("BUG: a policy without keys");
  if (leaves.length === 1) return only;
  const half = 2 ** Math.ceil(Math.log2(leaves.length) - 1);
  const [left, right] = [leaves.slice(0, half), leaves.slice(half)].map(merkleRoot);
  return sha256(concat([u8(1), left ?? only, right ?? only]));
}

/** One page as a device shows it; long texts go over several pages there. */
export interface ScreenPage {
  readonly title: string;
  readonly text: string;
}

export interface PolicyPreview {
  /** Nano S Plus and Nano X. */
  readonly nano: readonly ScreenPage[];
  /** Flex and Stax. */
  readonly flex: readonly ScreenPage[];
  /** What to hold against the screen, one sentence a check. */
  readonly checks: readonly string[];
}

/** What the holder of `role` will see while the vault is registered (verified on app 2.4.6). */
export function previewOf(vault: Vault, role: Role): PolicyPreview {
  const own = vault.holders.findIndex((holder) => holder.role === role);
  if (own < 0) throw new KeyError("unknown-account", `the vault has no key of the ${role}`);
  const { name, template, keys } = vault.document.policy;
  const kindOf = (i: number) => (i === 0 ? "dummy" : i === own + 1 ? "own" : "other");
  const pages = (words: Wording) =>
    keys.map((text, i) => ({ title: `${words[kindOf(i)]}@${i}`, text }));
  const about = [
    { title: "Account name", text: name },
    { title: "Wallet policy", text: template },
  ];
  return {
    nano: [
      { title: "Review account", text: "to register" },
      ...about,
      { title: "Review co-signer", text: "public keys" },
      ...pages(NANO),
      { title: "Register account", text: "(or Reject operation, one page on)" },
    ],
    flex: [
      { title: "Review account", text: "to register" },
      ...about,
      ...pages(FLEX),
      { title: "Register account?", text: "Approve" },
    ],
    checks: [
      `the name is "${name}", letter by letter`,
      `the policy is ${template}: any two of three sign, the digit is 2`,
      "key @0 is called Dummy or Unspendable, never Our, Their, Internal or External",
      `exactly one key is called Our or Internal: @${own + 1}`,
      "each other key equals the one on the sheet that its holder has confirmed",
      "anything else: reject, and report it",
    ],
  };
}

type Wording = Readonly<Record<"dummy" | "own" | "other", string>>;
const NANO: Wording = { dummy: "Dummy key", own: "Our key", other: "Their key" };
const FLEX: Wording = { dummy: "Unspendable key", own: "Internal key", other: "External key" };

/** Names, templates and keys are ASCII: the vault's reader has seen to it. */
function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
