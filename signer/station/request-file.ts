/**
 * A request as a file, format `ballast/request@1`, for stations that nobody reaches by wire: what the
 * orchestrator would send, written out.
 */
import { base64 } from "@scure/base";
import { z } from "zod";
import { PSBT_BYTES_MAX, PsbtFault, readPsbt } from "../../policies/bitcoin/psbt.ts";
import { EvidenceError, readEvidence } from "../../policies/evidence.ts";
import { IntentError, readIntent } from "../../policies/intent.ts";
import { POSSESSION_PROOF } from "../../policies/possession.ts";
import { ROLES } from "../../policies/vault.ts";
import type { SignRequest, VaultRegistration } from "../signer.ts";
import { StationError, type StationRequest } from "./requests.ts";

const schema = z.strictObject({
  format: z.literal("ballast/request@1"),
  intent: z.unknown(),
  psbt: z.string().max(Math.ceil(PSBT_BYTES_MAX / 3) * 4),
  evidence: z.unknown().optional(),
  vaults: z
    .array(
      z.strictObject({
        vault: z.unknown(),
        proofs: z.partialRecord(z.enum(ROLES), z.string().regex(POSSESSION_PROOF)),
      }),
    )
    .max(252)
    .default([]),
});

/** Throws a StationError `malformed` with every reason that it finds. */
export function readRequestFile(value: unknown): StationRequest {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const reasons = parsed.error.issues.map(
      (issue) => `${issue.path.join(".") || "document"}: ${issue.message}`,
    );
    throw new StationError("malformed", `not a request: ${reasons.join("; ")}`);
  }
  const { intent, psbt, evidence, vaults } = parsed.data;
  return asRequest({
    ...{ intent, psbt: readBase64(psbt), evidence },
    vaults: vaults as unknown as readonly VaultRegistration[],
  });
}

export interface RequestParts {
  readonly intent: unknown;
  readonly psbt: Uint8Array;
  readonly evidence: unknown;
  readonly vaults: readonly VaultRegistration[];
}

/** A request of its parts, each read once here, so that junk is told as junk. */
export function asRequest({ intent, psbt, evidence, vaults }: RequestParts): StationRequest {
  try {
    const { id } = readIntent(intent);
    readPsbt(psbt);
    if (evidence !== undefined) readEvidence(evidence);
    const request = {
      intent: intent as SignRequest["intent"],
      psbt,
      ...(evidence !== undefined && {
        evidence: evidence as NonNullable<SignRequest["evidence"]>,
      }),
    };
    return { id, request, vaults, deadline: null, ceremony: null };
  } catch (error) {
    if (error instanceof PsbtFault) {
      throw new StationError("malformed", `psbt: ${error.message}`, { cause: error });
    }
    const known = error instanceof IntentError || error instanceof EvidenceError;
    if (known) throw new StationError("malformed", error.message, { cause: error });
    throw error;
  }
}

function readBase64(text: string): Uint8Array {
  try {
    return base64.decode(text);
  } catch (error) {
    throw new StationError("malformed", "psbt: is not base64", { cause: error });
  }
}
