/** What LSP and trustee may do without the user: the user's own mandate says it. */
import type { Mandate } from "../evidence/notice.ts";
import { flowsOf } from "../flows.ts";
import { gainingUsers } from "../proven.ts";
import { userSigned } from "../purpose.ts";
import { boundKey, chargesOf, MANDATE_HOURS, mandateAccounts, REFRESH_HOURS } from "../velocity.ts";
import { isLive } from "../without-user.ts";
import { type Case, heightOf, no, type Objection, type Rule } from "./rule.ts";

export const mandateRules = {
  "mandate-live": {
    why: "Without the user's signature or mandate nobody moves the user's coins.",
    answers: [],
    check: (spend) =>
      mandatedVaults(spend).flatMap((vault) => {
        const standing = spend.history.standings.get(vault);
        const held = standing?.mandate ?? null;
        if (held === null) return no(`the user of vault ${vault} has given no mandate`);
        if (!isLive(standing, heightOf(spend))) {
          return no(`the mandate of vault ${vault} held until block ${held.mandate.until}`);
        }
        return outside(held.mandate, spend);
      }),
  },
  "mandate-limits": {
    why: "A mandate says how many sats, fees and refreshes it covers; its windows slide.",
    answers: [],
    check: (spend) =>
      mandatedVaults(spend).flatMap((vault) => {
        const mandate = spend.history.standings.get(vault)?.mandate?.mandate;
        if (mandate === undefined) return [];
        const { sats30d, fees30d, refresh } = mandate;
        const limits = [
          { account: mandateAccounts.sats(vault), hours: MANDATE_HOURS, most: sats30d, of: "sat" },
          {
            account: mandateAccounts.fees(vault),
            hours: MANDATE_HOURS,
            most: fees30d,
            of: "sat of fees",
          },
          {
            account: mandateAccounts.refreshes(vault),
            hours: REFRESH_HOURS,
            most: BigInt(refresh),
            of: "refreshed coins",
          },
        ];
        return limits.flatMap((limit) => overdrawn(limit, vault, spend));
      }),
  },
} satisfies Record<string, Rule>;

/** Users' vaults whose coins move, or that are topped up, on a mandate alone. */
function mandatedVaults(spend: Case): readonly string[] {
  const { facts, intent, policy } = spend;
  if (policy.role === "user") return [];
  switch (intent.purpose) {
    case "top-up":
      return gainingUsers(spend).map(({ vault }) => vault);
    case "collect":
    case "refresh":
    case "consolidation":
    case "cancel":
      return userSigned(facts)
        ? []
        : flowsOf(facts).vaults.flatMap(({ vault, kind, inputs }) =>
            kind === "user" && inputs > 0 ? vault : [],
          );
    default:
      return [];
  }
}

/** What the mandate does not cover, whatever the amount. */
function outside(mandate: Mandate, { intent, policy }: Case): readonly Objection[] {
  const { purpose } = intent;
  const covered =
    purpose === "refresh"
      ? mandate.refresh > 0
      : (mandate.may as readonly string[]).includes(purpose);
  return [
    ...(covered ? [] : no(`mandate ${mandate.no} of vault ${mandate.vault} covers no ${purpose}`)),
    ...(policy.house === null || mandate.treasury === policy.house.treasury
      ? []
      : no(`mandate ${mandate.no} of vault ${mandate.vault} is for another treasury`)),
  ];
}

interface Limit {
  readonly account: string;
  readonly hours: number;
  readonly most: bigint;
  readonly of: string;
}

function overdrawn(
  { account, hours, most, of }: Limit,
  vault: string,
  { facts, intent, history }: Case,
): readonly Objection[] {
  const own = chargesOf(facts, intent).find((charge) => charge.account === account)?.sats ?? 0n;
  if (own === 0n) return [];
  const charged = history.charged.get(boundKey({ account, hours }));
  if (charged === undefined) throw new Error(`BUG: ${account} was not counted`);
  if (charged + own <= most) return [];
  const detail = `${charged + own} ${of} within ${hours} h from vault ${vault}, its mandate says ${most}`;
  if (own > most) return no(detail);
  return [{ detail, retry: `when older spends have left the window, in ${hours} h at the latest` }];
}
