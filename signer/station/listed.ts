/** What the orchestrator lists, read strictly where this station uses it. */
import { base64 } from "@scure/base";
import { z } from "zod";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { shown, txidOf } from "../../policies/bitcoin/transaction.ts";
import { CeremonyError, instant, readCeremony } from "../../policies/ceremony.ts";
import { LINE_BYTES_MAX } from "../../policies/evidence/line.ts";
import { hash } from "../../policies/evidence/scalar.ts";
import { spendHash } from "../../policies/facts.ts";
import { readIntent } from "../../policies/intent.ts";
import type { VaultRegistration } from "../signer.ts";
import { plain } from "./plain.ts";
import { asRequest } from "./request-file.ts";
import {
  type CeremonyPlace,
  type SaidWords,
  StationError,
  type StationRequest,
} from "./requests.ts";

/** What we use of an answer; more may stand in it. */
const listSchema = z.object({
  requests: z
    .array(
      z.object({
        id: hash,
        intent: z.unknown(),
        psbt: z.string(),
        evidence: z.unknown(),
        vaults: z.array(z.unknown()).max(252),
        ceremony: z
          .object({
            document: z.unknown(),
            head: z.object({ sequence: z.int().min(-1), hash }),
          })
          .nullable(),
        deadline: z.object({ height: z.int(), time: instant.nullable() }),
      }),
    )
    .max(20),
  ended: z.array(z.unknown()).max(20),
});

const noticesSchema = z.object({
  notices: z
    .array(
      z.object({
        sequence: z.int().nonnegative(),
        text: z.string().max(LINE_BYTES_MAX),
        signature: z.string().max(130),
        vaults: z.array(z.unknown()).max(2),
      }),
    )
    .max(1_000),
});

export interface Listing {
  readonly requests: readonly StationRequest[];
  /** Transcripts whose end this station has not attested; not read yet. */
  readonly ended: readonly unknown[];
}

/** Throws a StationError `malformed`. */
export function readListing(value: unknown): Listing {
  const { requests, ended } = read("list", listSchema, value);
  return { requests: requests.map(requestFrom), ended };
}

export interface NoticePage {
  readonly words: readonly SaidWords[];
  /** Number of the last one; null on an empty page. */
  readonly last: number | null;
}

/** Throws a StationError `malformed`. */
export function readNoticePage(value: unknown): NoticePage {
  const { notices } = read("notices", noticesSchema, value);
  return { words: notices.map(wordsFrom), last: notices.at(-1)?.sequence ?? null };
}

function read<Schema extends z.ZodType>(what: string, schema: Schema, value: unknown) {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const detail = plain(`${issue?.path.join(".") || "answer"}: ${issue?.message}`);
  throw new StationError("malformed", `the orchestrator's ${what} cannot be read: ${detail}`);
}

type Listed = z.output<typeof listSchema>["requests"][number];

function requestFrom({ id, intent, psbt, evidence, vaults, ceremony, deadline }: Listed) {
  const request = asRequest({
    ...{ intent, psbt: decoded(psbt), evidence: evidence ?? undefined },
    // Read by the law when the vault is registered, and refused there with reasons.
    vaults: vaults as readonly VaultRegistration[],
  });
  if (request.id !== id) {
    throw new StationError("malformed", `request ${id} carries another intent: ${request.id}`);
  }
  const until = deadline.time === null ? "" : `, at the latest ${deadline.time}`;
  return {
    ...request,
    deadline: `block ${deadline.height}${until}`,
    ceremony: ceremony && placeOf(request, ceremony),
  };
}

/**
 * The ceremony is about this very spend: what the person says to one would be heard in another else,
 * and their no to an evil request would end an honest one.
 */
function placeOf(
  { id, request }: StationRequest,
  { document, head }: NonNullable<Listed["ceremony"]>,
): CeremonyPlace {
  try {
    const ceremony = readCeremony(document);
    const { intent, network, spend } = ceremony.document;
    const psbt = readPsbt(request.psbt);
    const same =
      intent === id &&
      network === readIntent(request.intent).network &&
      spend.hash === spendHash(psbt) &&
      spend.txid === shown(txidOf(psbt.tx));
    if (!same) {
      throw new StationError("malformed", `request ${id} comes with the ceremony of another spend`);
    }
    return { ...ceremony, sequence: head.sequence + 1, head: head.hash };
  } catch (error) {
    if (!(error instanceof CeremonyError)) throw error;
    throw new StationError("malformed", error.message, { cause: error });
  }
}

function decoded(psbt: string): Uint8Array {
  try {
    return base64.decode(psbt);
  } catch (error) {
    throw new StationError("malformed", "a PSBT is not base64", { cause: error });
  }
}

type Noticed = z.output<typeof noticesSchema>["notices"][number];

function wordsFrom({ text, signature, vaults }: Noticed): SaidWords {
  return { words: { text, signature }, vaults: vaults as readonly VaultRegistration[] };
}
