/** Ceremonies are opened for an intent that people must sign, and superseded before they have. */

import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import {
  type CeremonyDocument,
  CeremonyError,
  encodeReason,
  holdsKey,
  type Participant,
  type QuorumPart,
  readCeremony,
} from "../../policies/ceremony.ts";
import { canonical } from "../../policies/document/policy.ts";
import { spendHash } from "../../policies/facts.ts";
import { readIntent } from "../../policies/intent.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import { lastScanned } from "../spend/blocks.ts";
import { findIntent, type IntentRow } from "../spend/intents.ts";
import { abandon } from "../spend/reserve.ts";
import { needsCeremony, secondSigner, windowBlocks } from "../spend/signers.ts";
import type { IntentState } from "../tables/schema.ts";
import { begin, ceremoniesOf, findCeremony, type LoadedCeremony, note } from "./ceremonies.ts";
import { type Invited, participantsOf } from "./participants.ts";

export interface CeremonyParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

export interface CeremonyWish {
  readonly intent: string;
  readonly participants: readonly Invited[];
  readonly quorum: { readonly approvals: readonly QuorumPart[] };
  readonly hours: number;
  readonly blocks: number;
  /** Basis points of the time to the deadline. */
  readonly reminders: readonly number[];
}

export type CeremonyOutcome =
  | { readonly kind: "done"; readonly loaded: LoadedCeremony; readonly fresh: boolean }
  | {
      readonly kind: "refused";
      readonly code: "no-intent" | "conflict" | "content";
      readonly reasons: readonly string[];
    };

/** Opens a ceremony; asked again with the same words, it is the one that is live. */
export async function openCeremony(
  { store, clock, log }: CeremonyParts,
  wish: CeremonyWish,
): Promise<CeremonyOutcome> {
  const outcome = await store.transaction((db) => openOrFind(db, wish, clock()));
  if (outcome.kind === "done" && outcome.fresh) {
    const { id, document } = outcome.loaded.ceremony;
    log.info(
      { ceremony: id, intent: document.intent, deadline: document.deadline },
      "ceremony opened",
    );
  }
  return outcome;
}

async function openOrFind(db: Db, wish: CeremonyWish, now: bigint): Promise<CeremonyOutcome> {
  const intent = await findIntent(db, wish.intent);
  if (intent === null) return refused("no-intent", ["there is no such intent"]);
  const { participants, reasons } = await participantsOf(db, wish.participants, intent.vault);
  if (reasons.length > 0) return refused("content", reasons);
  const live = (await ceremoniesOf(db, intent.id)).find(({ standing }) => isLive(standing.state));
  if (live !== undefined) {
    return sameWords(live.ceremony.document, { ...wish, participants })
      ? { kind: "done", loaded: live, fresh: false }
      : refused("conflict", [`ceremony ${live.ceremony.id} is under way for this intent`]);
  }
  const height = (await lastScanned(db))?.height ?? 0;
  const composed = compose({ wish, participants, intent, height, now });
  if (composed.kind === "refused") return composed;
  if (!(await begin(db, composed.document, now))) {
    return refused("conflict", ["a ceremony of these very words has ended"]);
  }
  const loaded = await findCeremony(db, composed.id);
  if (loaded === null) throw new Error(`BUG: ceremony ${composed.id} was begun and is not there`);
  return { kind: "done", loaded, fresh: true };
}

export interface Superseding {
  readonly id: string;
  readonly reason: string;
  /** `keep`: another ceremony may be opened for the intent; `end`: it is given up. */
  readonly intent: "end" | "keep";
}

