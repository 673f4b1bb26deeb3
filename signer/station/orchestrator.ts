/** Requests over HTTP: the orchestrator is asked, with the token that its operator gave this station. */
import { base64 } from "@scure/base";
import { z } from "zod";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import {
  type Act,
  attestLine,
  CeremonyError,
  encodeReason,
  eventLine,
  psbtHash,
  REASON_CHARACTERS_MAX,
  readCeremony,
} from "../../policies/ceremony.ts";
import { verifyTranscript } from "../../policies/transcript.ts";
import type { VaultRegistration, Words } from "../signer.ts";
import type { Identity } from "./identity.ts";
import { asRequest } from "./request-file.ts";
import {
  type CeremonyPlace,
  type Requests,
  StationError,
  type StationRequest,
} from "./requests.ts";

export interface HttpRequestsOptions {
  readonly url: string;
  readonly token: string;
  readonly identity: Identity;
}

const WAIT_MS = 30_000;
/** Twenty requests of the largest size. */
const ANSWER_BYTES_MAX = 20 * 2 * PSBT_BYTES_MAX;
/** So often an event is written anew because somebody else spoke first. */
const TRIES_MAX = 8;

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
        deadline: z.object({ height: z.int(), time: z.string().max(40).nullable() }),
      }),
    )
    .max(20),
  ended: z.array(z.unknown()).max(20),
});

const noticesSchema = z.object({
  notices: z
    .array(z.object({ text: z.string().max(300), signature: z.string().max(130) }))
    .max(10_000),
});

export function httpRequests(options: HttpRequestsOptions): Requests {
  const { identity } = options;
  const ask = (path: string, body?: unknown) => answered(options, path, body);

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
      const reason = words.normalize("NFC").slice(0, REASON_CHARACTERS_MAX);
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
      const answer = noticesSchema.safeParse(await ask("/v1/station/notices"));
      if (answer.success) return answer.data.notices;
      throw new StationError("malformed", "the orchestrator's notices cannot be read");
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
    ceremony: ceremony && placeOf(ceremony),
  };
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

/** Something happened meanwhile: look again. */
class Conflict extends StationError {}

function raise(error: Error): never {
  throw error;
}

const problemSchema = z.object({
  detail: z.string().optional(),
  reasons: z.array(z.string()).optional(),
});

async function answered(
  { url, token }: HttpRequestsOptions,
  path: string,
  body: unknown,
): Promise<unknown> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(`${url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(WAIT_MS),
      redirect: "error",
    });
    text = await response.text();
  } catch (error) {
    const detail = `the orchestrator at ${url} does not answer; nothing is lost, ask again later`;
    throw new StationError("unreachable", detail, { cause: error });
  }
  const answer = text.length > ANSWER_BYTES_MAX ? null : json(text);
  if (response.ok && answer !== null) return answer;
  const { data } = problemSchema.safeParse(answer);
  const said = [...new Set([data?.detail ?? "", ...(data?.reasons ?? [])])].filter(Boolean);
  const detail = `the orchestrator says ${response.status}: ${said.join("; ") || "no more"}`;
  if (response.status === 409) throw new Conflict("refused", detail);
  throw new StationError("refused", detail);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
