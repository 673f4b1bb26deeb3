/**
 * What happens in a ceremony: a chain of events, and who may do what when. That is here, once: the
 * orchestrator asks it before it appends, and whoever reads a transcript asks it again. Pure.
 */
import { fromHex } from "./bitcoin/hash.ts";
import { signsText } from "./bitcoin/message.ts";
import {
  type Act,
  ASSENTS,
  type Ceremony,
  type EventContent,
  eventHash,
  eventLine,
  holdsKey,
  isDetail,
  ORCHESTRATOR,
  type Part,
  type Participant,
  type Sealing,
} from "./ceremony.ts";

export const CEREMONY_STATES = [
  "open",
  "approved",
  "complete",
  "declined",
  "expired",
  "superseded",
] as const;
export type CeremonyState = (typeof CEREMONY_STATES)[number];

/** An event as it stands in a transcript. */
export interface CeremonyEvent extends EventContent, Sealing {
  readonly hash: string;
}

/** What the events so far come to. */
export interface Standing {
  readonly state: CeremonyState;
  readonly closed: boolean;
  /** Of the next event. */
  readonly sequence: number;
  /** Hash of the last event; the ceremony's id before the first. */
  readonly head: string;
  /** Time of the last event; of the opening before the first. */
  readonly at: string;
  /** What each participant has said, `name act`. */
  readonly said: readonly string[];
  readonly reminded: number;
  readonly txid: string | null;
  readonly height: number | null;
}

export function beginning({ id, document }: Ceremony): Standing {
  return {
    state: "open",
    closed: false,
    sequence: 0,
    head: id,
    at: document.opened.time,
    said: [],
    reminded: 0,
    txid: null,
    height: null,
  };
}

/** The event whole, to be put after the standing. */
export function sealed(
  { id, document }: Ceremony,
  event: EventContent,
  sealing: Sealing,
): CeremonyEvent {
  const line = eventLine(document.network, id, event);
  return { ...event, ...sealing, hash: eventHash(line, sealing) };
}

/** Every reason why this event cannot stand here; empty: it can. */
export function objectionsTo(
  ceremony: Ceremony,
  standing: Standing,
  event: CeremonyEvent,
): readonly string[] {
  const { document } = ceremony;
  if (!isDetail(event.do, event.detail)) return [`${event.do} is not written in its one form`];
  const line = eventLine(document.network, ceremony.id, event);
  return [
    ...chainFaults(standing, event, eventHash(line, event)),
    ...(event.by === ORCHESTRATOR
      ? houseFaults(ceremony, standing, event)
      : personFaults(ceremony, standing, { event, line })),
  ];
}

function chainFaults(standing: Standing, event: CeremonyEvent, recomputed: string) {
  const wanted = standing.sequence;
  return [
    ...(event.sequence === wanted ? [] : [`it is numbered ${event.sequence}, not ${wanted}`]),
    ...(event.previous === standing.head ? [] : ["it does not follow the event before it"]),
    ...(event.hash === recomputed ? [] : ["its hash is not that of its words: it was edited"]),
    ...(event.at >= standing.at ? [] : ["it is earlier than the event before it"]),
    ...(standing.closed ? ["the transcript is closed"] : []),
    ...((standing.sequence === 0) === (event.do === "open")
      ? []
      : ["a transcript begins with its opening, once"]),
  ];
}

/** From where the orchestrator may note what. */
const NOTED: Readonly<Partial<Record<Act, readonly CeremonyState[]>>> = {
  open: ["open"],
  remind: ["open"],
  expire: ["open"],
  // Approved means signed by all: what could still come in between is another spend of the coins.
  supersede: ["open", "approved"],
  // Any two keys finish a spend, so a transaction may be there before the quorum is.
  broadcast: ["open", "approved"],
  confirmed: ["open", "approved"],
  complete: ["open", "approved"],
  close: ["complete", "declined", "expired", "superseded"],
};

function houseFaults({ document }: Ceremony, standing: Standing, event: CeremonyEvent) {
  const { do: act, detail } = event;
  const from = NOTED[act];
  if (from === undefined) return [`${act} is not the orchestrator's to say`];
  const { txid } = document.spend;
  return [
    ...(event.signature === null ? [] : ["the orchestrator signs nothing"]),
    ...(from.includes(standing.state) ? [] : [`${act} where the ceremony is ${standing.state}`]),
    ...(detail["txid"] === undefined || detail["txid"] === txid ? [] : ["it is another spend"]),
    ...(act === "expire" && !isLate(document, event) ? ["the deadline has not passed"] : []),
    ...(act === "complete" && standing.height === null ? ["the spend is not confirmed"] : []),
  ];
}

