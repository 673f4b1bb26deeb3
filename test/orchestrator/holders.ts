/** Holders of a vault with software keys that truly sign, and an LSP made of one of them. */
import { HDKey } from "@scure/bip32";
import * as ecc from "tiny-secp256k1";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { type Psbt, readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { IN, withFields } from "../../policies/bitcoin/psbt-fields.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import { spendFacts } from "../../policies/facts.ts";
import { possessionHash, possessionKey, possessionText } from "../../policies/possession.ts";
import { composeVault, type Role, readVault, type Vault } from "../../policies/vault.ts";
import { type VaultScripts, vaultScripts } from "../../policies/vault-scripts.ts";
import type {
  Hears,
  NoticeOutcome,
  Registers,
  Signer,
  SignOutcome,
  Words,
} from "../../signer/signer.ts";

export interface Holder {
  readonly role: Role;
  /** Key information with origin. */
  readonly key: string;
  readonly secret: Uint8Array;
}

/** The account key of a seed made of words: the same words are the same key. */
export function holder(role: Role, words: string): Holder {
  const versions = { private: 0x04358394, public: 0x043587cf };
  const master = HDKey.fromMasterSeed(
    sha256(new TextEncoder().encode(`${role} ${words}`)),
    versions,
  );
  const account = master.derive("m/48'/1'/0'/2'");
  if (account.privateKey === null) throw new Error("a derived account has its secret");
  const fingerprint = master.fingerprint.toString(16).padStart(8, "0");
  return {
    role,
    key: `[${fingerprint}/48'/1'/0'/2']${account.publicExtendedKey}`,
    secret: account.privateKey,
  };
}

export interface Household {
  readonly user: Holder;
  readonly lsp: Holder;
  readonly trustee: Holder;
  readonly vault: VaultScripts;
}

export function household(words: string): Household {
  const user = holder("user", words);
  const lsp = holder("lsp", words);
  const trustee = holder("trustee", words);
  const document = composeVault({
    network: "regtest",
    kind: "user",
    name: "Ballast test",
    holders: [user, lsp, trustee],
  });
  return { user, lsp, trustee, vault: vaultScripts(readVault(document)) };
}

/** The PSBT with this holder's signature on every input of the vault. */
export function signWith(psbt: Psbt, vault: VaultScripts, { role, secret }: Holder): Psbt {
  const facts = spendFacts(psbt, [vault]);
  return {
    ...psbt,
    inputs: psbt.inputs.map((map, i) => {
      const signing = facts.inputs[i]?.signing;
      const key = signing?.keys.find((candidate) => candidate.role === role);
      if (signing === null || signing === undefined || key === undefined) return map;
      const child = ecc.privateAdd(secret, key.tweak);
      if (child === null) throw new Error("tweak cancels the key");
      return withFields(map, [
        {
          type: IN.TAP_SCRIPT_SIG,
          keyData: concat([key.xOnly, signing.leafHash]),
          value: ecc.signSchnorr(signing.sighash, child),
        },
      ]);
    }),
  };
}

/** Proof of possession in hex. */
export function proofOf(vault: Vault, { role, secret }: Holder): string {
  const account = vault.holders.find((candidate) => candidate.role === role);
  if (account === undefined) throw new Error(`no ${role} in the vault`);
  const child = ecc.privateAdd(secret, possessionKey(account.key).tweak);
  if (child === null) throw new Error("tweak cancels the key");
  return hex(ecc.signSchnorr(possessionHash(possessionText(vault, role)), child));
}

export interface SoftwareLsp extends Signer, Registers, Hears {
  /** What it answers instead of signing, until it is empty. */
  readonly answers: (SignOutcome | Error)[];
  readonly asked: () => number;
  /** What it was told, and what it says to that until it is empty. */
  readonly told: readonly Words[];
  readonly hears: (NoticeOutcome | Error)[];
}

/** An LSP that signs for every vault it is shown, unless told to answer otherwise. */
export function softwareLsp(words: string): SoftwareLsp {
  const vaults = new Map<string, VaultScripts>();
  const holders = new Map<string, Holder>();
  const answers: (SignOutcome | Error)[] = [];
  const told: Words[] = [];
  const hears: (NoticeOutcome | Error)[] = [];
  let asked = 0;
  return {
    told,
    hears,
    async tell(words) {
      told.push(words);
      const answer = hears.shift();
      if (answer instanceof Error) throw answer;
      return answer ?? { kind: "heard", notice: "stop", height: 1 };
    },
    name: "software lsp",
    role: "lsp",
    answers,
    asked: () => asked,
    async accountKey(label) {
      const own = holder("lsp", `${words} ${label}`);
      holders.set(own.key, own);
      return own.key;
    },
    async registerVault({ vault: document }) {
      const vault = readVault(document);
      vaults.set(vault.id, vaultScripts(vault));
      const own = vault.holders.find(({ role }) => role === "lsp");
      const signing = holders.get(own?.key.text ?? "");
      if (signing === undefined) return { kind: "refused", reasons: ["not my key"] };
      return { kind: "registered", vault: vault.id, proof: proofOf(vault, signing) };
    },
    async sign({ intent, psbt }) {
      asked += 1;
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      if (answer !== undefined) return answer;
      const vault = vaults.get(intent.vault);
      const own = vault?.vault.holders.find(({ role }) => role === "lsp");
      const signing = holders.get(own?.key.text ?? "");
      if (vault === undefined || signing === undefined) throw new Error("unknown vault");
      const signed = signWith(readPsbt(psbt), vault, signing);
      return { kind: "signed", psbt: writePsbt(signed), rules: ["not-paused"] };
    },
  };
}
