/** Requests over HTTP: the orchestrator is asked, with the token that its operator gave this station. */
import { base64 } from "@scure/base";
import { z } from "zod";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { shown, txidOf } from "../../policies/bitcoin/transaction.ts";
import {
  type Act,
  attestLine,
  CeremonyError,
  encodeReason,
  eventLine,
  fittingReason,
  instant,
  psbtHash,
  readCeremony,
} from "../../policies/ceremony.ts";
import { LINE_BYTES_MAX } from "../../policies/evidence/line.ts";
import { spendHash } from "../../policies/facts.ts";
import { readIntent } from "../../policies/intent.ts";
import { verifyTranscript } from "../../policies/transcript.ts";
import type { VaultRegistration, Words } from "../signer.ts";
import type { Identity } from "./identity.ts";
import { asRequest } from "./request-file.ts";
import {
  type CeremonyPlace,
  type Requests,
  type SaidWords,
  StationError,
  type StationRequest,
} from "./requests.ts";
import { askOrchestrator, Conflict, type Wire } from "./wire.ts";

export interface HttpRequestsOptions extends Wire {
  readonly identity: Identity;
}

/** So often an event is written anew because somebody else spoke first. */
const TRIES_MAX = 8;

/** A hundred thousand words of users; more are no list but an attack. */
const PAGES_MAX = 1_000;

const hash = z.string().regex(/^[0-9a-f]{64}$/);

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

export function httpRequests(options: HttpRequestsOptions): Requests {
  const { identity } = options;
  const ask = (path: string, body?: unknown) => askOrchestrator(options, path, body);

  async function listed() {
    const answer = listSchema.safeParse(await ask("/v1/station/requests"));
    if (answer.success) return answer.data;
    const [issue] = answer.error.issues;
    throw new StationError(
      "malformed",
      `the orchestrator's answer cannot be read: ${issue?.path.join(".")}: ${issue?.message}`,
    );
  }

  async function list(): Promise<readonly StationRequest[]> {
    return (await listed()).requests.map(requestFrom);
  }

  /** Says it at the end of the transcript; where somebody else spoke first, at the new end. */
  async function speak(
    request: StationRequest,
    event: Pick<Spoken, "do" | "detail">,
    send: (event: SignedLine | undefined) => Promise<unknown>,
  ): Promise<void> {
    const { ceremony } = request;
    if (ceremony === null) {
      await send(undefined);
      return;
    }
    let place = ceremony;
    for (let tries = 1; ; tries += 1) {
      try {
        await send(lineAt(place, event, identity));
        return;
      } catch (error) {
        if (!(error instanceof Conflict) || tries === TRIES_MAX) throw error;
        place = (await placeAfter(request, place)) ?? raise(error);
      }
    }
  }

  /** Where the transcript stands now; null where nobody has spoken since. */
  async function placeAfter(
    { id }: StationRequest,
    { id: ceremony, head }: CeremonyPlace,
  ): Promise<CeremonyPlace | null> {
    const now = (await list()).find((request) => request.id === id)?.ceremony ?? null;
    return now?.id === ceremony && now.head !== head ? now : null;
  }

  return {
    list,
    signed: (request, { psbt, spendHash }) =>
      speak(
        request,
        { do: "approve", detail: { psbt: psbtHash(psbt), spend: spendHash } },
        (event) =>
          ask(`/v1/station/requests/${request.id}/signed`, { psbt: base64.encode(psbt), event }),
      ),
    decline: (request, words) => {
      const reason = fittingReason(words);
      return speak(request, { do: "decline", detail: { reason: encodeReason(reason) } }, (event) =>
        ask(`/v1/station/requests/${request.id}/declined`, { reason, event }),
      );
    },
    attest: async () => {
      const attested: string[] = [];
      for (const transcript of (await listed()).ended) {
        const finding = verifyTranscript(transcript, "so far");
        if (finding.kind === "faulty") {
          const [fault] = finding.faults;
          throw new StationError(
            "refused",
            `a transcript is not what was said: ${fault?.place}: ${fault?.detail}`,
          );
        }
        const { ceremony, standing } = finding.facts;
        // A word over the end of what goes on would stand before things that nobody has seen.
        if (!standing.closed) {
          throw new StationError("refused", `the transcript of ${ceremony.id} has not ended`);
        }
        const by = nameIn(ceremony.document, identity);
        const end = { by, sequence: standing.sequence - 1, head: standing.head };
        const of = { network: ceremony.document.network, ceremony: ceremony.id };
        const line = attestLine(of, end);
        const path = `/v1/station/ceremonies/${ceremony.id}/events`;
        await ask(path, { line, signature: identity.sign(line) });
        attested.push(ceremony.id);
      }
      return attested;
    },
    notices: async () => {
      const said: SaidWords[] = [];
      let after = 0;
      for (let pages = 0; pages < PAGES_MAX; pages += 1) {
        const answer = noticesSchema.safeParse(await ask(`/v1/station/notices?after=${after}`));
        if (!answer.success) {
          throw new StationError("malformed", "the orchestrator's notices cannot be read");
        }
        const last = answer.data.notices.at(-1)?.sequence ?? after;
        // A page that leads nowhere ends it, whatever stands on it.
        if (last <= after) return said;
        after = last;
        said.push(...answer.data.notices.map(wordsFrom));
      }
      throw new StationError("malformed", "the orchestrator's notices have no end");
    },
    say: async (words: Words) => {
      await ask("/v1/station/notices", words);
    },
  };
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
    ceremony: ceremony && placeIn(ceremony, request),
  };
}

/**
 * The ceremony is about this very spend: what the person says to one would be heard in another else,
 * and their no to an evil request would end an honest one.
 */
function placeIn(
  listed: NonNullable<Listed["ceremony"]>,
  { id, request }: StationRequest,
): CeremonyPlace {
  const place = placeOf(listed);
  const { intent, network, spend } = place.document;
  const psbt = readPsbt(request.psbt);
  const same =
    intent === id &&
    network === readIntent(request.intent).network &&
    spend.hash === spendHash(psbt) &&
    spend.txid === shown(txidOf(psbt.tx));
  if (same) return place;
  throw new StationError("malformed", `ceremony ${place.id} is about another spend than ${id}`);
}

function placeOf({ document, head }: NonNullable<Listed["ceremony"]>): CeremonyPlace {
  try {
    const ceremony = readCeremony(document);
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

interface Spoken {
  readonly do: Act;
  readonly detail: Readonly<Record<string, string>>;
}

interface SignedLine {
  readonly line: string;
  readonly signature: string;
}

function lineAt(
  { id, document, sequence, head }: CeremonyPlace,
  spoken: Spoken,
  identity: Identity,
): SignedLine {
  const by = nameIn(document, identity);
  const line = eventLine(document.network, id, { sequence, previous: head, by, ...spoken });
  return { line, signature: identity.sign(line) };
}

function nameIn({ participants }: CeremonyPlace["document"], { publicKey }: Identity): string {
  const own = participants.find(({ key }) => key === publicKey);
  if (own !== undefined) return own.name;
  throw new StationError("refused", "this station's key takes no part in the ceremony");
}

function raise(error: Error): never {
  throw error;
}