function isLate({ deadline }: Ceremony["document"], { at, detail }: CeremonyEvent): boolean {
  return at > deadline.time || Number(detail["height"]) > deadline.height;
}

/** What each part may say. */
const MAY: Readonly<Record<Part, readonly Act[]>> = {
  initiator: ["seen"],
  verifier: ["seen", "verified", "decline"],
  trustee: ["seen", "verified", "approve", "decline"],
  "second-trustee": ["seen", "verified", "approve", "decline"],
  witness: ["seen", "witnessed", "decline"],
};

/** Acts of those alone whom the quorum asks for. */
const QUORUM_ONLY: ReadonlySet<Act> = new Set<Act>(["approve", "decline"]);

interface Spoken {
  readonly event: CeremonyEvent;
  readonly line: string;
}

function personFaults(ceremony: Ceremony, standing: Standing, { event, line }: Spoken) {
  const { participants, quorum, spend, deadline } = ceremony.document;
  const { by, do: act, detail, signature } = event;
  const person = participants.find(({ name }) => name === by);
  if (person === undefined) return [`${by} takes no part`];
  const asked = (quorum.approvals as readonly Part[]).includes(person.role);
  // Afterwards nobody can stop it any more, and who was there may still say so.
  const late = standing.state === "approved" && !QUORUM_ONLY.has(act);
  const before = waitedFor(ceremony, standing).filter(({ role }) => !holdsKey(role));
  return [
    ...(isBy(person, line, signature) ? [] : [`the signature is not ${by}'s over these words`]),
    ...(MAY[person.role].includes(act) ? [] : [`a ${person.role} does not say ${act}`]),
    ...(QUORUM_ONLY.has(act) && !asked ? [`the quorum does not ask for a ${person.role}`] : []),
    ...(standing.state === "open" || late
      ? []
      : [`${act} where the ceremony is ${standing.state}`]),
    ...(standing.said.includes(`${by} ${act}`) ? [`${by} has said ${act} already`] : []),
    ...(detail["spend"] === undefined || detail["spend"] === spend.hash
      ? []
      : ["it is about another spend"]),
    ...(event.at <= deadline.time || act === "decline" || late ? [] : ["the deadline has passed"]),
    ...(act === "approve" && before.length > 0
      ? [`${namesOf(before)} must speak before a key signs`]
      : []),
  ];
}

/** Whether the participant's station has signed the line. */
export function isBy({ key }: Participant, line: string, signature: string | null): boolean {
  return (
    signature !== null &&
    /^[0-9a-f]{128}$/.test(signature) &&
    // A station's key is x-only; the texts' verifier takes compressed keys and looks past the sign.
    signsText(line, fromHex(signature), fromHex(`02${key}`))
  );
}

/** Whom of the quorum the ceremony still waits for. */
export function waitedFor({ document }: Ceremony, { said }: Standing): readonly Participant[] {
  const { participants, quorum } = document;
  return quorum.approvals.flatMap((part) => {
    const own = participants.filter(({ role }) => role === part);
    return own.some(({ name }) => said.includes(`${name} ${ASSENTS[part]}`)) ? [] : own;
  });
}

export function namesOf(participants: readonly Participant[]): string {
  return participants.map(({ name }) => name).join(",");
}

const ENDS: Readonly<Partial<Record<Act, CeremonyState>>> = {
  decline: "declined",
  expire: "expired",
  supersede: "superseded",
  complete: "complete",
};

/** The standing with one event more; the event may stand here. */
export function after(ceremony: Ceremony, standing: Standing, event: CeremonyEvent): Standing {
  const { detail } = event;
  const spoken: Standing = {
    ...standing,
    sequence: standing.sequence + 1,
    head: event.hash,
    at: event.at,
    closed: event.do === "close",
    said: event.by === ORCHESTRATOR ? standing.said : [...standing.said, `${event.by} ${event.do}`],
    reminded: event.do === "remind" ? Number(detail["part"]) : standing.reminded,
    txid: detail["txid"] ?? standing.txid,
    height: event.do === "confirmed" ? Number(detail["height"]) : standing.height,
  };
  const end = ENDS[event.do];
  if (end !== undefined) return { ...spoken, state: end };
  const agreed = spoken.state === "open" && waitedFor(ceremony, spoken).length === 0;
  return agreed ? { ...spoken, state: "approved" } : spoken;
}
