/** What waits for a station: all that it needs to judge by itself, and nothing of others. */
import { base64 } from "@scure/base";
import type { EvidenceDocument } from "../../policies/evidence.ts";
import { type IntentDocument, readIntent } from "../../policies/intent.ts";
import { needsUser } from "../../policies/purpose.ts";
import type { TranscriptDocument } from "../../policies/transcript.ts";
import { ROLES, type Role, type VaultDocument } from "../../policies/vault.ts";
import type { VaultRegistration } from "../../signer/signer.ts";
import type { Db } from "../io/store.ts";
import { builtIntentsOf } from "../spend/intent-lists.ts";
import { evidenceOf, findIntent, type IntentRow } from "../spend/intents.ts";
import { firstSigner, windowBlocks } from "../spend/signers.ts";
import {
  findCeremony,
  type LoadedCeremony,
  openFor,
  transcriptOf,
  unattestedBy,
} from "./ceremonies.ts";
import type { StationRow } from "./stations.ts";

export interface StationRequest {
  readonly id: string;
  readonly intent: IntentDocument;
  /** Base64, with all valid signatures so far. */
  readonly psbt: string;
  readonly evidence: EvidenceDocument;
  /** Every vault that the intent names. */
  readonly vaults: readonly VaultRegistration[];
  /** Null where a user signs: that is no ceremony. */
  readonly ceremony: CeremonyView | null;
  readonly signedBy: readonly Role[];
  /** Whichever comes first; without a time where only blocks count. */
  readonly deadline: { readonly height: number; readonly time: string | null };
}

export interface CeremonyView {
  readonly id: string;
  readonly state: string;
  readonly closed: boolean;
  readonly document: LoadedCeremony["ceremony"]["document"];
  /** Of the last event: the next one is numbered one more, and names this hash. */
  readonly head: { readonly sequence: number; readonly hash: string };
  readonly events: LoadedCeremony["events"];
}

export interface StationRequests {
  readonly requests: readonly StationRequest[];
  /** Closed transcripts whose end this station has not attested, newest first. */
  readonly ended: readonly TranscriptDocument[];
}

/** A station looks at so many and comes again. */
const SHOWN_MAX = 20;

export async function requestsFor(db: Db, station: StationRow): Promise<StationRequests> {
  const { account, key, role } = station;
  if (role === "user") {
    const built = await builtIntentsOf(db, account ?? "", SHOWN_MAX);
    const own = built.filter(({ purpose }) => needsUser(purpose));
    return { requests: await Promise.all(own.map((row) => requestOf(db, row, null))), ended: [] };
  }
  const requests: StationRequest[] = [];
  for (const id of (await openFor(db, key)).slice(0, SHOWN_MAX)) {
    const loaded = await findCeremony(db, id);
    const intent = loaded && (await findIntent(db, loaded.ceremony.document.intent));
    if (loaded !== null && intent !== null) requests.push(await requestOf(db, intent, loaded));
  }
  const ended: TranscriptDocument[] = [];
  for (const id of await unattestedBy(db, key, SHOWN_MAX)) {
    const loaded = await findCeremony(db, id);
    if (loaded !== null) ended.push(await transcriptOf(db, loaded));
  }
  return { requests, ended };
}

async function requestOf(
  db: Db,
  row: IntentRow,
  loaded: LoadedCeremony | null,
): Promise<StationRequest> {
  const { psbt, locktime, purpose } = row;
  if (psbt === null || locktime === null) throw new Error(`BUG: intent ${row.id} has no PSBT`);
  const intent = JSON.parse(row.document) as IntentDocument;
  const { vault, parties } = readIntent(intent);
  return {
    id: row.id,
    intent,
    psbt: base64.encode(psbt),
    evidence: evidenceOf(row) ?? { format: "ballast/evidence@1" },
    vaults: await registrationsOf(db, [vault, ...parties]),
    ceremony: loaded && ceremonyView(loaded),
    signedBy: signedBy(row, loaded),
    deadline: loaded?.ceremony.document.deadline ?? {
      height: Number(locktime) + windowBlocks(purpose),
      time: null,
    },
  };
}

/** Whose signatures are there, by what was accepted. */
function signedBy({ state, purpose }: IntentRow, loaded: LoadedCeremony | null): readonly Role[] {
  const { participants } = loaded?.ceremony.document ?? { participants: [] };
  const approved = (loaded?.events ?? [])
    .filter(({ do: act }) => act === "approve")
    .map(({ by }) => participants.find(({ name }) => name === by)?.role);
  const first = firstSigner(purpose);
  // A user's spend is held by the second; any other by the first, whose signature it then lacks.
  const bare = ["raised", "built", ...(first === "user" ? [] : ["held"])].includes(state);
  return ROLES.filter((role) => (role === first ? !bare : approved.includes(role as never)));
}

export function ceremonyView({ ceremony, standing, events }: LoadedCeremony): CeremonyView {
  return {
    id: ceremony.id,
    state: standing.state,
    closed: standing.closed,
    document: ceremony.document,
    head: { sequence: standing.sequence - 1, hash: standing.head },
    events,
  };
}

/** With what every signer asks for before it takes a vault for one. */
export async function registrationsOf(
  db: Db,
  ids: readonly string[],
): Promise<readonly VaultRegistration[]> {
  const rows = await db.selectFrom("vaults").selectAll().where("id", "in", ids).execute();
  return rows.map(({ document, proofs }) => ({
    vault: JSON.parse(document) as VaultDocument,
    proofs: JSON.parse(proofs ?? "{}") as VaultRegistration["proofs"],
  }));
}
