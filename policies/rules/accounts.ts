/** Claims and coins: nobody takes more than is owed, nor leaves less than is owed (section 3). */
import { flowsOf, type VaultFlow } from "../flows.ts";
import type { Purpose } from "../intent.ts";
import {
  accountIn,
  claimSatsCeil,
  claimSatsFloor,
  drawnBy,
  gainingUsers,
  pricesOf,
  vaultSats,
  wantedOf,
  watchedVaults,
} from "../proven.ts";
import { inFlight } from "../yielding.ts";
import { type Case, no, notYet, type Objection, type Rule } from "./rule.ts";

export const accountRules = {
  "within-claim": {
    why: "A user takes out what is owed to the user; what the vault holds beyond it is the treasury's.",
    answers: [],
    check: (spend) => {
      const prices = pricesOf(spend);
      if (!wantedOf(spend).price || prices === null) return [];
      return drawnBy(spend).flatMap(({ vault, sats }) => {
        const account = accountIn(spend, vault);
        if (account === null) return [];
        const before = spend.history.drawn.get(vault) ?? 0n;
        const claim = claimSatsFloor(account, prices.highest);
        return before + sats <= claim
          ? []
          : no(`${sats} sat after ${before} since the statement, the claim is ${claim}`);
      });
    },
  },
  "collect-leaves-claim": {
    why: "What is collected is surplus: the vault keeps its whole claim, at the price that is worst for it.",
    answers: [],
    check: (spend) =>
      collectedFrom(spend, ({ vault, outSats }) => {
        const account = accountIn(spend, vault);
        const prices = pricesOf(spend);
        if (account === null || prices === null) return [];
        const least = claimSatsCeil(account, prices.lowest);
        return outSats >= least
          ? []
          : no(`${outSats} sat return to vault ${vault}, its claim needs ${least}`);
      }),
  },
  "collect-credited-coins": {
    why: "Coins that no statement has credited are the user's, whatever the claim.",
    answers: [],
    check: (spend) =>
      collectedFrom(spend, ({ vault }) => {
        const account = accountIn(spend, vault);
        if (account === null) return [];
        const credited = new Set(account.outpoints);
        return spend.facts.inputs.flatMap(({ coin, outpoint }) =>
          coin?.vault !== vault || credited.has(outpoint)
            ? []
            : no(`${outpoint} of vault ${vault} is not credited in the statement`),
        );
      }),
  },
  "collect-without-deficit": {
    why: "A vault that was short of its claim is topped up before anything is taken from it.",
    answers: [],
    check: (spend) =>
      collectedFrom(spend, ({ vault }) => {
        const since = accountIn(spend, vault)?.deficitSince ?? 0;
        return since === 0 ? [] : no(`vault ${vault} is short of its claim since block ${since}`);
      }),
  },
  "collect-gives-nothing": {
    why: "A top-up dressed as a collect would escape the bound of the deficit.",
    answers: [],
    check: (spend) =>
      collectedFrom(spend, ({ vault, inSats, outSats }) =>
        outSats <= inSats ? [] : no(`vault ${vault} gains ${outSats - inSats} sat in a collect`),
      ),
  },
  "accounts-settled": {
    why: "While a credited coin is spent or in flight, the statement tells of a vault that is no more.",
    answers: [],
    check: (spend) => {
      const flying = inFlight(spend);
      return trueUps(spend).flatMap((vault) => {
        const account = accountIn(spend, vault);
        const coins = spend.chain?.vaults.get(vault);
        if (account === null || coins === undefined) return [];
        const there = new Set(coins.map(({ outpoint }) => outpoint));
        return account.outpoints.flatMap((outpoint) => {
          const what = flying.has(outpoint) ? "is in flight" : "is spent";
          return there.has(outpoint) && !flying.has(outpoint)
            ? []
            : notYet(`${outpoint}, credited to vault ${vault}, ${what}`, "with the next statement");
        });
      });
    },
  },
  "vault-coins-known": {
    why: "What a vault holds is what the signer's own node sees, coin by coin.",
    answers: [],
    check: (spend) => {
      if (spend.chain === null) return [];
      const { vaults } = spend.chain;
      return watchedVaults(spend)
        .filter((vault) => !vaults.has(vault))
        .flatMap((vault) =>
          notYet(`the signer's node does not watch vault ${vault}`, "when it has scanned for it"),
        );
    },
  },
  "within-deficit": {
    why: "A vault is topped up to its claim and no further, whatever else is on its way to it.",
    answers: [],
    check: (spend) => {
      if (spend.intent.purpose !== "top-up" && spend.intent.purpose !== "escrow-out") return [];
      const prices = pricesOf(spend);
      if (prices === null) return [];
      return gainingUsers(spend).flatMap(({ vault, sats }) => {
        const account = accountIn(spend, vault);
        const have = vaultSats(spend, vault);
        if (account === null || have === null) return [];
        // Coins that came after the statement, and went, paid a part of the claim.
        const drawn = spend.history.drawn.get(vault) ?? 0n;
        const claim = claimSatsFloor(account, prices.highest) - drawn;
        const deficit = claim > have ? claim - have : 0n;
        return sats <= deficit
          ? []
          : no(`${sats} sat go to vault ${vault}, which lacks ${deficit}`);
      });
    },
  },
} satisfies Record<string, Rule>;

/** Every user's vault that a collect takes from. */
function collectedFrom(
  { facts, intent, policy }: Case,
  check: (flow: VaultFlow) => readonly Objection[],
): readonly Objection[] {
  if (intent.purpose !== "collect" || policy.role === "user") return [];
  return flowsOf(facts)
    .vaults.filter(({ kind, inputs }) => kind === "user" && inputs > 0)
    .flatMap(check);
}

/** Users' vaults whose coins are held against their claim: a true-up's, and those paid out of escrow. */
function trueUps(spend: Case): readonly string[] {
  return TRUE_UPS.has(spend.intent.purpose) ? wantedOf(spend).accounts : [];
}

const TRUE_UPS: ReadonlySet<Purpose> = new Set<Purpose>(["collect", "top-up", "escrow-out"]);
