/**
 * What waits for this station: fetched from the orchestrator, which is asked and never listened to.
 * Nothing of it is believed; it is read strictly, so that junk is junk here and not further on.
 */
import type { CeremonyDocument } from "../../policies/ceremony.ts";
import type { SignRequest, VaultRegistration, Words } from "../signer.ts";

export type StationErrorCode = "unreachable" | "refused" | "malformed" | "changed" | "unknown";

/** The orchestrator, or a file, is in the way; in plain words. */
export class StationError extends Error {
  override readonly name = "StationError";
  readonly code: StationErrorCode;
  constructor(code: StationErrorCode, detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.code = code;
  }
}

/** A spend that this station is asked to sign. */
export interface StationRequest {
  /** The intent's, as it is called in the orchestrator. */
  readonly id: string;
  readonly request: SignRequest;
  /** Every vault that the request names, with the holders' proofs. */
  readonly vaults: readonly VaultRegistration[];
  /** In words; null where nobody waits. */
  readonly deadline: string | null;
  /** The ceremony that it is part of, and where its transcript stands. */
  readonly ceremony: CeremonyPlace | null;
}

export interface CeremonyPlace {
  readonly id: string;
  readonly document: CeremonyDocument;
  /** Number and previous hash of the next event. */
  readonly sequence: number;
  readonly head: string;
}

/** `policy`: hash of the law by which it was judged. */
export type Assent =
  | { readonly do: "verified"; readonly spendHash: string; readonly policy: string }
  | { readonly do: "witnessed"; readonly spendHash: string };

export interface SaidWords {
  readonly words: Words;
  readonly vaults: readonly VaultRegistration[];
}

/** Where requests come from and where answers go. */
export interface Requests {
  readonly list: () => Promise<readonly StationRequest[]>;
  readonly signed: (
    request: StationRequest,
    answer: { readonly psbt: Uint8Array; readonly spendHash: string },
  ) => Promise<void>;
  readonly decline: (request: StationRequest, reason: string) => Promise<void>;
  /** A verifier's or a witness's word in the request's ceremony. */
  readonly assent: (request: StationRequest, word: Assent) => Promise<void>;
  /** Attests the ends of ceremonies that this station took part in; says which. */
  readonly attest: () => Promise<readonly string[]>;
  /** What users have said, the oldest first, each with the vaults that it is about. */
  readonly notices: () => Promise<readonly SaidWords[]>;
  readonly say: (words: Words) => Promise<void>;
}
