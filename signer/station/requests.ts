/**
 * What waits for this station: fetched from the orchestrator, which is asked and never listened to.
 * Nothing of it is believed; it is read strictly, so that junk is junk here and not further on.
 */
import { base64 } from "@scure/base";
import { z } from "zod";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { type EvidenceDocument, evidenceSchema } from "../../policies/evidence.ts";
import { intentSchema } from "../../policies/intent.ts";
import { POSSESSION_PROOF } from "../../policies/possession.ts";
import { ROLES, vaultSchema } from "../../policies/vault.ts";
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
