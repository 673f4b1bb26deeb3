/**
 * Ceremonies as rows: the document, who takes part, and a transcript that only grows. What may be
 * appended says the law that everybody shares (policies/ceremony-events.ts); of two who append at once
 * one does, because the row's sequence moves by compare-and-set.
 */
import {
  type Act,
  type Ceremony,
  type CeremonyDocument,
  ORCHESTRATOR,
  readCeremony,
} from "../../policies/ceremony.ts";
import {
  after,
  beginning,
  type CeremonyEvent,
  objectionsTo,
  type Standing,
  sealed,
} from "../../policies/ceremony-events.ts";
import type { TranscriptDocument } from "../../policies/transcript.ts";
import type { Db, Row } from "../io/store.ts";

/** A ceremony with all that has happened in it. */
export interface LoadedCeremony {
  readonly ceremony: Ceremony;
  readonly standing: Standing;
  readonly events: readonly CeremonyEvent[];
  readonly createdAt: bigint;
}

/** Writes the row with its participants and its first event; false: another one is live. */
export async function begin(db: Db, document: CeremonyDocument, now: bigint): Promise<boolean> {
  const ceremony = readCeremony(document);
  const standing = beginning(ceremony);
  const inserted = await db
    .insertInto("ceremonies")
    .values({
      id: ceremony.id,
      intent: document.intent,
      document: JSON.stringify(document),
      state: standing.state,
      sequence: 0n,
      head: standing.head,
      closed: 0n,
      created_at: now,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning("id")
    .executeTakeFirst();
  if (inserted === undefined) return false;
  await db
    .insertInto("ceremony_participants")
    .values(
      document.participants.map(({ name, role, key }) => ({
        ...{ ceremony: ceremony.id, name, role, key },
        attestation: null,
      })),
    )
    .execute();
  const loaded = { ceremony, standing, events: [], createdAt: now };
  const outcome = await note(db, loaded, { do: "open", now });
  if (outcome.kind !== "appended") throw new Error(`BUG: ceremony ${ceremony.id} cannot be opened`);
  return true;
}

export async function findCeremony(db: Db, id: string): Promise<LoadedCeremony | null> {
  const row = await db.selectFrom("ceremonies").selectAll().where("id", "=", id).executeTakeFirst();
  return row === undefined ? null : await load(db, row);
}

/** Newest first. */
export async function ceremoniesOf(db: Db, intent: string): Promise<readonly LoadedCeremony[]> {
  const rows = await db
    .selectFrom("ceremonies")
    .selectAll()
    .where("intent", "=", intent)
    .orderBy("created_at", "desc")
    .orderBy("id")
    .execute();
  return Promise.all(rows.map((row) => load(db, row)));
}

/** Newest first. */
export async function listCeremonies(db: Db, limit: number): Promise<readonly LoadedCeremony[]> {
  const rows = await db
    .selectFrom("ceremonies")
    .selectAll()
    .orderBy("created_at", "desc")
    .orderBy("id")
    .limit(limit)
    .execute();
  return Promise.all(rows.map((row) => load(db, row)));
}

/** Ids of all whose transcript is not closed, oldest first. */
export async function underWay(db: Db): Promise<readonly string[]> {
  const rows = await db
    .selectFrom("ceremonies")
    .select("id")
    .where("closed", "=", 0n)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
  return rows.map(({ id }) => id);
}

/** Ids of the ceremonies in which this key takes part and that are open. */
export async function openFor(db: Db, key: string): Promise<readonly string[]> {
  const rows = await db
    .selectFrom("ceremonies")
    .innerJoin("ceremony_participants", "ceremony", "ceremonies.id")
    .select("ceremonies.id")
    .where("key", "=", key)
    .where("ceremonies.state", "=", "open")
    .orderBy("created_at")
    .orderBy("ceremonies.id")
    .execute();
  return rows.map(({ id }) => id);
}

/** Ids of the closed ones whose end this key has not attested, newest first. */
export async function unattestedBy(db: Db, key: string, limit: number): Promise<readonly string[]> {
  const rows = await db
    .selectFrom("ceremonies")
    .innerJoin("ceremony_participants", "ceremony", "ceremonies.id")
    .select("ceremonies.id")
    .where("key", "=", key)
    .where("closed", "=", 1n)
    .where("attestation", "is", null)
    .orderBy("created_at", "desc")
    .orderBy("ceremonies.id")
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}

export type AppendOutcome =
  | { readonly kind: "appended"; readonly loaded: LoadedCeremony }
  | { readonly kind: "refused"; readonly reasons: readonly string[] };

export interface Noted {
  readonly do: Act;
  readonly detail?: Readonly<Record<string, string>>;
  readonly now: bigint;
}

/** What the orchestrator itself saw or does. */
export function note(db: Db, loaded: LoadedCeremony, noted: Noted): Promise<AppendOutcome> {
  const { ceremony, standing } = loaded;
  const { do: act, detail = {}, now } = noted;
  const content = { sequence: standing.sequence, previous: standing.head };
  const event = { ...content, by: ORCHESTRATOR, do: act, detail };
  const at = timeAfter(standing, now);
  return append(db, loaded, sealed(ceremony, event, { at, signature: null }));
}

/** The time of the next event: a clock that was set back does not set the transcript back. */
export function timeAfter({ at }: Standing, now: bigint): string {
  const time = new Date(Number(now)).toISOString();
  return time > at ? time : at;
}

/** Call it in a transaction: what was loaded in it is what is moved. */
export async function append(
  db: Db,
  loaded: LoadedCeremony,
  event: CeremonyEvent,
): Promise<AppendOutcome> {
  const { ceremony, standing } = loaded;
  const reasons = objectionsTo(ceremony, standing, event);
  if (reasons.length > 0) return { kind: "refused", reasons };
  const next = after(ceremony, standing, event);
  const moved = await db
    .updateTable("ceremonies")
    .set({
      state: next.state,
      sequence: BigInt(next.sequence),
      head: next.head,
      closed: next.closed ? 1n : 0n,
    })
    .where("id", "=", ceremony.id)
    .where("sequence", "=", BigInt(standing.sequence))
    .where("head", "=", standing.head)
    .returning("id")
    .executeTakeFirst();
  if (moved === undefined) return { kind: "refused", reasons: ["something else happened before"] };
  await db
    .insertInto("ceremony_events")
    .values({
      ceremony: ceremony.id,
      sequence: BigInt(event.sequence),
      at: event.at,
      by: event.by,
      act: event.do,
      detail: JSON.stringify(event.detail),
      previous: event.previous,
      hash: event.hash,
      signature: event.signature,
    })
    .execute();
  const events = [...loaded.events, event];
  return { kind: "appended", loaded: { ...loaded, standing: next, events } };
}

export interface Attesting {
  readonly ceremony: string;
  readonly name: string;
  readonly signature: string;
}

/** The first attestation stays: the end of a closed transcript does not change. */
export async function keepAttestation(
  db: Db,
  { ceremony, name, signature }: Attesting,
): Promise<boolean> {
  const kept = await db
    .updateTable("ceremony_participants")
    .set({ attestation: signature })
    .where("ceremony", "=", ceremony)
    .where("name", "=", name)
    .where("attestation", "is", null)
    .returning("name")
    .executeTakeFirst();
  return kept !== undefined;
}

/** The transcript as it is exported; it verifies as a whole once it is closed and attested. */
export async function transcriptOf(
  db: Db,
  { ceremony, standing, events }: LoadedCeremony,
): Promise<TranscriptDocument> {
  const rows = await db
    .selectFrom("ceremony_participants")
    .selectAll()
    .where("ceremony", "=", ceremony.id)
    .orderBy("name")
    .execute();
  return {
    format: "ballast/ceremony-transcript@1",
    ceremony: ceremony.document,
    events: [...events],
    attestations: rows.flatMap(({ name, attestation }) => {
      const end = { by: name, sequence: standing.sequence - 1, head: standing.head };
      return attestation === null ? [] : [{ ...end, signature: attestation }];
    }),
  };
}

async function load(db: Db, row: Row<"ceremonies">): Promise<LoadedCeremony> {
  const ceremony = readCeremony(JSON.parse(row.document));
  const rows = await db
    .selectFrom("ceremony_events")
    .selectAll()
    .where("ceremony", "=", row.id)
    .orderBy("sequence")
    .execute();
  const events = rows.map(
    ({ sequence, at, by, act, detail, previous, hash, signature }): CeremonyEvent => ({
      ...{ sequence: Number(sequence), at, by, do: act as Act, previous, hash, signature },
      detail: JSON.parse(detail) as Readonly<Record<string, string>>,
    }),
  );
  const standing = events.reduce<Standing>(
    (before, event) => after(ceremony, before, event),
    beginning(ceremony),
  );
  return { ceremony, standing, events, createdAt: row.created_at };
}
