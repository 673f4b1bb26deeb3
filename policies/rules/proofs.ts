/** Prices and statements: what the guardians say, and that it is they who say it. */
import { shareFloor } from "../money.ts";
import { operationAuthorised } from "../operations.ts";
import {
  accountIn,
  actsAlone,
  countedVotes,
  pricesOf,
  unexplainedAccount,
  wantedOf,
} from "../proven.ts";
import { type Case, heightOf, no, notYet, type Objection, type Rule } from "./rule.ts";

export const proofRules = {
  "votes-agree": {
    why: "A price is what a threshold of guardians saw at one moment, close to one another.",
    answers: [],
    check: (spend) => {
      const { evidence, intent, policy } = spend;
      if (!wantedOf(spend).price) return [];
      const { guardians } = policy;
      if (guardians === null) return no("the policy names no guardians, so nobody sets a price");
      if (intent.cycle === null) return no("the intent names no turn whose price it takes");
      const faults = evidence.votes.flatMap(({ fault, pool, index, guardian }) => {
        if (fault !== null) return no(fault);
        const turn = `${pool}/${index}`;
        return turn === intent.cycle
          ? []
          : no(`${guardian} votes for ${turn}, not ${intent.cycle}`);
      });
      const [pool] = intent.cycle.split("/");
      const strange =
        pool === guardians.pool
          ? []
          : no(`the intent takes its price from ${pool}, claims are kept in ${guardians.pool}`);
      return [
        ...strange,
        ...faults,
        ...tooFewVotes(spend, guardians.threshold),
        ...tooFarApart(spend),
      ];
    },
  },
  "statement-signed": {
    why: "What is owed is what a threshold of guardians has replayed and signed.",
    answers: [],
    check: (spend) => {
      const { evidence, policy } = spend;
      if (!wantedOf(spend).statement) return [];
      const { statement } = evidence;
      if (policy.guardians === null) return no("the policy names no guardians");
      if (statement === null) return no("no statement came with the request");
      const { threshold } = policy.guardians;
      return [
        ...statement.faults.flatMap(no),
        ...(statement.guardians.length >= threshold
          ? []
          : no(
              `${statement.guardians.length} of ${threshold} guardians have signed the statement`,
            )),
      ];
    },
  },
  "statement-fresh": {
    why: "An old statement does not know what has been paid out since.",
    answers: [],
    check: (spend) => {
      const header = spend.evidence.statement?.header;
      if (!wantedOf(spend).statement || header === undefined) return [];
      const height = heightOf(spend);
      const most = spend.policy.guardians?.statementAgeBlocks ?? 0;
      if (header.height > height) {
        return notYet(`the statement is of block ${header.height}`, "when the node has seen it");
      }
      if (height - header.height > most) {
        return notYet(
          `the statement is ${height - header.height} blocks old, at most ${most}`,
          "with a younger statement",
        );
      }
      return ofOtherChain(spend, header);
    },
  },
  "own-guardian": {
    why: "Without the user, a signer takes the word of strangers only beside that of its own house.",
    answers: [],
    check: (spend) => {
      const { evidence, policy } = spend;
      const wanted = wantedOf(spend);
      if (!actsAlone(spend) || policy.guardians === null) return [];
      const { own } = policy.guardians;
      const voted = countedVotes(spend).some(({ guardian }) => own.includes(guardian));
      const signed = evidence.statement?.guardians.some((name) => own.includes(name)) ?? false;
      const retry = "when the own guardian is back";
      return [
        ...(wanted.price && !voted ? notYet("no own guardian has voted", retry) : []),
        ...(wanted.statement && !signed
          ? notYet("no own guardian has signed the statement", retry)
          : []),
      ];
    },
  },
  "account-proven": {
    why: "Whose claim it is, and how much, is a leaf of the statement; any other account proves nothing.",
    answers: [],
    check: (spend) =>
      wantedOf(spend).accounts.flatMap((vault) => {
        const account = accountIn(spend, vault);
        if (account === null) return no(`no account of vault ${vault} is proven`);
        const reason = unexplainedAccount(spend, account);
        return reason === null ? [] : no(`the claim of vault ${vault}: ${reason}`);
      }),
  },
  "statement-once": {
    why: "Each statement serves a vault once, and none that is older than the last one used.",
    answers: [],
    check: (spend) => {
      const { evidence, history, intent } = spend;
      const index = evidence.statement?.header.index ?? 0;
      if (!actsAlone(spend)) return [];
      return wantedOf(spend).accounts.flatMap((vault) => {
        const last = history.accounts.get(vault)?.used ?? null;
        if (last === null || index > last.index) return [];
        return index === last.index && last.intent === intent.id
          ? []
          : no(`statement ${index} for vault ${vault}: statement ${last.index} was used already`);
      });
    },
  },
  "operation-authorised": {
    why: "An account's operation is its own: by the vault's key, or within the cap of a key it named.",
    answers: [],
    check: (spend) => {
      const { evidence, history, intent } = spend;
      const seen = new Set<string>();
      return evidence.operations.flatMap((operation) => {
        const { vault, number } = operation;
        const twice = seen.has(`${vault} ${number}`);
        seen.add(`${vault} ${number}`);
        const used = history.nonces.get(`operation ${vault} ${number}`);
        const fault = operationAuthorised(operation, spend);
        return [
          ...(fault === null ? [] : no(fault)),
          ...(twice ? no(`operation ${number} of vault ${vault} is brought twice`) : []),
          ...(used === undefined || used === intent.id
            ? []
            : no(`operation ${number} of vault ${vault} was used already`)),
        ];
      });
    },
  },
} satisfies Record<string, Rule>;

/** A statement of a block that the node's chain has not is a statement about other coins. */
function ofOtherChain(
  { chain }: Case,
  { height, block }: { readonly height: number; readonly block: string },
): readonly Objection[] {
  const own = chain?.blocks.get(height);
  if (chain === null || own === block) return [];
  return own === undefined
    ? notYet(`the node has not told of block ${height}`, "when it has")
    : notYet(
        `the statement is of another block ${height} than the node's`,
        "with a statement of the node's chain",
      );
}

function tooFewVotes(spend: Case, threshold: number): readonly Objection[] {
  const { evidence, intent } = spend;
  const counted = countedVotes(spend).length;
  if (counted >= threshold) return [];
  const known = evidence.votes.filter(
    ({ fault, pool, index }) => fault === null && `${pool}/${index}` === intent.cycle,
  ).length;
  const detail = `${counted} of ${threshold} votes count`;
  // Those that are too old, or from the future, would do with a fresh turn.
  return known >= threshold ? notYet(detail, "with votes of the present turn") : no(detail);
}

function tooFarApart(spend: Case): readonly Objection[] {
  const prices = pricesOf(spend);
  const { guardians } = spend.policy;
  if (prices === null || guardians === null) return [];
  const { lowest, highest } = prices;
  return highest - lowest <= shareFloor(lowest, guardians.voteSpreadMax)
    ? []
    : no(`the votes lie between ${lowest} and ${highest} cents, too far apart`);
}
