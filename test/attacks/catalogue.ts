/**
 * The attack catalogue as rows: the number, what the attacker does, and which bends of which rules do
 * it. A row names a bend by the beginning of its words, so that a bend that is gone fails the build
 * of the table, not silently the proof.
 */
import type { RuleId } from "../../policies/rules.ts";
import { type BentSpend, bends } from "../policies/bends.ts";

export interface Attack {
  readonly number: number;
  readonly what: string;
  readonly by: readonly { readonly rule: RuleId; readonly bend: BentSpend }[];
}

function attack(
  number: number,
  what: string,
  ...by: readonly (readonly [RuleId, ...string[]])[]
): Attack {
  return {
    number,
    what,
    by: by.flatMap(([rule, ...names]) =>
      (names.length === 0 ? [""] : names).flatMap((name) => {
        const found = bends[rule].filter((bend) => bend.what.startsWith(name));
        if (found.length === 0) throw new Error(`attack ${number}: ${rule} has no bend "${name}"`);
        return found.map((bend) => ({ rule, bend }));
      }),
    ),
  };
}

export const attacks: readonly Attack[] = [
  attack(1, "an output claims our keys and pays another address", [
    "derivation-honest",
    "a payment that claims to be ours",
  ]),
  attack(2, "change to a weaker leaf of our keys", ["outputs-as-intended", "a payment that the"]),
  attack(3, "change with one cosigner's key swapped", [
    "derivation-honest",
    "a key that the vault does not have",
  ]),
  attack(4, "change under the attacker's internal key", [
    "internal-key",
    "another internal key of the change",
  ]),
  attack(6, "an honest tree shown for another script", ["tap-tree-honest"]),
  attack(
    8,
    "change far away, off its branch, or scattered: a ransom",
    ["change-findable", "far away", "beyond the gap"],
    ["change-to-change"],
    ["change-once"],
  ),
  attack(9, "paths too long, too short, hardened", [
    "derivation-honest",
    "a step more",
    "a step less",
    "a hardened index",
  ]),
  attack(11, "paying back to the address spent from", ["no-address-reuse"]),
  attack(
    12,
    "many payments, each below the limit",
    ["spend-limit", "many payments"],
    ["outputs-as-intended", "a payment that the"],
  ),
  attack(13, "another payee, whatever its spelling", ["outputs-as-intended", "another payee"]),
  attack(
    14,
    "another network, or an address of another party",
    ["network-agrees"],
    ["destination-allowed"],
  ),
  attack(15, "data outputs", ["destination-known", "a data output"]),
  attack(16, "scripts that are anyone's to take", ["destination-known"]),
  attack(18, "amounts beyond all bitcoin", ["amounts-in-range"]),
  attack(19, "outputs above inputs", ["fee-not-negative"]),
  attack(
    20,
    "fees: absolute, rate, share, budget",
    ["fee-absolute"],
    ["fee-rate", "too high"],
    ["fee-share"],
    ["fee-budget"],
  ),
  attack(21, "a fee rate on a lying weight", ["fee-rate", "padding"]),
  attack(24, "no WITNESS_UTXO", ["utxo-present"]),
  attack(25, "two stories about one coin", ["utxo-consistent"]),
  attack(26, "a previous transaction that is another", ["utxo-consistent", "the previous"]),
  attack(27, "an amount or script that the node does not have", ["coins-as-declared"]),
  attack(28, "an input of an older script type", ["inputs-of-the-vault", "an input of a script"]),
  attack(29, "a foreign input", ["inputs-of-the-vault"]),
  attack(31, "one coin twice", ["inputs-distinct"]),
  attack(32, "the right fingerprint on a wrong key or path", ["derivation-honest", "another"]),
  attack(34, "leaf hashes that lie", ["derivation-honest", "a leaf that"]),
  attack(35, "coins unconfirmed, spent, or unknown", ["coins-confirmed"], ["chain-view-present"]),
  attack(36, "a deposit on a far index raises no change gap", ["change-findable"]),
  attack(37, "an immature coinbase", ["coins-confirmed", "a coinbase"]),
  attack(38, "inputs finished already", ["nothing-but-cosigning"]),
  attack(39, "a cosigner's signature that is none", ["signatures-valid"]),
  attack(41, "an input under another internal key", [
    "internal-key",
    "another internal key of an input",
  ]),
  attack(45, "a key-path signature", ["nothing-but-cosigning"]),
  attack(46, "another Merkle root", ["merkle-root"]),
  attack(47, "a leaf that the control block does not commit to", ["leaf-bytes", "an attacker"]),
  attack(48, "a control block of another key, parity or length", ["control-block"]),
  attack(49, "another leaf version", ["leaf-version"]),
  attack(51, "a leaf that only reads alike", ["leaf-bytes", "PUSHDATA1", "GREATER", "a trailing"]),
  attack(52, "OP_SUCCESS in a leaf", ["leaf-bytes", "an OP_SUCCESS"]),
  attack(53, "1-of-3, or the keys in another order", ["leaf-bytes", "1-of-3", "the keys in"]),
  attack(
    54,
    "a leaf that is not this purpose's",
    ["leaf-bytes", "an attacker", "no script", "the vault's own exit"],
    ["derivation-honest", "a path to the exit key"],
    ["signatures-valid", "the exit key's signature"],
  ),
  attack(58, "sighash NONE, SINGLE, ANYONECANPAY, undefined", ["sighash-default"]),
  attack(59, "sighash ALL where the policy says DEFAULT", ["sighash-default", "type 0x1"]),
  attack(60, "another sighash on one input", ["sighash-default", "type 0x2"]),
  attack(62, "SINGLE without an output beside it", ["sighash-default", "type 0x3"]),
  attack(66, "MuSig2 fields", ["nothing-but-cosigning"]),
  attack(69, "nLockTime stale, far ahead, or a time", ["locktime-recent"]),
  attack(71, "a relative lock", ["sequence-replaceable"]),
  attack(72, "a replacement of the same intent", ["one-transaction-an-intent"]),
  attack(74, "a coin signed away for another intent", ["coins-unclaimed"]),
  attack(75, "one intent, another PSBT", ["one-transaction-an-intent"], ["outputs-as-intended"]),
  attack(76, "a coin that is unspent again after a reorg", ["coins-unclaimed"]),
  attack(77, "transaction version 0, 1, 3", ["tx-version"]),
  attack(78, "more inputs or outputs than a person reviews", ["size-within-caps"]),
  attack(80, "a sweep under a withdrawal's label, or the house's coins", ["purpose-fits"]),
  attack(101, "the clock stepped back or forward", ["window-limit", "a clock", "the clock"]),
  attack(104, "the edge of a window", ["window-limit", "the blocks", "with what left"]),
  attack(123, "a spend while the kill switch is pulled", ["not-paused"]),
  attack(124, "a purpose that the policy is silent about", ["purpose-allowed"]),
];
