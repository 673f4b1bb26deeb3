/**
 * The scripts of a vault: at each branch and index its leaves, their tree, control blocks and keys, and
 * the tweaks by which a signer finds its secret.
 */
import * as ecc from "tiny-secp256k1";
import { AccountKeyError, childOf, childrenOf } from "./bitcoin/account-key.ts";
import { hex } from "./bitcoin/hash.ts";
import {
  branchHash,
  leafHashOf,
  multiLeaf,
  type TaprootOutput,
  taprootOutput,
  timelockLeaf,
} from "./bitcoin/taproot.ts";
import { compare, concat } from "./bitcoin/wire.ts";
import { exitBranch } from "./exit.ts";
import { type Branch, type Role, THRESHOLD, type Vault } from "./vault.ts";

/** One address of a vault with all that spending from it needs. */
export interface VaultScript extends TaprootOutput {
  readonly vault: string;
  readonly branch: Branch;
  readonly index: number;
  readonly internalKey: Uint8Array;
  /** The 2-of-3 leaf, which alone is signed here: its script and hash, and above its control block. */
  readonly leaf: Uint8Array;
  readonly leafHash: Uint8Array;
  readonly keys: readonly VaultScriptKey[];
  /** Over all leaves: with one, its hash. */
  readonly merkleRoot: Uint8Array;
  readonly exit: ExitLeaf | null;
}

/** The leaf beside the 2-of-3: told so that it is known where it is met. */
export interface ExitLeaf extends Pick<VaultScriptKey, "role" | "xOnly"> {
  /** Of the key, above its account. */
  readonly branch: number;
  readonly leaf: Uint8Array;
  readonly leafHash: Uint8Array;
  readonly controlBlock: Uint8Array;
}

export interface VaultScriptKey {
  readonly role: Role;
  /** Compressed account key in hex: how a signer finds its secret. */
  readonly account: string;
  /** 32 bytes, as it stands in the leaf. */
  readonly xOnly: Uint8Array;
  /** Sum mod n of the two BIP32 steps, to be added to the account's full secret key. */
  readonly tweak: Uint8Array;
}

/** Derives addresses of one vault; remembers the latest, a derivation costs about 0.7 ms. */
export interface VaultScripts {
  readonly vault: Vault;
  readonly at: (branch: Branch, index: number) => VaultScript;
}

/** Remembered scripts a vault: two of the largest spends, at 3 kB each. */
const SCRIPTS_MAX = 500;

export function vaultScripts(vault: Vault): VaultScripts {
  const remembered = new Map<string, VaultScript>();
  const branches = new Map<Branch, ReturnType<typeof branchOf>>();

  function at(branch: Branch, index: number): VaultScript {
    const id = `${branch}/${index}`;
    const known = remembered.get(id);
    if (known !== undefined) return known;
    const nodes = branches.get(branch) ?? branchOf(vault, branch);
    branches.set(branch, nodes);
    const script = derive(vault, nodes, branch, index);
    if (remembered.size >= SCRIPTS_MAX) {
      // A Map keeps its order, so the first key is the oldest.
      const oldest = remembered.keys().next().value;
      if (oldest !== undefined) remembered.delete(oldest);
    }
    remembered.set(id, script);
    return script;
  }

  return { vault, at };
}

function branchOf(vault: Vault, branch: Branch) {
  const user = vault.holders.find(({ role }) => role === "user");
  return {
    user:
      vault.exit === null || user === undefined
        ? null
        : childrenOf(childOf(user.key, exitBranch(branch))),
    internal: childrenOf(childOf(vault.internal, branch)),
    holders: vault.holders.map(({ role, key }) => {
      const node = childOf(key, branch);
      return { role, account: hex(key.publicKey), tweak: node.tweak, childAt: childrenOf(node) };
    }),
  };
}

function derive(
  vault: Vault,
  nodes: ReturnType<typeof branchOf>,
  branch: Branch,
  index: number,
): VaultScript {
  const internalKey = nodes.internal(index).publicKey.slice(1);
  const keys = nodes.holders.map(({ role, account, tweak: above, childAt }) => {
    const child = childAt(index);
    const tweak = ecc.privateAdd(above, child.tweak);
    if (tweak === null) throw new AccountKeyError(`path ${branch}/${index} cancels itself`);
    return { role, account, xOnly: child.publicKey.slice(1), tweak };
  });
  // BIP387 sortedmulti_a: the x-only keys of this index in lexicographic order.
  const sorted = keys.map(({ xOnly }) => xOnly).sort(compare);
  const leaf = multiLeaf(THRESHOLD, sorted);
  const leafHash = leafHashOf(leaf);
  const exit = exitLeafOf(vault, nodes, branch, index);
  const merkleRoot = exit === null ? leafHash : branchHash(leafHash, exit.leafHash);
  const beside = exit === null ? [] : [exit.leafHash];
  const output = taprootOutput(internalKey, merkleRoot, beside);
  return {
    vault: vault.id,
    branch,
    index,
    internalKey,
    leaf,
    leafHash,
    keys,
    merkleRoot,
    exit: exit && {
      ...exit,
      // Parity and internal key are the output's; only the way up differs.
      controlBlock: concat([output.controlBlock.subarray(0, 33), leafHash]),
    },
    ...output,
  };
}

function exitLeafOf(
  vault: Vault,
  { user }: ReturnType<typeof branchOf>,
  branch: Branch,
  index: number,
): Omit<ExitLeaf, "controlBlock"> | null {
  if (vault.exit === null || user === null) return null;
  const xOnly = user(index).publicKey.slice(1);
  const leaf = timelockLeaf(xOnly, vault.exit.blocks);
  return { role: "user", branch: exitBranch(branch), xOnly, leaf, leafHash: leafHashOf(leaf) };
}
