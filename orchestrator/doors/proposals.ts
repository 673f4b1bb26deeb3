/**
 * Dual control: what moves money or loosens something waits for a second operator, who approves it by
 * the hash of its content, and it is done once. Whoever proposed it cannot approve it.
 */
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { canonical } from "../../policies/document/policy.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Row, Store } from "../io/store.ts";
import type { Place } from "./cursor.ts";

export type ProposalRow = Row<"proposals">;

export interface ProposalParts {
  readonly store: Store;
  readonly clock: Clock;
}

export interface ProposalWish {
  readonly method: string;
  readonly path: string;
  /** As it was parsed from JSON. */
  readonly body: unknown;
  /** Id of the token. */
  readonly proposer: string;
}

/** A day: who is to approve sleeps once, and what is older nobody has in mind any more. */
const PROPOSAL_MS = 86_400_000n;

/** The same again is the same proposal, as long as it waits. */
export async function propose(
  { store, clock }: ProposalParts,
  { method, path, body, proposer }: ProposalWish,
): Promise<{ readonly row: ProposalRow; readonly fresh: boolean }> {
  const text = canonical(body ?? null);
  const content = hashOf("ballast/proposal-content@1", [method, path, proposer, text]);
  return await store.transaction(async (db) => {
    const now = clock();
    const last = await db
      .selectFrom("proposals")
      .selectAll()
      .where("content", "=", content)
      .orderBy("turn", "desc")
      .executeTakeFirst();
    if (last !== undefined && standing(last, now) === "waiting") return { row: last, fresh: false };
    const turn = last === undefined ? 0n : last.turn + 1n;
    const row = await db
      .insertInto("proposals")
      .values({
        id: `p-${hashOf("ballast/proposal@1", [content, String(turn)]).slice(0, 24)}`,
        ...{ content, turn, method, path, body: text, proposer },
        ...{ created_at: now, expires_at: now + PROPOSAL_MS },
        ...{ state: "waiting", approver: null, status: null },
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    return { row, fresh: true };
  });
}

export type ApprovalOutcome =
  | { readonly kind: "approved"; readonly row: ProposalRow }
  | { readonly kind: "refused"; readonly code: "own" | "late"; readonly detail: string };

/**
 * From here on it is done, by whoever called. One whose process ended before it was done may be
 * approved again. Null when there is none.
 */
export async function approve(
  { store, clock }: ProposalParts,
  { id, approver }: { readonly id: string; readonly approver: string },
): Promise<ApprovalOutcome | null> {
  const now = clock();
  const found = await findProposal(store.db, id);
  if (found === null) return null;
  if (found.proposer === approver) {
    const detail = "whoever proposes cannot approve: another operator must";
    return { kind: "refused", code: "own", detail };
  }
  const row = await store.db
    .updateTable("proposals")
    .set({ state: "approved", approver })
    .where("id", "=", id)
    .where((eb) =>
      eb.or([
        eb("state", "=", "approved"),
        eb.and([eb("state", "=", "waiting"), eb("expires_at", ">", now)]),
      ]),
    )
    .returningAll()
    .executeTakeFirst();
  return row === undefined
    ? { kind: "refused", code: "late", detail: `the proposal is ${standing(found, now)}` }
    : { kind: "approved", row };
}

/** What came of it. A fault ends nothing: it may be approved again. */
export async function settle(
  db: Db,
  { id, status }: { readonly id: string; readonly status: number },
): Promise<void> {
  if (status >= 500) return;
  await db
    .updateTable("proposals")
    .set({ state: status < 400 ? "done" : "refused", status: BigInt(status) })
    .where("id", "=", id)
    .where("state", "=", "approved")
    .execute();
}

export async function findProposal(db: Db, id: string): Promise<ProposalRow | null> {
  const row = await db.selectFrom("proposals").selectAll().where("id", "=", id).executeTakeFirst();
  return row ?? null;
}

/** Newest first. */
export function proposalsPage(
  db: Db,
  { after, limit }: { readonly after: Place | null; readonly limit: number },
): Promise<readonly ProposalRow[]> {
  return db
    .selectFrom("proposals")
    .selectAll()
    .$if(after !== null, (query) =>
      query.where((eb) =>
        eb.or([
          eb("created_at", "<", after?.at ?? 0n),
          eb.and([eb("created_at", "=", after?.at ?? 0n), eb("id", "<", after?.id ?? "")]),
        ]),
      ),
    )
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}

/** `expired` is what a waiting one becomes by itself. */
export function standing(
  { state, expires_at }: ProposalRow,
  now: bigint,
): ProposalRow["state"] | "expired" {
  return state === "waiting" && expires_at <= now ? "expired" : state;
}

/** No part but the last holds a line break, so the joined text has one reading. */
function hashOf(tag: string, parts: readonly string[]): string {
  return hex(taggedHash(tag, new TextEncoder().encode(parts.join("\n"))));
}