/** Ends an open ceremony on request; null when there is none of this id. */
export async function supersede(
  { store, clock, log }: CeremonyParts,
  { id, reason, intent }: Superseding,
): Promise<CeremonyOutcome | null> {
  const outcome = await store.transaction(async (db): Promise<CeremonyOutcome | null> => {
    const found = await findCeremony(db, id);
    if (found === null) return null;
    const { state } = found.standing;
    if (state === "superseded") return { kind: "done", loaded: found, fresh: false };
    if (state !== "open") return refused("conflict", [`the ceremony is ${state}`]);
    const now = clock();
    const detail = { reason: encodeReason(reason) };
    const appended = await note(db, found, { do: "supersede", detail, now });
    if (appended.kind === "refused") return refused("conflict", appended.reasons);
    if (intent === "end") {
      const objection = { rule: "ceremony", detail: `superseded: ${reason}` };
      await abandon(db, { id: found.ceremony.document.intent, objection, at: now });
    }
    return { kind: "done", loaded: appended.loaded, fresh: true };
  });
  if (outcome?.kind === "done" && outcome.fresh) {
    log.info({ ceremony: id, reason, intent }, "ceremony superseded");
  }
  return outcome;
}

export function isLive(state: string): boolean {
  return state === "open" || state === "approved";
}

type Composed =
  | { readonly kind: "composed"; readonly document: CeremonyDocument; readonly id: string }
  | Extract<CeremonyOutcome, { kind: "refused" }>;

interface Composing {
  readonly wish: CeremonyWish;
  readonly participants: readonly Participant[];
  readonly intent: IntentRow;
  readonly height: number;
  readonly now: bigint;
}

function compose({ wish, participants, intent, height, now }: Composing): Composed {
  const { unsigned_psbt: unsigned, txid, state } = intent;
  const reasons = unfit(wish, intent, height);
  if (reasons.length > 0) return refused("content", reasons);
  if (unsigned === null || txid === null || !WAITING.includes(state)) {
    return refused("conflict", [`the intent is ${state}: it does not wait for signatures`]);
  }
  const document: CeremonyDocument = {
    format: "ballast/ceremony@1",
    network: readIntent(JSON.parse(intent.document)).network,
    intent: intent.id,
    spend: { hash: spendHash(readPsbt(unsigned)), txid },
    participants: [...participants],
    quorum: { approvals: [...wish.quorum.approvals] },
    opened: { height, time: timeOf(now) },
    deadline: { height: height + wish.blocks, time: timeOf(now + BigInt(wish.hours) * HOUR_MS) },
    reminders: [...wish.reminders],
  };
  try {
    return { kind: "composed", document, id: readCeremony(document).id };
  } catch (error) {
    if (error instanceof CeremonyError) return refused("content", error.reasons);
    throw error;
  }
}

/** Where signatures are still to come. */
const WAITING: readonly IntentState[] = ["built", "held", "user-signed", "lsp-signed"];

const HOUR_MS = 3_600_000n;

function timeOf(ms: bigint): string {
  return new Date(Number(ms)).toISOString();
}

/** What no ceremony can have, whatever its participants. */
function unfit({ quorum, blocks }: CeremonyWish, intent: IntentRow, height: number): string[] {
  const { purpose, locktime } = intent;
  if (!needsCeremony(purpose)) return [`intent: a ${purpose} needs no ceremony`];
  const second = secondSigner(purpose);
  const keys = quorum.approvals.filter(holdsKey);
  const last = Number(locktime ?? BigInt(height)) + windowBlocks(purpose);
  return [
    // The user and one more finish the spend: a third signature would have no place in it.
    ...(keys.length === 1 && keys[0] === second
      ? []
      : [
          `quorum.approvals: of those who hold keys, a ${purpose} is signed by the ${second} alone`,
        ]),
    ...(height + blocks <= last
      ? []
      : [`deadline: block ${height + blocks} is after ${last}, when signatures are worth nothing`]),
  ];
}

type Words = Readonly<Record<"participants" | "quorum" | "reminders", unknown>>;

/** The same but for its time. */
function sameWords(live: Words, wished: Words): boolean {
  const words = ({ participants, quorum, reminders }: Words) =>
    canonical({ participants, quorum, reminders });
  return words(live) === words(wished);
}

function refused(
  code: Extract<CeremonyOutcome, { kind: "refused" }>["code"],
  reasons: readonly string[],
): Extract<CeremonyOutcome, { kind: "refused" }> {
  return { kind: "refused", code, reasons };
}
