/**
 * An event that a station hands in: read, held against who sent it, and appended together with what
 * it means, or not at all. Handed in again, it is heard once.
 */
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { signsText } from "../../policies/bitcoin/message.ts";
import { type Act, readEventLine } from "../../policies/ceremony.ts";
import { type CeremonyEvent, type Standing, sealed } from "../../policies/ceremony-events.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Store } from "../io/store.ts";
import { lastScanned } from "../spend/blocks.ts";
import { append, findCeremony, type LoadedCeremony, timeAfter } from "./ceremonies.ts";
import type { StationRow } from "./stations.ts";

/** A line as a station signs it. */
export interface SignedLine {
  readonly line: string;
  /** 64 bytes in hex. */
  readonly signature: string;
}

/** `conflict`: something happened meanwhile; look again. `content`: it will never be right. */
export interface Unheard {
  readonly kind: "refused";
  readonly code: "conflict" | "content";
  readonly reasons: readonly string[];
}

export interface Heard {
  readonly kind: "heard";
  readonly fresh: boolean;
  /** Null where the user signs or declines: that is no event of a ceremony. */
  readonly standing: Standing | null;
}

export type AnswerOutcome = Heard | Unheard;

export interface HearingParts {
  readonly store: Store;
  readonly clock: Clock;
}

export function unheard(code: Unheard["code"], ...reasons: readonly string[]): Unheard {
  return { kind: "refused", code, reasons };
}

/** By what name the station takes part; null: it does not. */
export function nameOf({ ceremony }: LoadedCeremony, { key }: StationRow): string | null {
  return ceremony.document.participants.find((person) => person.key === key)?.name ?? null;
}

export function isSigned({ line, signature }: SignedLine, { key }: StationRow): boolean {
  return signsText(line, fromHex(signature), fromHex(`02${key}`));
}

export interface Reading {
  readonly loaded: LoadedCeremony;
  readonly station: StationRow;
  readonly signed: SignedLine;
  readonly acts: readonly Act[];
}

export type Read = { readonly kind: "event"; readonly event: CeremonyEvent } | AnswerOutcome;

/** The line as an event of this ceremony by this station; `heard` where it stands there already. */
export function readSigned(parts: HearingParts, { loaded, station, signed, acts }: Reading): Read {
  const { ceremony, standing } = loaded;
  const line = readEventLine(signed.line);
  if (line === null || !acts.includes(line.event.do)) {
    return unheard("content", `line: it is no event of the kind ${acts.join(", ")}`);
  }
  if (line.network !== ceremony.document.network || line.ceremony !== ceremony.id) {
    return unheard("content", "line: it belongs to another ceremony");
  }
  const name = nameOf(loaded, station);
  if (line.event.by !== name) return unheard("content", `line: this station speaks for ${name}`);
  if (!isSigned(signed, station)) {
    return unheard("content", "signature: it is not the station's over this line");
  }
  const at = timeAfter(standing, parts.clock());
  const event = sealed(ceremony, line.event, { at, signature: signed.signature });
  return before(loaded, event) ?? { kind: "event", event };
}

/** Whoever has said it once need not say it again. */
function before({ events, standing }: LoadedCeremony, event: CeremonyEvent): Heard | null {
  const said = events.some(({ by, do: act }) => by === event.by && act === event.do);
  return said ? { kind: "heard", fresh: false, standing } : null;
}

/** Does what the event means; throws an UnmeantError where that cannot be done any more. */
export type Meaning = (db: Db, standing: Standing) => Promise<void>;

/** The event means something that cannot be done: it is taken back with all that was written. */
export class UnmeantError extends Error {
  override readonly name = "UnmeantError";
}

export async function appendWith(
  { store }: HearingParts,
  { id, event }: { readonly id: string; readonly event: CeremonyEvent },
  meaning: Meaning,
): Promise<AnswerOutcome> {
  try {
    return await store.transaction(async (db): Promise<AnswerOutcome> => {
      const loaded = await findCeremony(db, id);
      if (loaded === null) throw new Error(`BUG: ceremony ${id} is gone`);
      const said = before(loaded, event);
      if (said !== null) return said;
      if (await isLate(db, loaded, event)) return unheard("conflict", "the deadline has passed");
      const outcome = await append(db, loaded, event);
      if (outcome.kind === "refused") {
        const { sequence, head } = loaded.standing;
        return unheard("conflict", ...outcome.reasons, `event ${sequence} comes after ${head}`);
      }
      const { standing } = outcome.loaded;
      await meaning(db, standing);
      return { kind: "heard", fresh: true, standing };
    });
  } catch (error) {
    if (error instanceof UnmeantError) return unheard("conflict", error.message);
    throw error;
  }
}

/** By height; the law looks at the time. A no comes late rather than never. */
async function isLate(db: Db, { ceremony, standing }: LoadedCeremony, event: CeremonyEvent) {
  const height = (await lastScanned(db))?.height ?? 0;
  const over = height > ceremony.document.deadline.height;
  return over && standing.state === "open" && event.do !== "decline";
}
