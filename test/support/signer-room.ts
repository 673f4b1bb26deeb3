/**
 * A signing room of a test's own: real journal, real software key, real curve workers, real guard.
 * Only three things are handed in that a test must hold in its hands: the clock, the coins on the
 * chain, and a key that counts how often it is asked (and may be bent to fail or to lie).
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { outpoint } from "../../policies/bitcoin/transaction.ts";
import type { Burial, ChainView, CoinStatus, VaultCoin } from "../../policies/chain-view.ts";
import { type PolicyDocument, readPolicy } from "../../policies/document/policy.ts";
import { writeIntent } from "../../policies/intent.ts";
import { possessionHash, possessionText } from "../../policies/possession.ts";
import { RECEIVE, type Role, type Vault } from "../../policies/vault.ts";
import type { CurvePool } from "../../signer/curve.ts";
import { type Guard, type GuardParts, guard } from "../../signer/guard.ts";
import { type Journal, openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";
import type { Chain } from "../../signer/node/chain.ts";
import type { Watch } from "../../signer/node/watch.ts";
import { openNotices } from "../../signer/notices.ts";
import type { SignerStatus } from "../../signer/service/wire.ts";
import type {
  Hears,
  Key,
  Registers,
  SignOutcome,
  SignRequest,
  VaultRegistration,
} from "../../signer/signer.ts";
import { openSoftwareKey } from "../../signer/software.ts";
import { openVaults, type Vaults } from "../../signer/vaults.ts";
import {
  type Draft,
  HEIGHT,
  NOW,
  POLICY,
  type Spend,
  type TestVault,
  USER_VAULT,
} from "./spend.ts";

export interface SignerRoom {
  readonly signer: Guard & Registers & Hears & { readonly vault: Vaults["byId"] };
  readonly status: () => SignerStatus;
  readonly key: WatchedKey;
  readonly journal: Journal;
  readonly vaults: Vaults;
  readonly chain: PaperChain;
  readonly clock: { now: number };
  readonly log: RoomLogLine[];
  readonly close: () => Promise<void>;
}

export interface RoomLogLine {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface RoomOptions {
  /** Where key and journal lie; what is there already is opened, what is not is made. */
  readonly folder: string;
  readonly curve: CurvePool;
  readonly policy?: PolicyDocument;
  /** Vaults to register; all have the LSP's key of the room's key file. */
  readonly vaults?: readonly TestVault[];
  readonly bend?: (parts: GuardParts) => GuardParts;
  readonly chain?: PaperChain;
  readonly watch?: Pick<Watch, "add">;
  readonly clock?: { now: number };
}

/** Opens the room of `USER_VAULT`'s LSP. Opened again on the same folder, it is a restart. */
export async function openRoom(options: RoomOptions): Promise<SignerRoom> {
  const { folder, curve, vaults: registered = [USER_VAULT] } = options;
  const policy = readPolicy(options.policy ?? POLICY);
  const file = join(folder, "journal.db");
  const at = { file, network: "regtest", role: "lsp" } as const;
  if (!existsSync(file)) createJournal(at);
  const journal = openJournal(at);
  const key = watch(openSoftwareKey({ file: lspKeyFile(folder), network: "regtest", curve }));
  const clock = options.clock ?? { now: NOW };
  const chain = options.chain ?? paperChain();
  const log: RoomLogLine[] = [];
  const watched = options.watch === undefined ? {} : { watch: options.watch };
  const vaults = openVaults({ journal, policy, key, now: () => clock.now, ...watched });
  for (const vault of registered) {
    const outcome = await vaults.register(registrationOf(vault));
    if (outcome.kind !== "registered") throw new Error(outcome.reasons.join("; "));
  }
  const parts: GuardParts = {
    name: "lsp under test",
    policy,
    key,
    journal,
    vaults,
    chain,
    curve,
    now: () => clock.now,
    log: (event, fields) => void log.push({ event, fields }),
  };
  const signer = guard(options.bend?.(parts) ?? parts);
  return {
    signer: {
      ...signer,
      accountKey: key.accountKey,
      registerVault: vaults.register,
      vault: vaults.byId,
      tell: openNotices({ ...parts, network: "regtest" }).tell,
    },
    status: () => ({
      name: signer.name,
      role: signer.role,
      custody: key.custody,
      policy: { name: policy.name, version: policy.version, hash: policy.hash },
      paused: journal.paused(),
      vaults: vaults.count(),
      claims: journal.counts().claims,
      decisions: journal.counts().decisions,
    }),
    key,
    journal,
    vaults,
    chain,
    clock,
    log,
    close: async () => {
      journal.close();
      await key.close();
    },
  };
}

/** A key file with the seed of `USER_VAULT`'s LSP, whose account `@scure/bip32` derived. */
export function lspKeyFile(
  folder: string,
  seed = "first/lsp",
  file = join(folder, `${seed.replace("/", "-")}.key.json`),
): string {
  if (!existsSync(file)) {
    const content = {
      format: "ballast/software-key@1",
      network: "regtest",
      seed: hex(sha256(new TextEncoder().encode(seed))),
      accounts: ["vault"],
    };
    writeFileSync(file, JSON.stringify(content), { mode: 0o600 });
  }
  return file;
}

