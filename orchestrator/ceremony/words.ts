/** What participants say besides yes and no: seen, verified, witnessed, and their word over the end. */
import { type Act, attestLine } from "../../policies/ceremony.ts";
import { findCeremony, keepAttestation, type LoadedCeremony } from "./ceremonies.ts";
import {
  type AnswerOutcome,
  appendWith,
  type HearingParts,
  isSigned,
  nameOf,
  readSigned,
  type SignedLine,
  unheard,
} from "./heard.ts";
import type { StationRow } from "./stations.ts";

const WORDS: readonly Act[] = ["seen", "verified", "witnessed"];

interface Word {
  readonly ceremony: string;
  readonly signed: SignedLine;
}

/** Null: the station takes no part in such a ceremony. */
export async function answerWord(
  parts: HearingParts,
  station: StationRow,
  { ceremony: id, signed }: Word,
): Promise<AnswerOutcome | null> {
  const loaded = await findCeremony(parts.store.db, id);
  const name = loaded === null ? null : nameOf(loaded, station);
  if (loaded === null || name === null) return null;
  if (signed.line.startsWith("Ballast attest ")) {
    return await attest(parts, { loaded, station, signed, name });
  }
  const read = readSigned(parts, { loaded, station, signed, acts: WORDS });
  if (read.kind !== "event") return read;
  return await appendWith(parts, { id, event: read.event }, async () => undefined);
}

interface Attesting {
  readonly loaded: LoadedCeremony;
  readonly station: StationRow;
  readonly signed: SignedLine;
  readonly name: string;
}

async function attest(
  { store }: HearingParts,
  { loaded, station, signed, name }: Attesting,
): Promise<AnswerOutcome> {
  const { ceremony, standing } = loaded;
  if (!standing.closed) return unheard("conflict", "the transcript is not closed yet");
  const end = { by: name, sequence: standing.sequence - 1, head: standing.head };
  const line = attestLine({ network: ceremony.document.network, ceremony: ceremony.id }, end);
  if (line !== signed.line) {
    return unheard("content", `line: this transcript ends with event ${end.sequence}, ${end.head}`);
  }
  if (!isSigned(signed, station)) {
    return unheard("content", "signature: it is not the station's over this line");
  }
  const attestation = { ceremony: ceremony.id, name, signature: signed.signature };
  return { kind: "heard", fresh: await keepAttestation(store.db, attestation), standing };
}
