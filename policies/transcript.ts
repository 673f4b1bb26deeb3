/**
 * The transcript of a ceremony, `ballast/ceremony-transcript@1`: all that happened, as a chain, and the
 * participants' word over its end. Read by whoever was not there, with nothing but itself.
 */
import { z } from "zod";
import {
  ACTS,
  ASSENTS,
  attestLine,
  type Ceremony,
  CeremonyError,
  instant,
  type QuorumPart,
  readCeremony,
} from "./ceremony.ts";
import {
  after,
  beginning,
  type CeremonyEvent,
  isBy,
  objectionsTo,
  type Standing,
} from "./ceremony-events.ts";
import { bytes, hash, name, whole } from "./evidence/scalar.ts";

export interface Attestation {
  readonly by: string;
  /** Of the last event. */
  readonly sequence: number;
  readonly head: string;
  readonly signature: string;
}

const eventSchema = z.strictObject({
  sequence: whole,
  at: instant,
  by: name,
  do: z.enum(ACTS),
  detail: z.record(z.string().max(20), z.string().max(600)),
  previous: hash,
  hash,
  signature: z.string().nullable(),
});

export const transcriptSchema = z.strictObject({
  format: z.literal("ballast/ceremony-transcript@1"),
  ceremony: z.unknown(),
  events: z.array(eventSchema).max(1_000),
  attestations: z
    .array(
      z.strictObject({
        by: name,
        sequence: whole,
        head: hash,
        signature: z.string().refine((text) => bytes(64).safeParse(text).success),
      }),
    )
    .max(20),
});

export type TranscriptDocument = z.output<typeof transcriptSchema>;

export interface TranscriptFacts {
  readonly ceremony: Ceremony;
  readonly standing: Standing;
  /** Who agreed, by name, with the part that the quorum asked for. */
  readonly agreed: readonly { readonly name: string; readonly part: QuorumPart }[];
  /** Who attested the last head. */
  readonly attested: readonly string[];
}

/** Where a transcript is at fault: `document`, `events.3`, `attestations.0`, `tail`. */
export interface TranscriptFault {
  readonly place: string;
  readonly detail: string;
}

export type TranscriptFinding =
  | { readonly kind: "sound"; readonly facts: TranscriptFacts }
  | { readonly kind: "faulty"; readonly faults: readonly TranscriptFault[] };

/**
 * Checks a transcript with nothing but itself. `whole`: it has ended, is closed, and everybody who
 * agreed, at least one participant, has attested its end, so that nothing was cut off. `so far`: the
 * ceremony may be under way.
 */
export function verifyTranscript(value: unknown, extent: "whole" | "so far"): TranscriptFinding {
  const parsed = transcriptSchema.safeParse(value);
  if (!parsed.success) {
    return faulty(
      parsed.error.issues.map(({ path, message }) => ({
        place: path.join(".") || "document",
        detail: message,
      })),
    );
  }
  let ceremony: Ceremony;
  try {
    ceremony = readCeremony(parsed.data.ceremony);
  } catch (error) {
    if (!(error instanceof CeremonyError)) throw error;
    return faulty(error.reasons.map((detail) => ({ place: "ceremony", detail })));
  }
  const { standing, faults } = replay(ceremony, parsed.data.events);
  const agreed = agreedBy(ceremony, standing);
  const words = attested(ceremony, standing, parsed.data.attestations);
  const found = [
    ...faults,
    ...words.faults,
    ...(extent === "whole" ? tailFaults(standing, agreed, words.names) : []),
  ];
  if (found.length > 0) return faulty(found);
  return { kind: "sound", facts: { ceremony, standing, agreed, attested: words.names } };
}

function faulty(faults: readonly TranscriptFault[]): TranscriptFinding {
  return { kind: "faulty", faults };
}

/** Every event in its turn; after one that cannot stand, the next is held against its own hash. */
function replay(ceremony: Ceremony, events: readonly CeremonyEvent[]) {
  const faults: TranscriptFault[] = [];
  let standing = beginning(ceremony);
  events.forEach((event, i) => {
    const objections = objectionsTo(ceremony, standing, event);
    faults.push(...objections.map((detail) => ({ place: `events.${i}`, detail })));
    standing =
      objections.length === 0
        ? after(ceremony, standing, event)
        : { ...standing, sequence: event.sequence + 1, head: event.hash };
  });
  return { standing, faults };
}

function agreedBy({ document }: Ceremony, { said }: Standing): TranscriptFacts["agreed"] {
  return document.quorum.approvals.flatMap((part) =>
    document.participants
      .filter(({ name, role }) => role === part && said.includes(`${name} ${ASSENTS[part]}`))
      .map(({ name }) => ({ name, part })),
  );
}

function attested(
  { id, document }: Ceremony,
  { sequence, head }: Standing,
  attestations: readonly Attestation[],
) {
  const faults: TranscriptFault[] = [];
  const names = new Set<string>();
  attestations.forEach((attestation, i) => {
    const place = `attestations.${i}`;
    const { by, signature } = attestation;
    const person = document.participants.find(({ name }) => name === by);
    const line = attestLine({ network: document.network, ceremony: id }, attestation);
    if (person === undefined) faults.push({ place, detail: `${by} takes no part` });
    else if (names.has(by)) faults.push({ place, detail: `${by} attests twice` });
    else if (!isBy(person, line, signature)) {
      faults.push({ place, detail: `the signature is not ${by}'s over these words` });
    } else if (attestation.head !== head || attestation.sequence !== sequence - 1) {
      faults.push({ place, detail: `${by} attests another end than this` });
    }
    names.add(by);
  });
  return { faults, names: [...names] };
}

function tailFaults(
  { closed }: Standing,
  agreed: TranscriptFacts["agreed"],
  attested: readonly string[],
): readonly TranscriptFault[] {
  const missing = agreed.filter(({ name }) => !attested.includes(name));
  const details = [
    ...(closed ? [] : ["it is not closed: it goes on, or was cut off"]),
    ...missing.map(({ name }) => `${name} agreed, and has not attested the end`),
    ...(attested.length > 0 ? [] : ["nobody has attested the end"]),
  ];
  return details.map((detail) => ({ place: "tail", detail }));
}
