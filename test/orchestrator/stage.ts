/** A ceremony on a chain in memory: a funded account, a recovery that its user has signed, and stations. */
import { base64 } from "@scure/base";
import * as ecc from "tiny-secp256k1";
import { type Api, type ApiParts, serveApi } from "../../orchestrator/api/server.ts";
import { answerDeclined, answerSigned } from "../../orchestrator/ceremony/answers.ts";
import { findCeremony, type LoadedCeremony } from "../../orchestrator/ceremony/ceremonies.ts";
import type { AnswerOutcome, SignedLine } from "../../orchestrator/ceremony/heard.ts";
import { type CeremonyWish, openCeremony } from "../../orchestrator/ceremony/opening.ts";
import {
  registerStation,
  type StationRow,
  type StationWish,
} from "../../orchestrator/ceremony/stations.ts";
import { answerWord } from "../../orchestrator/ceremony/words.ts";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { scriptOf } from "../../policies/bitcoin/taproot.ts";
import {
  type Act,
  attestLine,
  encodeReason,
  eventLine,
  psbtHash,
} from "../../policies/ceremony.ts";
import { msatsPerVbyte, sats } from "../../policies/money.ts";
import { type Holder, signWith } from "./holders.ts";
import { type MemoryChain, memoryChain } from "./memory-chain.ts";
import {
  CONFIRMATIONS,
  intentOf,
  moveIn,
  openWorld,
  type Resident,
  userSigns,
  type World,
  withdraw,
} from "./world.ts";

export interface Stage extends World {
  readonly chain: MemoryChain;
  readonly ann: Resident;
  readonly mine: (blocks: number) => Promise<void>;
}

export const DEPOSIT = 100_000n;

export async function openStage(deposits = 1): Promise<Stage> {
  const chain = memoryChain();
  const world = openWorld(chain);
  const ann = await moveIn(world, "ann");
  const mine = async (blocks: number) => {
    chain.mine(blocks);
    await world.settle();
  };
  await world.settle();
  for (let i = 0; i < deposits; i += 1) {
    chain.pay(scriptOf(ann.address, "regtest") ?? new Uint8Array(0), sats(DEPOSIT));
  }
  await mine(CONFIRMATIONS);
  return { ...world, chain, ann, mine };
}

export const OPERATOR_TOKEN = "an-operators-token-that-is-long-enough";

/** The API over HTTP; roles are stepped by hand. */
export function serveStage(stage: Stage, terms: Partial<ApiParts> = {}): Promise<Api> {
  return serveApi({ ...apiPartsOf(stage), ...terms });
}

export function apiPartsOf({ parts, accounts }: Pick<Stage, "parts" | "accounts">): ApiParts {
  return {
    ...parts,
    accounts,
    ceremonies: { hours: 24, remindersBps: [5_000] },
    fees: { least: msatsPerVbyte(1_000n), most: msatsPerVbyte(50_000n), targetBlocks: 6 },
    token: OPERATOR_TOKEN,
    port: 0,
    describeSigner: async () => {
      throw new Error("nobody asks");
    },
    running: { wake: () => undefined, faults: () => new Map(), stop: async () => undefined },
  };
}

/** A station with its key. */
export interface Person {
  readonly station: StationRow;
  readonly token: string;
  readonly sign: (line: string) => SignedLine;
}

export const stationSecret = (name: string) => sha256(new TextEncoder().encode(`station ${name}`));
export const stationKey = (name: string) => hex(ecc.xOnlyPointFromScalar(stationSecret(name)));

export function signLine(name: string, line: string): SignedLine {
  return { line, signature: hex(ecc.signSchnorr(textHash(line), stationSecret(name))) };
}

async function person(
  { parts }: Pick<World, "parts">,
  name: string,
  role: StationWish["role"],
  account?: string,
): Promise<Person> {
  const wish = { name, role, key: stationKey(name), ...(account !== undefined && { account }) };
  const outcome = await registerStation(parts, wish);
  if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
  const { station, token } = outcome;
  return { station, token: token ?? "", sign: (line) => signLine(name, line) };
}

