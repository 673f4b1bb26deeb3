/** The escrow of a pool: what goes in was asked for, what is left covers what is owed. */
import { flowsOf, gainOf } from "../flows.ts";
import { satsOfMsatsCeil } from "../money.ts";
import { inFlight } from "../yielding.ts";
import { no, type Rule } from "./rule.ts";

export const escrowRules = {
  "escrow-in-asked": {
    why: "Coins go into a pool's escrow for the sum of what accounts have signed to lock, and no more.",
    answers: [],
    check: ({ facts, intent, evidence, policy }) => {
      if (intent.purpose !== "escrow-in" || policy.role === "user") return [];
      const { vaults } = flowsOf(facts);
      const gain = vaults.reduce(
        (sum, flow) => (flow.kind === "escrow" ? sum + gainOf(flow) : sum),
        0n,
      );
      const [user] = vaults.filter(({ kind, inputs }) => kind === "user" && inputs > 0);
      const locks = evidence.operations.filter((operation) => operation.do === "lock");
      const asked = locks.reduce((sum, { sats }) => sum + sats, 0n);
      const strangers = user === undefined ? [] : locks.filter(({ vault }) => vault !== user.vault);
      return [
        ...(gain === asked ? [] : no(`${gain} sat go into escrow, ${asked} were asked for`)),
        ...strangers.flatMap(({ vault }) =>
          no(`vault ${vault} would be locked with others' coins`),
        ),
      ];
    },
  },
  "escrow-covers-pool": {
    why: "What stays in escrow covers everything that the pool owes, to the last msat.",
    answers: [],
    check: (spend) => {
      const { facts, intent, evidence, chain } = spend;
      const header = evidence.statement?.header;
      if (intent.purpose !== "escrow-out" || header === undefined) return [];
      const owed = satsOfMsatsCeil(header.poolMsats);
      return flowsOf(facts)
        .vaults.filter(({ kind }) => kind === "escrow")
        .flatMap(({ vault, inSats, outSats }) => {
          const coins = chain?.vaults.get(vault);
          if (coins === undefined) return [];
          // Two spends side by side must not each count on what the other takes; and what came
          // after the statement may be locked for what the statement does not know.
          const own = new Set(facts.inputs.map(({ outpoint }) => outpoint));
          const flying = inFlight(spend);
          const left = coins
            .filter(({ outpoint }) => own.has(outpoint) || !flying.has(outpoint))
            .filter(({ height }) => height > 0 && height <= header.height)
            .reduce((sum, { sats }) => sum + sats, outSats - inSats);
          return left >= owed ? [] : no(`${left} sat would stay in escrow, the pool owes ${owed}`);
        });
    },
  },
} satisfies Record<string, Rule>;
