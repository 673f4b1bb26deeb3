/** People at their stations: ceremonies and notices. */
import type { Generated } from "kysely";
import type { Part } from "../../policies/ceremony.ts";
import type { CeremonyState } from "../../policies/ceremony-events.ts";
import type { NoticeKind } from "../../policies/evidence/notice.ts";

/** What people use at home: a user's, or that of whoever takes part in ceremonies. Written by
 * ceremony/stations.ts. */
export interface StationTable {
  /** Hash of its key. */
  readonly id: string;
  readonly name: string;
  readonly role: "user" | Part;
  /** Whose; null for all but users. */
  readonly account: string | null;
  /** x-only, in hex: signs its events, and is no key of any vault. */
  readonly key: string;
  /** SHA-256 of its token, which is shown once; null: it is disabled. */
  readonly token_hash: string | null;
  readonly created_at: bigint;
}

/** Written by ceremony/ceremonies.ts, like the two that follow. */
export interface CeremonyTable {
  readonly id: string;
  readonly intent: string;
  /** `ballast/ceremony@1` in JSON. */
  readonly document: string;
  readonly state: CeremonyState;
  /** Of the next event: whoever appends moves it by compare-and-set. */
  readonly sequence: bigint;
  /** Hash of the last event. */
  readonly head: string;
  readonly closed: bigint;
  readonly created_at: bigint;
}

export interface CeremonyParticipantTable {
  readonly ceremony: string;
  readonly name: string;
  readonly role: Part;
  readonly key: string;
  /** Signature over the last head, once the transcript is closed. */
  readonly attestation: string | null;
}

/** The transcript, which only grows. */
export interface CeremonyEventTable {
  readonly ceremony: string;
  readonly sequence: bigint;
  readonly at: string;
  readonly by: string;
  readonly act: string;
  /** JSON. */
  readonly detail: string;
  readonly previous: string;
  readonly hash: string;
  readonly signature: string | null;
}

/** What users say outside of any spend. Written by ceremony/notices.ts. */
export interface NoticeTable {
  /** The order in which they were heard. */
  readonly sequence: Generated<bigint>;
  readonly vault: string;
  readonly kind: NoticeKind;
  readonly text: string;
  readonly signature: string;
  readonly at: bigint;
  /** Whether the LSP's signer has heard it, or has refused to. */
  readonly told: "waiting" | "heard" | "refused";
  /** Why not yet, or why not, in JSON. */
  readonly reasons: string;
  readonly retry_at: bigint;
  readonly attempts: bigint;
}