/** Raised, built and signed by the user. */
export async function recovery(stage: Stage, reference = "r-1", amount = 40_000n): Promise<string> {
  const wish = { purpose: "recovery-lsp-gone" as const, sats: amount, reference };
  const { id } = await withdraw(stage, stage.ann, wish);
  await stage.settle();
  await userSigns(stage, stage.ann, id);
  return id;
}

export function wishFor(intent: string, bend: Partial<CeremonyWish> = {}): CeremonyWish {
  return {
    intent,
    participants: [
      { name: "bob", role: "verifier" },
      { name: "cora", role: "trustee" },
      { name: "dan", role: "witness" },
    ],
    quorum: { approvals: ["verifier", "trustee"] },
    hours: 24,
    blocks: 100,
    reminders: [5_000, 9_000],
    ...bend,
  };
}

export interface Company {
  readonly bob: Person;
  readonly cora: Person;
  readonly dan: Person;
}

export async function company(stage: Stage): Promise<Company> {
  return {
    bob: await person(stage, "bob", "verifier"),
    cora: await person(stage, "cora", "trustee"),
    dan: await person(stage, "dan", "witness"),
  };
}

/** The id of the ceremony opened. */
export async function opened(stage: Stage, wish: CeremonyWish): Promise<string> {
  const outcome = await openCeremony(stage.parts, wish);
  if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
  return outcome.loaded.ceremony.id;
}

export async function ceremonyOf(
  { store }: Pick<World, "store">,
  id: string,
): Promise<LoadedCeremony> {
  const loaded = await findCeremony(store.db, id);
  if (loaded === null) throw new Error(`no ceremony ${id}`);
  return loaded;
}

/** The line of an event after the head as it is now. */
export async function lineFor(
  world: Pick<World, "store">,
  id: string,
  { by, do: act, detail = {} }: { by: string; do: Act; detail?: Readonly<Record<string, string>> },
): Promise<string> {
  const { standing } = await ceremonyOf(world, id);
  const content = { sequence: standing.sequence, previous: standing.head, by, do: act, detail };
  return eventLine("regtest", id, content);
}

export async function verify(stage: Stage, id: string, by: Person): Promise<AnswerOutcome | null> {
  const { ceremony } = await ceremonyOf(stage, id);
  const detail = { spend: ceremony.document.spend.hash, policy: "none" };
  const line = await lineFor(stage, id, { by: by.station.name, do: "verified", detail });
  return answerWord(stage.parts, by.station, { ceremony: id, signed: by.sign(line) });
}

export async function approval(stage: Stage, id: string, by: Person, holder: Holder) {
  const { ceremony } = await ceremonyOf(stage, id);
  const { intent, spend } = ceremony.document;
  const { psbt } = await intentOf(stage, intent);
  const bytes = writePsbt(signWith(readPsbt(psbt ?? new Uint8Array(0)), stage.ann.vault, holder));
  const detail = { psbt: psbtHash(bytes), spend: spend.hash };
  const line = await lineFor(stage, id, { by: by.station.name, do: "approve", detail });
  return { intent, psbt: base64.encode(bytes), event: by.sign(line) };
}

export async function approve(stage: Stage, id: string, by: Person) {
  const answer = await approval(stage, id, by, stage.ann.trustee);
  return await answerSigned(stage.parts, by.station, answer);
}

export async function decline(stage: Stage, id: string, by: Person, reason = "wrong address") {
  const { ceremony } = await ceremonyOf(stage, id);
  const detail = { reason: encodeReason(reason) };
  const line = await lineFor(stage, id, { by: by.station.name, do: "decline", detail });
  const declined = { intent: ceremony.document.intent, reason, event: by.sign(line) };
  return await answerDeclined(stage.parts, by.station, declined);
}

export async function attest(stage: Stage, id: string, by: Person) {
  const { standing } = await ceremonyOf(stage, id);
  const end = { by: by.station.name, sequence: standing.sequence - 1, head: standing.head };
  const line = attestLine({ network: "regtest", ceremony: id }, end);
  return await answerWord(stage.parts, by.station, { ceremony: id, signed: by.sign(line) });
}
