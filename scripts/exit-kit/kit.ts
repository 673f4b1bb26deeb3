/** The files of an exit kit, by name: what a person keeps to spend a vault without us. Pure. */
import { sized } from "../../policies/bitcoin/wire.ts";
import {
  descriptorOf,
  MULTI_TEMPLATE,
  RECEIVE,
  THRESHOLD,
  type Vault,
} from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import type { KnownCoins } from "./coins.ts";
import { addressAt, labelsOf } from "./labels.ts";
import { coinsInWords } from "./words.ts";

/** The two texts that are filled in for each vault, as they lie beside this file. */
export interface KitTexts {
  readonly script: string;
  /** README.md for a vault with an exit, and for one without. */
  readonly exitPage: string;
  readonly multiPage: string;
}

export interface KitFile {
  readonly text: string;
  readonly executable: boolean;
}

/** Nothing in it is secret, and all of it is private: it shows every address of the vault. */
export function exitKit(
  vault: Vault,
  coins: KnownCoins | null,
  texts: KitTexts,
): ReadonlyMap<string, KitFile> {
  const plain = (text: string): KitFile => ({ text, executable: false });
  const { name, template, keys } = vault.document.policy;
  return new Map([
    ["README.md", plain(pageOf(vault, coins, texts))],
    ["exit.sh", { text: scriptOf(vault, texts.script), executable: true }],
    ["descriptor.txt", plain(`${descriptorOf(vault)}\n`)],
    ["policy.json", plain(`${JSON.stringify({ name, template, keys }, null, 2)}\n`)],
    ["bsms.txt", plain(bsmsOf(vault))],
    ["labels.jsonl", plain(labelsOf(vault, coins))],
  ]);
}

/**
 * The descriptor record of BIP129's second round. A template's restrictions replace `/**` alone, so
 * a vault whose exit has branches of its own is written as a full descriptor.
 */
function bsmsOf(vault: Vault): string {
  const { template, keys } = vault.document.policy;
  const lines =
    template === MULTI_TEMPLATE
      ? [template.replace(/@([0-3])/g, (_, index: string) => `${keys[Number(index)]}`), "/0/*,/1/*"]
      : [descriptorOf(vault), "No path restrictions"];
  return `${["BSMS 1.0", ...lines, addressAt(vault, RECEIVE, 0)].join("\n")}\n`;
}

function scriptOf(vault: Vault, script: string): string {
  const weights = weightsOf(vault);
  const keys = vault.holders.map(({ role, key }) => `${role} ${key.text}`).join("\n");
  return filled(script, {
    NETWORK: quoted(vault.network),
    VAULT: quoted(vault.id),
    FIRST_ADDRESS: quoted(addressAt(vault, RECEIVE, 0)),
    EXIT_BLOCKS: String(vault.exit?.blocks ?? 0),
    ALONE_WEIGHT: String(weights.alone),
    TOGETHER_WEIGHT: String(weights.together),
    KEYS: quoted(keys),
  });
}

function pageOf(vault: Vault, coins: KnownCoins | null, texts: KitTexts): string {
  const holders = vault.holders.map(({ role, key }) => `- ${role}: \`${key.text}\``).join("\n");
  return filled(vault.exit === null ? texts.multiPage : texts.exitPage, {
    NAME: vault.document.policy.name,
    NETWORK: vault.network,
    VAULT: vault.id,
    FIRST_ADDRESS: addressAt(vault, RECEIVE, 0),
    EXIT_BLOCKS: String(vault.exit?.blocks ?? 0),
    HOLDERS: holders,
    COINS: coinsInWords(vault, coins),
  });
}

/** Every `@NAME@` of the text. A name that has no value is a fault of ours. */
function filled(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/@([A-Z_]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`BUG: the kit's text asks for ${name}`);
    return value;
  });
}

/** As one word of the shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Outpoint, empty script, sequence: 41 bytes that count four times (BIP141). */
const INPUT_WEIGHT = 4 * 41;
/** A Schnorr signature with its length. */
const SIGNATURE = 1 + 64;

/** Weight units of an input that the user alone signs, and of one that two sign. */
function weightsOf(vault: Vault): { readonly alone: number; readonly together: number } {
  const { leaf, controlBlock, exit } = vaultScripts(vault).at(RECEIVE, 0);
  const weight = (stack: number, script: Uint8Array, control: Uint8Array) =>
    INPUT_WEIGHT + 1 + stack + sized(script).length + sized(control).length;
  const missing = vault.holders.length - THRESHOLD;
  return {
    alone: exit === null ? 0 : weight(SIGNATURE, exit.leaf, exit.controlBlock),
    together: weight(THRESHOLD * SIGNATURE + missing, leaf, controlBlock),
  };
}
