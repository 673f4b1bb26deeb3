/** Requests over HTTP: the orchestrator is asked, with the token that its operator gave this station. */
import { base64 } from "@scure/base";
import {
  type Act,
  attestLine,
  encodeReason,
  eventLine,
  psbtHash,
  REASON_CHARACTERS_MAX,
} from "../../policies/ceremony.ts";
import { verifyTranscript } from "../../policies/transcript.ts";
import type { Words } from "../signer.ts";
import type { Identity } from "./identity.ts";
import { readListing, readNoticePage } from "./listed.ts";
import { plain } from "./plain.ts";
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
/** Of a thousand notices at most; there are fewer users than that, and they say little. */
const NOTICE_PAGES_MAX = 100;
/** Of a reason as it stands in an event's line. */
const REASON_ENCODED_MAX = 600;

export function httpRequests(options: HttpRequestsOptions): Requests {
  const { identity } = options;
  const ask = (path: string, body?: unknown) => askOrchestrator(options, path, body);

  const listing = async () => readListing(await ask("/v1/station/requests"));

  async function list(): Promise<readonly StationRequest[]> {
    return (await listing()).requests;
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
      const reason = reasonIn(words);
      return speak(request, { do: "decline", detail: { reason: encodeReason(reason) } }, (event) =>
        ask(`/v1/station/requests/${request.id}/declined`, { reason, event }),
      );
    },
    assent: async (request, word) => {
      const { ceremony } = request;
      if (ceremony === null) {
        throw new StationError(
          "refused",
          "this request is part of no ceremony: it has no verifiers",
        );
      }
      const path = `/v1/station/ceremonies/${ceremony.id}/events`;
      const { spendHash: spend } = word;
      const detail = word.do === "verified" ? { spend, policy: word.policy } : { spend };
      await speak(request, { do: word.do, detail }, (event) => ask(path, event));
    },
    attest: async () => {
      const attested: string[] = [];
      for (const transcript of (await listing()).ended) {
        const { ceremony, line } = endOf(transcript, identity);
        const path = `/v1/station/ceremonies/${ceremony}/events`;
        await ask(path, { line, signature: identity.sign(line) });
        attested.push(ceremony);
      }
      return attested;
    },
    notices: async () => {
      const said: SaidWords[] = [];
      let after = 0;
      for (let pages = 0; pages < NOTICE_PAGES_MAX; pages += 1) {
        const { words, last } = readNoticePage(await ask(`/v1/station/notices?after=${after}`));
        // A page that leads nowhere ends it, whatever stands on it.
        if (last === null || last <= after) return said;
        after = last;
        said.push(...words);
      }
      throw new StationError("malformed", "the orchestrator's notices have no end");
    },
    say: async (words: Words) => {
      await ask("/v1/station/notices", words);
    },
  };
}

/**
 * As much of it as an event carries: the reason is cut where it is too long, and a person who has
 * none says so. Half a letter is none.
 */
function reasonIn(words: string): string {
  const letters = words
    .normalize("NFC")
    .replace(/\p{Cs}/gu, "\ufffd")
    .trim();
  let reason = "";
  for (const letter of letters) {
    const longer = `${reason}${letter}`;
    const fits = longer.length <= REASON_CHARACTERS_MAX;
    if (!fits || encodeReason(longer).length > REASON_ENCODED_MAX) break;
    reason = longer;
  }
  return reason.trim() || "no reason given";
}

/** Throws a StationError unless the transcript is sound, has ended, and this station was there. */
function endOf(transcript: unknown, identity: Identity) {
  const finding = verifyTranscript(transcript, "so far");
  if (finding.kind === "faulty") {
    const [fault] = finding.faults;
    const detail = plain(`${fault?.place}: ${fault?.detail}`);
    throw new StationError("refused", `a transcript is not what was said: ${detail}`);
  }
  const { ceremony, standing } = finding.facts;
  if (!standing.closed) {
    throw new StationError("refused", `ceremony ${ceremony.id} has not ended, and is not attested`);
  }
  const by = nameIn(ceremony.document, identity);
  const end = { by, sequence: standing.sequence - 1, head: standing.head };
  const of = { network: ceremony.document.network, ceremony: ceremony.id };
  return { ceremony: ceremony.id, line: attestLine(of, end) };
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
