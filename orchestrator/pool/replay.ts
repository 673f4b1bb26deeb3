/**
 * A pool replayed from its log alone, line by line: the same operations and votes come to the same
 * state, and the first claim of the log that does not hold ends it.
 */
import { operate } from "../operations/operate.ts";
import { type Turnover, turn } from "./cycle.ts";
import { accountOf, balanceOf, openPool, type Pool } from "./pool.ts";
import {
  type BalanceClaim,
  type Claim,
  type LogLine,
  PoolLogError,
  readHead,
  readLine,
} from "./pool-log.ts";
import { stateHash } from "./state-hash.ts";
import { hear } from "./votes.ts";

export type Step =
  | { readonly kind: "taken" }
  | { readonly kind: "turned"; readonly turnover: Turnover }
  /** The log says something else than what comes out. */
  | { readonly kind: "difference"; readonly detail: string };

export interface Replay {
  /** Throws a PoolLogError for a line that is none. Empty lines are passed over. */
  readonly take: (line: string) => Step;
  /** Null before the first line. */
  readonly pool: () => Pool | null;
}

export function openReplay(): Replay {
  let pool: Pool | null = null;
  let number = 0;
  return {
    take: (line) => {
      number += 1;
      if (line.trim() === "") return { kind: "taken" };
      try {
        if (pool !== null) return step(pool, readLine(line));
        pool = openPool(readHead(line));
        return { kind: "taken" };
      } catch (error) {
        if (!(error instanceof PoolLogError)) throw error;
        throw new PoolLogError(`line ${number}: ${error.message}`, { cause: error });
      }
    },
    pool: () => pool,
  };
}

function step(pool: Pool, line: LogLine): Step {
  if ("operation" in line) {
    const outcome = operate(pool, line.operation);
    const came = outcome.kind === "refused" ? outcome.error : undefined;
    const detail = outcome.kind === "refused" ? ` (${outcome.detail})` : "";
    return came === line.refused
      ? { kind: "taken" }
      : differs(`the ${line.operation.kind}`, {
          said: line.refused ?? "done",
          came: `${came ?? "done"}${detail}`,
        });
  }
  if ("vote" in line) return voteStep(pool, line);
  return "claim" in line ? claimStep(pool, line.claim) : balanceStep(pool, line.balance);
}

function voteStep(pool: Pool, { vote, ignored }: Extract<LogLine, { vote: unknown }>): Step {
  const { votes, cycle, config } = pool;
  const { threshold, guardians } = config;
  const heard = hear(vote, { votes, cycle, threshold, guardians });
  const came = heard.kind === "ignored" ? heard.why : undefined;
  if (came !== ignored) {
    const what = `the vote of ${vote.guardian}`;
    return differs(what, { said: ignored ?? "counted", came: came ?? "counted" });
  }
  if (heard.kind !== "agreed") return { kind: "taken" };
  return { kind: "turned", turnover: turn(pool, heard.terms) };
}

function claimStep(pool: Pool, claim: Claim): Step {
  const { cycle } = pool;
  const found: Record<keyof Claim, string | null> = {
    cycle: cycle && String(cycle.index),
    price: cycle && String(cycle.price),
    fee_ppb: cycle && String(cycle.feePpb),
    locked_seeks_msats: cycle && String(cycle.lockedSeeksMsats),
    locked_provides_msats: cycle && String(cycle.lockedProvidesMsats),
    fees_msats: cycle && String(cycle.feesMsats),
    held_msats: String(pool.heldMsats),
    bailout_msats: String(pool.bailoutMsats),
    state: claim.state === undefined ? null : stateHash(pool),
  };
  return compared("", claim, found);
}

function balanceStep(pool: Pool, claim: BalanceClaim): Step {
  const known = accountOf(pool, claim.account);
  const { idleMsats, stagedMsats, lockedMsats } = balanceOf(pool, known?.key ?? "");
  return compared(`${claim.account}: `, claim, {
    account: claim.account,
    idle_msats: String(idleMsats),
    staged_msats: String(stagedMsats),
    locked_msats: String(lockedMsats),
  });
}

function compared(
  whose: string,
  claim: Readonly<Record<string, unknown>>,
  found: Readonly<Record<string, string | null>>,
): Step {
  for (const [figure, said] of Object.entries(claim)) {
    const came = found[figure] ?? "none";
    if (said !== undefined && String(said) !== came) {
      return differs(`${whose}${figure}`, { said: String(said), came });
    }
  }
  return { kind: "taken" };
}

function differs(
  what: string,
  { said, came }: { readonly said: string; readonly came: string },
): Step {
  return { kind: "difference", detail: `${what}: the log says ${said}, it comes to ${came}` };
}
