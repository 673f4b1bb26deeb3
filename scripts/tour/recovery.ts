/**
 * The second part of the tour: the LSP is gone. The user says so, the trustee's delay passes, and user
 * and trustee spend without it, in a ceremony whose transcript anybody can check.
 */

import { verifyTranscript } from "../../policies/transcript.ts";
import { readVault } from "../../policies/vault.ts";
import { compose, say as saySigned } from "../../signer/station/speech.ts";
import type { Miner } from "../miner.ts";
import { type AccountView, type Client, type IntentView, poll, TourError } from "./client.ts";
import { confirmed, signWhereAsked } from "./payout.ts";
import { register, sign, type TourPerson } from "./people.ts";

const RECOVERY_SATS = 250_000n;

export interface Recovery {
  readonly done: IntentView;
  readonly ceremony: string;
  readonly events: number;
  /** Who attested the transcript. */
  readonly attested: readonly string[];
  readonly trusteeRules: number | null;
  /** What the trustee's device showed. */
  readonly screens: readonly string[];
}

export interface RecoveryParts {
  readonly api: Client;
  readonly user: TourPerson;
  readonly trustee: TourPerson;
  readonly miner: Miner;
  readonly account: AccountView;
  readonly address: string;
  /** Of the trustee's law. */
  readonly delayBlocks: number;
  readonly say: (line: string) => void;
}

export async function recover(parts: RecoveryParts): Promise<Recovery> {
  const { api, user, trustee, miner, account, address, say } = parts;
  await announce(parts);
  const raised = await api.post<IntentView>("/v1/recoveries", {
    ...{ account: account.id, address, sats: String(RECOVERY_SATS), reference: "tour recovery" },
  });
  say(`recovering ${RECOVERY_SATS} sat without the LSP; the user signs first`);
  await signWhereAsked(api, user, raised.id);
  const id = await ceremonyFor(api, raised.id);
  say("a ceremony is open: the trustee's station checks the vault, and the Ledger registers it");
  await register(trustee, { vault: account.document, proofs: account.proofs ?? {} });
  const waits = await trustee.station.list();
  const signed = waits.some((request) => request.id === raised.id)
    ? await sign(trustee, raised.id)
    : null;
  say("the trustee has agreed and signed on the Ledger");
  const done = await confirmed(api, raised.id, { miner, say });
  const { events, attested } = await transcript(parts, id);
  say(`the transcript of ${events} events is closed, and attested by the ${attested.join(", ")}`);
  return {
    ...{ done, ceremony: id, events, attested },
    trusteeRules: signed?.rules ?? null,
    screens: signed?.screens ?? [],
  };
}

/** Said once, heard by the trustee's station, and then the delay passes, block by block. */
async function announce({ user, trustee, account, miner, delayBlocks, say }: RecoveryParts) {
  const vault = readVault(account.document);
  const parts = { kind: "lsp-gone", network: vault.network, vault: vault.id, number: 1 } as const;
  const speech = compose({ ...parts, fields: {} });
  if (Array.isArray(speech)) throw new TourError(speech.join("; "));
  const known = (await user.station.requests?.notices()) ?? [];
  if (!known.some(({ words }) => words.text === speech.text)) {
    say("the LSP is gone: the user says so, signed on the Ledger in one line");
    const words = await saySigned(user.station.room.key, speech, vault);
    await user.station.requests?.say(words);
  }
  const { refused } = await trustee.station.hear();
  if (refused.length > 0) throw new TourError(`the trustee hears nothing: ${refused.join("; ")}`);
  say(`the trustee's station has heard it; ${delayBlocks} blocks pass before it would sign`);
  await miner.mine(delayBlocks);
}

interface CeremonyView {
  readonly id: string;
  readonly closed: boolean;
}

/** Opened once; asked again with the same words it is the same. */
async function ceremonyFor(api: Client, intent: string): Promise<string> {
  const { ceremonies } = await api.get<{
    readonly ceremonies: readonly (CeremonyView & { readonly intent: string })[];
  }>("/v1/ceremonies");
  const known = ceremonies.find((ceremony) => ceremony.intent === intent);
  if (known !== undefined) return known.id;
  const opened = await api.post<CeremonyView>("/v1/ceremonies", {
    intent,
    participants: [{ name: "trustee", role: "trustee" }],
    quorum: { approvals: ["trustee"] },
    deadline: { hours: 24 },
  });
  return opened.id;
}

/** Closed when the spend is confirmed; the trustee attests its end, and then it is whole. */
async function transcript({ api, trustee }: RecoveryParts, id: string) {
  await poll(
    async () => ((await api.get<CeremonyView>(`/v1/ceremonies/${id}`)).closed ? true : null),
    "the ceremony did not close",
  );
  await trustee.station.attest();
  const document = await api.get<unknown>(`/v1/ceremonies/${id}/transcript`);
  const finding = verifyTranscript(document, "whole");
  if (finding.kind === "faulty") {
    const faults = finding.faults.map(({ place, detail }) => `${place}: ${detail}`);
    throw new TourError(`the transcript does not verify: ${faults.join("; ")}`);
  }
  const { standing, attested } = finding.facts;
  return { events: standing.sequence, attested };
}
