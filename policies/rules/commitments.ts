/** What a PSBT says of keys, leaves and trees, and what a signature would commit to. */
import { SIGHASH_DEFAULT } from "../bitcoin/sighash.ts";
import type { InputFacts } from "../facts.ts";
import { goesWithoutUser } from "../without-user.ts";
import { lies } from "./lies.ts";
import { each, no, type Rule } from "./rule.ts";

/** Opts into replacement, and no relative lock can delay the spend (BIP68, BIP125). */
const SEQUENCE = 0xfffffffd;

const TX_VERSION = 2;

/** From here on a locktime is a time (BIP65). */
const LOCKTIME_THRESHOLD = 500_000_000;
/** No chain is this high before the year 2100. */
const HEIGHT_MAX = 5_000_000;

const BURDEN_WORDS: Readonly<Record<InputFacts["burdens"][number], string>> = {
  final: "a final script or witness already",
  "key-path-signature": "a key-path signature, which no vault has",
  legacy: "fields of another script type",
  musig: "MuSig2 fields",
  "hash-preimage": "a hash preimage",
};

export const commitmentRules = {
  "internal-key": {
    why: "Another internal key is another owner, who could spend alone.",
    answers: [4, 41],
    check: lies("internal-key"),
  },
  "merkle-root": {
    why: "Another root commits to other leaves.",
    answers: [46],
    check: lies("merkle-root"),
  },
  "leaf-bytes": {
    why: "A leaf that reads alike may ask for less; only the derived bytes will do.",
    answers: [47, 51, 52, 53, 54],
    check: lies("leaf"),
  },
  "leaf-version": {
    why: "Other leaf versions are not encumbered today: anyone could spend.",
    answers: [49],
    check: lies("leaf-version"),
  },
  "control-block": {
    why: "A control block that does not commit to the leaf proves nothing.",
    answers: [47, 48],
    check: lies("control-block"),
  },
  "derivation-honest": {
    why: "Fingerprints are trivial to spoof: each key must be the vault's, with its whole path.",
    answers: [1, 9, 32, 34],
    check: lies("derivation"),
  },
  "tap-tree-honest": {
    why: "A tree shown for an output must be the tree that the output commits to.",
    answers: [6],
    check: lies("tap-tree"),
  },
  "sighash-default": {
    why: "Any other type signs less than the whole transaction, or grows the signature.",
    answers: [58, 59, 60, 62],
    check: ({ facts }) =>
      each(facts.inputs, ({ sighashType }, i) =>
        sighashType === null || sighashType === SIGHASH_DEFAULT
          ? []
          : no(`input ${i} asks for sighash type 0x${sighashType.toString(16)}`),
      ),
  },
  "nothing-but-cosigning": {
    why: "Finished inputs, key-path signatures, scripts of other kinds and MuSig2 have no place here.",
    answers: [38, 45, 66],
    check: ({ facts }) =>
      each(facts.inputs, ({ burdens }, i) =>
        burdens.flatMap((burden) => no(`input ${i} carries ${BURDEN_WORDS[burden]}`)),
      ),
  },
  "signatures-valid": {
    why: "A signature that does not verify is damage or an attack; none is added beside it.",
    answers: [39, 63],
    check: ({ facts }) =>
      each(facts.inputs, ({ signatures }, i) =>
        signatures.flatMap(({ valid, detail }) => (valid ? [] : no(`input ${i}: ${detail}`))),
      ),
  },
  "user-signs-first": {
    why: "Any two keys finish the leaf: LSP and trustee sign a user's coins only after the user.",
    answers: [],
    check: (spend) => {
      const { facts, policy } = spend;
      if (policy.role === "user" || goesWithoutUser(spend)) return [];
      return each(facts.inputs, ({ coin, signatures }, i) => {
        if (coin === null || coin.kind !== "user") return [];
        const signed = signatures.some(({ role, valid }) => role === "user" && valid);
        return signed ? [] : no(`input ${i} has no valid signature of the user`);
      });
    },
  },
  "tx-version": {
    why: "Version 2 is what relative locks and the node's relay rules are known for.",
    answers: [77],
    check: ({ facts }) =>
      facts.version === TX_VERSION
        ? []
        : no(`transaction version is ${facts.version}, not ${TX_VERSION}`),
  },
  "sequence-replaceable": {
    why: "A relative lock would delay the spend; a final sequence would forbid a fee bump.",
    answers: [71],
    check: ({ facts }) =>
      each(facts.inputs, ({ sequence }, i) =>
        sequence === SEQUENCE ? [] : no(`input ${i} has sequence 0x${sequence.toString(16)}`),
      ),
  },
  "locktime-recent": {
    why: "nLockTime dates the spend without a clock: a stale or postponed PSBT is not signed.",
    answers: [69, 101],
    check: ({ facts: { locktime, locktimeDetermined }, policy, history, chain }) => {
      if (!locktimeDetermined) return no("the inputs ask for locktimes that exclude each other");
      if (locktime >= LOCKTIME_THRESHOLD) return no(`locktime ${locktime} is a time, not a height`);
      const height = Math.max(history.height, chain?.height ?? 0);
      // Without a height only the absurd can be told; `explain` says that the rest was not asked.
      if (height === 0) {
        return locktime > HEIGHT_MAX ? no(`locktime ${locktime} is decades away`) : [];
      }
      const least = height - policy.locktimePastBlocks;
      const most = height + policy.locktimeFutureBlocks;
      if (locktime < least) return no(`locktime ${locktime} is older than block ${least}`);
      return locktime > most ? no(`locktime ${locktime} is after block ${most}`) : [];
    },
  },
} satisfies Record<string, Rule>;
