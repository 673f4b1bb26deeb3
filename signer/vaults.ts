/**
 * The vaults that this signer has checked and registered: the only ones it signs for. The table
 * lies in the journal's file, this file alone writes it.
 */
import { fromHex, hex } from "../policies/bitcoin/hash.ts";
import type { Policy } from "../policies/document/policy.ts";
import { POSSESSION_PROOF, possessionText, provesPossession } from "../policies/possession.ts";
import { readVault, type Vault, VaultError } from "../policies/vault.ts";
import type { Journal } from "./journal.ts";
import { KeyError } from "./key-error.ts";
import type { Watch } from "./node/watch.ts";
import type { Key, RegisterOutcome, VaultRegistration } from "./signer.ts";

export interface Vaults {
  readonly byId: (id: string) => Vault | null;
  readonly register: (registration: VaultRegistration) => Promise<RegisterOutcome>;
  readonly count: () => number;
  /** In the order of their registration. */
  readonly all: () => readonly Vault[];
}

export interface VaultsOptions {
  readonly journal: Journal;
  readonly policy: Policy;
  readonly key: Key;
  readonly now: () => number;
  /** Told of every registered vault, so that the node knows its coins before anyone asks. */
  readonly watch?: Pick<Watch, "add">;
}

/** Parsed vaults kept in memory; parsing one costs about a millisecond. */
const REMEMBERED_MAX = 10_000;

export function openVaults({ journal, policy, key, now, watch }: VaultsOptions): Vaults {
  const select = journal.database.prepare<[string], { document: string }>(
    "SELECT document FROM vaults WHERE id = ?",
  );
  const sameKeys = journal.database.prepare<[string], { document: string }>(
    "SELECT document FROM vaults WHERE keys = ?",
  );
  const insert = journal.database.prepare(
    "INSERT INTO vaults VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
  );
  const counted = journal.database.prepare<[], { count: bigint }>(
    "SELECT count(*) AS count FROM vaults",
  );
  const ids = journal.database.prepare<[], { id: string }>(
    "SELECT id FROM vaults ORDER BY registered_at, id",
  );
  const remembered = new Map<string, Vault>();

  function byId(id: string): Vault | null {
    const known = remembered.get(id);
    if (known !== undefined) return known;
    const row = select.get(id);
    if (row === undefined) return null;
    const vault = readVault(JSON.parse(row.document));
    if (remembered.size >= REMEMBERED_MAX) remembered.clear();
    remembered.set(id, vault);
    return vault;
  }

  function objections(vault: Vault, proofs: VaultRegistration["proofs"]): readonly string[] {
    const known = sameKeys.get(keysOf(vault));
    return [
      ...(vault.network === policy.network ? [] : [`this signer is on ${policy.network}`]),
      ...(known === undefined
        ? missingProofs(vault, policy, proofs)
        : otherDocument(known.document, vault)),
    ];
  }

  async function register({
    vault: document,
    proofs,
  }: VaultRegistration): Promise<RegisterOutcome> {
    const vault = readOrReasons(document);
    if (Array.isArray(vault)) return { kind: "refused", reasons: vault };
    // The key is asked only when nothing else speaks against the vault (invariant 7).
    const reasons = objections(vault, proofs);
    if (reasons.length > 0) return { kind: "refused", reasons };
    const own = await ownProof(vault, policy, { key, given: proofs[policy.role] });
    if (own.kind === "none") return { kind: "refused", reasons: [own.reason] };
    insert.run(vault.id, keysOf(vault), JSON.stringify(vault.document), now());
    // Somebody else may have registered the same keys while our own was asked.
    const lost = otherDocument(sameKeys.get(keysOf(vault))?.document ?? "", vault);
    if (lost.length > 0) return { kind: "refused", reasons: lost };
    // Not waited for: a rescan takes its time, and the first question about the vault sees to it too.
    void watch?.add([vault]);
    return { kind: "registered", vault: vault.id, proof: hex(own.proof) };
  }

  return {
    byId,
    register,
    count: () => Number(counted.get()?.count ?? 0n),
    all: () => ids.all().flatMap(({ id }) => byId(id) ?? []),
  };
}

function readOrReasons(document: unknown): Vault | string[] {
  try {
    return readVault(document);
  } catch (error) {
    if (error instanceof VaultError) return [...error.reasons];
    throw error;
  }
}

function missingProofs(
  vault: Vault,
  policy: Policy,
  proofs: VaultRegistration["proofs"],
): readonly string[] {
  return vault.holders
    .filter(({ role }) => role !== policy.role)
    .flatMap(({ role }) => {
      const proof = proofs[role];
      if (proof === undefined) return [`the ${role} has not proven possession of the key`];
      const valid = POSSESSION_PROOF.test(proof) && provesPossession(vault, role, fromHex(proof));
      return valid ? [] : [`the ${role}'s proof of possession does not verify`];
    });
}

type OwnProof =
  | { readonly kind: "proof"; readonly proof: Uint8Array }
  | { readonly kind: "none"; readonly reason: string };

/** The signer finds its own key in the policy by using it: what works now works for a spend. */
async function ownProof(
  vault: Vault,
  policy: Policy,
  { key, given }: { readonly key: Key; readonly given: string | undefined },
): Promise<OwnProof> {
  const none = (reason: string): OwnProof => ({ kind: "none", reason });
  const own = vault.holders.find(({ role }) => role === policy.role);
  if (own === undefined) return none(`the vault has no key of the ${policy.role}`);
  try {
    if (given !== undefined && POSSESSION_PROOF.test(given) && (await key.owns?.(own.key))) {
      const proof = fromHex(given);
      if (provesPossession(vault, policy.role, proof)) return { kind: "proof", proof };
    }
    const account = hex(own.key.publicKey);
    const proof = await key.provePossession(account, possessionText(vault, policy.role));
    if (provesPossession(vault, policy.role, proof)) return { kind: "proof", proof };
  } catch (error) {
    if (!(error instanceof KeyError) || error.code !== "unknown-account") throw error;
  }
  return none(`the ${policy.role}'s key in this vault is not one that this signer holds`);
}

/** What decides the addresses. */
function keysOf({ network, document }: Vault): string {
  return JSON.stringify([network, document.policy.template, ...document.policy.keys]);
}

function otherDocument(known: string, vault: Vault): readonly string[] {
  const same = known === JSON.stringify(vault.document);
  return same ? [] : ["these keys are registered with another name or other holders"];
}
