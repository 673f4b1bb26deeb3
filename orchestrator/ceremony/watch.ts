/**
 * The role that keeps ceremonies going: it reminds, expires, notes what became of the spend, and closes
 * transcripts. Each look at a ceremony is one transaction that asks what is there and what the
 * transcript says already, so it can be cut off anywhere and done again.
 */
import { type Act, encodeReason } from "../../policies/ceremony.ts";
import { namesOf, waitedFor } from "../../policies/ceremony-events.ts";
import type { Db } from "../io/store.ts";
import type { Role } from "../role.ts";
import { lastScanned } from "../spend/blocks.ts";
import { findIntent, type IntentRow } from "../spend/intents.ts";
import { abandon } from "../spend/reserve.ts";
import { findCeremony, type LoadedCeremony, note, underWay } from "./ceremonies.ts";
import { type CeremonyParts, isLive } from "./opening.ts";

export function ceremoniesRole(parts: CeremonyParts): Role {
  async function step(): Promise<"idle"> {
    for (const id of await underWay(parts.store.db)) {
      try {
        while (await look(parts, id));
      } catch (error) {
        // One that cannot be looked at does not keep the others waiting.
        const detail = error instanceof Error ? error.message : String(error);
        parts.log.warn({ ceremony: id, detail }, "ceremony stumbled");
      }
    }
    return "idle";
  }

  return { name: "ceremonies", step };
}

/** What comes next in a ceremony by itself. */
interface Next {
  readonly do: Act;
  readonly detail: Readonly<Record<string, string>>;
  /** Why the intent is given up with it; null: it is not. */
  readonly abandons: string | null;
}

/** Appends one event, if one is due; false: there is nothing to do. */
async function look({ store, clock, log }: CeremonyParts, id: string): Promise<boolean> {
  const done = await store.transaction(async (db): Promise<Next | null> => {
    const loaded = await findCeremony(db, id);
    const intent = loaded && (await findIntent(db, loaded.ceremony.document.intent));
    if (loaded === null || intent === null) return null;
    const now = clock();
    const next = await nextOf(db, { loaded, intent, now });
    if (next === null) return null;
    const outcome = await note(db, loaded, { do: next.do, detail: next.detail, now });
    if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
    if (next.abandons !== null) {
      const objection = { rule: "ceremony", detail: next.abandons };
      await abandon(db, { id: intent.id, objection, at: now });
    }
    return next;
  });
  if (done === null) return false;
  log.info({ ceremony: id, ...done.detail }, `ceremony: ${done.do}`);
  return true;
}

interface Seen {
  readonly loaded: LoadedCeremony;
  readonly intent: IntentRow;
  readonly now: bigint;
}

async function nextOf(db: Db, seen: Seen): Promise<Next | null> {
  const { standing } = seen.loaded;
  if (standing.closed) return null;
  if (!isLive(standing.state)) return plain("close");
  return ofIntent(seen) ?? (standing.state === "open" ? await ofTime(db, seen) : null);
}

/** What became of the spend. */
function ofIntent({ loaded, intent }: Seen): Next | null {
  const { standing } = loaded;
  const txid = intent.txid ?? "";
  switch (intent.state) {
    case "broadcast":
      return standing.txid === null ? plain("broadcast", { txid }) : null;
    case "confirmed":
      return standing.height === null
        ? plain("confirmed", { txid, height: String(intent.mined_height ?? 0n) })
        : plain("complete");
    case "cancelled":
    case "refused":
    case "conflicted":
      return plain("supersede", { reason: encodeReason(`the intent is ${intent.state}`) });
    default:
      return null;
  }
}

/** Deadlines and reminders, by the clock and by the chain: whichever is further. */
async function ofTime(db: Db, { loaded, now }: Seen): Promise<Next | null> {
  const { ceremony, standing } = loaded;
  const { opened, deadline, reminders } = ceremony.document;
  const height = (await lastScanned(db))?.height ?? opened.height;
  const from = BigInt(Date.parse(opened.time));
  const until = BigInt(Date.parse(deadline.time));
  if (now > until || height > deadline.height) {
    const abandons = `nobody more agreed before block ${deadline.height}, ${deadline.time}`;
    return { ...plain("expire", { height: String(height) }), abandons };
  }
  const passed = [
    Number(((now - from) * WHOLE) / (until - from)),
    ((height - opened.height) * Number(WHOLE)) / (deadline.height - opened.height),
  ];
  const due = reminders.filter((part) => part <= Math.max(...passed)).at(-1) ?? 0;
  if (due <= standing.reminded) return null;
  return plain("remind", { part: String(due), to: namesOf(waitedFor(ceremony, standing)) });
}

/** Reminders are in basis points. */
const WHOLE = 10_000n;

function plain(act: Act, detail: Next["detail"] = {}): Next {
  return { do: act, detail, abandons: null };
}