export interface WatchedKey extends Key {
  /** How often a signature over a transaction was asked for. */
  readonly signed: () => number;
  /** How often a proof of possession was asked for. */
  readonly proven: () => number;
}

/** The key itself, counted. */
function watch(key: Key): WatchedKey {
  let signed = 0;
  let proven = 0;
  return {
    ...key,
    sign: (approval) => {
      signed += 1;
      return key.sign(approval);
    },
    provePossession: (account, text) => {
      proven += 1;
      return key.provePossession(account, text);
    },
    signed: () => signed,
    proven: () => proven,
  };
}

export interface PaperChain extends Chain {
  /** Lets the coins of a spend exist, ten blocks deep, with the amounts that it was built on. */
  readonly show: (...spends: readonly Pick<Draft, "tx" | "spent">[]) => void;
  readonly set: (outpoint: string, coin: CoinStatus) => void;
  /** By vault id: what the node watches; a test puts vaults in. */
  readonly vaults: Map<string, readonly VaultCoin[]>;
  /** By txid, with the block that holds the transaction. */
  readonly burials: Map<string, Burial & { readonly block: string }>;
  /** The node answers no more, or again. */
  gone: boolean;
  height: number;
  medianTime: number;
}

/** A chain of coins on paper; chain.test.ts holds its answers against a real node's. */
export function paperChain(): PaperChain {
  const coins = new Map<string, CoinStatus>();
  const chain: PaperChain = {
    vaults: new Map(),
    burials: new Map(),
    gone: false,
    height: HEIGHT,
    medianTime: NOW / 1000,
    set: (id, coin) => void coins.set(id, coin),
    show: (...spends) => {
      for (const { tx, spent } of spends) {
        tx.inputs.forEach((input, i) => {
          const output = spent[i];
          if (output === undefined) return;
          const script = hex(output.script);
          const place = { height: HEIGHT - 10, coinbase: false };
          coins.set(outpoint(input), { kind: "unspent", sats: output.sats, script, ...place });
        });
      }
    },
    view: async ({ outpoints, vaults = [], burials = [], blocks = [] }): Promise<ChainView> => {
      if (chain.gone) throw new BitcoindError("unreachable", "the node is gone");
      return {
        height: chain.height,
        tip: "00".repeat(32),
        medianTime: chain.medianTime,
        // Every block has this hash, on paper.
        blocks: new Map(
          blocks
            .filter((height) => height <= chain.height)
            .map((height) => [height, "0b".repeat(32)]),
        ),
        coins: new Map(outpoints.map((id) => [id, coins.get(id) ?? { kind: "missing" }])),
        vaults: new Map(
          vaults.flatMap(({ id }) => {
            const known = chain.vaults.get(id);
            return known === undefined ? [] : [[id, known]];
          }),
        ),
        burials: new Map(
          burials.flatMap(({ txid, block }) => {
            const known = chain.burials.get(txid);
            if (known?.block !== block) return [];
            return [[txid, { depth: known.depth, spends: known.spends }]];
          }),
        ),
      };
    },
    close: () => undefined,
  };
  return chain;
}

export function requestOf(
  spend: Pick<Spend, "intent" | "bytes"> & Partial<Pick<Spend, "evidence">>,
): SignRequest {
  const { evidence = null } = spend;
  const request = { intent: writeIntent(spend.intent), psbt: spend.bytes };
  return evidence === null ? request : { ...request, evidence };
}
/** The bytes of a signed outcome; anything else fails the test with its reasons. */
export function signedBytes(outcome: SignOutcome): Uint8Array {
  if (outcome.kind === "signed") return outcome.psbt;
  const reasons = outcome.violations.map(({ rule, detail }) => `${rule}: ${detail}`).join("; ");
  throw new Error(`${outcome.kind}: ${reasons}`);
}

/** Proofs of possession by all holders whose secrets the test has. */
export function registrationOf(vault: TestVault): VaultRegistration {
  const proofs: Partial<Record<Role, string>> = {};
  for (const role of vault.parties.keys()) proofs[role] = hex(proofOf(vault, role));
  return { vault: vault.vault.document, proofs };
}

/** What the holder of `role` answers when `vault` is to be registered. */
export function proofOf(by: TestVault, role: Role, about: Vault = by.vault): Uint8Array {
  const party = by.parties.get(role);
  if (party === undefined) throw new Error(`the test has no secret of the ${role}`);
  return ecc.signSchnorr(possessionHash(possessionText(about, role)), party.secretAt(RECEIVE, 0));
}

/** The error that a promise is rejected with; a fulfilled one fails the test. */
export async function faultOf(promise: Promise<unknown>): Promise<Error> {
  const outcome = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  if (outcome instanceof Error) return outcome;
  throw new Error(outcome === null ? "expected a fault, got an answer" : "no Error was thrown");
}
