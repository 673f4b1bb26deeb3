/** Recoveries: announced, delayed, stopped by a word of the user, and into no stranger's hands. */
import { hex } from "../bitcoin/hash.ts";
import { recoveryHash } from "../evidence/notice.ts";
import type { Holder, Vault } from "../vault.ts";
import { type Case, heightOf, no, notYet, type Objection, type Rule } from "./rule.ts";

export const recoveryRules = {
  "recovery-announced": {
    why: "Who is said to be gone has time to say otherwise.",
    answers: [54],
    check: (spend) => {
      const { intent, policy, history } = spend;
      const way = WAYS[intent.purpose];
      if (way === undefined || policy.role === "user") return [];
      const [to = null] = way === "user-lost" ? intent.parties : [];
      const delay = policy.purposes[intent.purpose]?.delayBlocks ?? 0;
      const announced = (history.standings.get(intent.vault)?.recoveries ?? []).filter(
        (recovery) =>
          recovery.way === way &&
          recovery.to === to &&
          heightOf(spend) <= recovery.height + delay + OPEN_BLOCKS,
      );
      const [first] = announced.map(({ height }) => height).sort((a, b) => a - b);
      if (first === undefined) return no(`no recovery of vault ${intent.vault} is announced`);
      const spoke = history.userSpoke.get(intent.vault) ?? -1;
      if (way === "user-lost" && spoke >= first) {
        return no(`the user of vault ${intent.vault} has signed since the announcement`);
      }
      return delayed(first + delay, spend);
    },
  },
  "recovery-to-named-key": {
    why: "The coins of a lost user go to the key that the user's own mandate names, beside fresh keys.",
    answers: [],
    check: ({ intent, history, vault, parties }) => {
      if (intent.purpose !== "recovery-user-lost") return [];
      const mandate = history.standings.get(intent.vault)?.mandate?.mandate ?? null;
      const [to] = parties;
      if (mandate === null || mandate.recovery === null) {
        return no(`the user of vault ${intent.vault} has named no recovery key`);
      }
      if (to === undefined || vault === null) return [];
      const user = to.holders.find(({ role }) => role === "user");
      const named = user !== undefined && recoveryHash(user.key) === mandate.recovery;
      return [
        ...(named ? [] : no(`vault ${to.id} is not of the recovery key that the mandate names`)),
        ...(to.exit === null ? [] : no(`vault ${to.id} has another template than multi`)),
        ...staleKeys(vault, to),
      ];
    },
  },
} satisfies Record<string, Rule>;

/** A month: who has waited out the delay and does nothing announces it anew. */
const OPEN_BLOCKS = 4_320;

const WAYS: Readonly<Partial<Record<string, "lsp-gone" | "user-lost">>> = {
  "recovery-lsp-gone": "lsp-gone",
  "recovery-user-lost": "user-lost",
};

function delayed(due: number, spend: Case): readonly Objection[] {
  const left = due - heightOf(spend);
  return left <= 0
    ? []
    : notYet(`the recovery may go on from block ${due}`, `in ${left} blocks, unless it is stopped`);
}

/** A key of the old vault in the new one would carry over whatever was wrong with it. */
function staleKeys(from: Vault, to: Vault): readonly Objection[] {
  // The point alone, without its sign: the same key under another origin is the same key.
  const point = ({ key }: Holder) => hex(key.publicKey.subarray(1));
  const old = new Set(from.holders.map(point));
  return to.holders
    .filter((holder) => old.has(point(holder)))
    .flatMap(({ role }) => no(`the ${role}'s key of the new vault is one of the old vault`));
}
