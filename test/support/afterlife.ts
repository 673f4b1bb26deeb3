/**
 * What must hold of a signer that died or whose disk failed, whenever it was: read from the words
 * that it left on stdout and from its folder, opened again by the normal code.
 */
import * as ecc from "tiny-secp256k1";
import { hex } from "../../policies/bitcoin/hash.ts";
import { verifyAudit } from "../../signer/audit.ts";
import { readAuditKey } from "../../signer/config.ts";
import { openJournal } from "../../signer/journal.ts";
import { type HighWater, readMirror } from "../../signer/mirror.ts";
import { inlineCurve } from "./inline-curve.ts";
import {
  type LifePlan,
  openWholeSigner,
  type PlannedRequest,
  placesIn,
  WHOSE,
  type WholeSigner,
} from "./whole-signer.ts";

/** One for all: the same vault is looked at again and again. */
const curve = inlineCurve();

export interface Afterlife {
  /** Every invariant that does not hold, in words; nothing else is expected than none. */
  readonly broken: readonly string[];
  /** Signatures that were said to have left before the end. */
  readonly released: number;
  /** What is signed now that everything has been asked again. */
  readonly signed: readonly PlannedRequest[];
}

/** Opens the signer anew, looks at its memory, and asks everything of the plan again, twice. */
export async function inspect(options: {
  readonly folder: string;
  readonly plan: LifePlan;
  /** What the signer said in its life. */
  readonly lines: readonly string[];
  /** What was signed in lives before this one, and stays counted. */
  readonly before?: readonly PlannedRequest[];
}): Promise<Afterlife> {
  const { folder, plan, lines, before: earlier = [] } = options;
  const broken: string[] = [];
  const say = (fault: string) => void broken.push(fault);
  const released = releasedOf(lines, plan, say);
  let signer: WholeSigner;
  let mark: HighWater;
  try {
    mark = readMirror(placesIn(folder).mirror);
    signer = openWholeSigner({ folder, plan, curve });
  } catch (error) {
    const fault = `does not open: ${String(error)}`;
    return { broken: [fault], released: released.length, signed: [] };
  }
  let signed: readonly PlannedRequest[] = [];
  try {
    const before = memoryOf(signer);
    checkLog(signer, { folder, anchor: mark }, say);
    checkAsked(lines, before, mark.sequence, say);
    checkReleased(released, before, say);
    checkClaims(before, say);
    const again = await askAll(signer, plan, say);
    const twice = await askAll(signer, plan, say);
    for (const [i, bytes] of again) {
      if (twice.get(i) !== bytes) say(`request ${i} got other bytes when asked again`);
      keepsSignatures(plan.requests[i], bytes, before, say);
    }
    for (const { index, bytes } of released) {
      if (again.get(index) !== bytes) say(`request ${index} was released, and got other bytes now`);
    }
    const after = memoryOf(signer);
    checkClaims(after, say);
    signed = [...again.keys()].flatMap((i) => plan.requests[i] ?? []);
    checkCharges([...earlier, ...signed], after, say);
    checkLog(signer, { folder, anchor: readMirror(placesIn(folder).mirror) }, say);
  } finally {
    await signer.close();
  }
  checkAttested(folder, say);
  return { broken, released: released.length, signed };
}

type Say = (fault: string) => void;

interface Released {
  readonly index: number;
  readonly request: PlannedRequest;
  /** The signed PSBT in hex. */
  readonly bytes: string;
}

/** A signature on stdout is out; a line that was cut off by the end is none. */
function releasedOf(lines: readonly string[], plan: LifePlan, say: Say): readonly Released[] {
  return lines.flatMap((line) => {
    const [word, number = "", bytes = ""] = line.split(" ");
    if (word !== "released") return [];
    const index = Number(number);
    const request = plan.requests[index];
    if (request === undefined || !/^70736274ff[0-9a-f]+$/.test(bytes)) {
      say(`said something odd: ${line.slice(0, 80)}`);
      return [];
    }
    return [{ index, request, bytes }];
  });
}

interface Memory {
  readonly claims: readonly {
    readonly intent: string;
    readonly txid: string;
    readonly outpoints: readonly string[];
  }[];
  readonly owners: ReadonlyMap<string, string>;
  /** By txid, in hex. */
  readonly signatures: ReadonlyMap<string, string>;
  readonly charges: ReadonlyMap<string, bigint>;
  /** By txid: the number of the first decision that approved it. */
  readonly approved: ReadonlyMap<string, number>;
}

function memoryOf({ journal }: WholeSigner): Memory {
  const all = <Row>(sql: string) => journal.database.prepare<[], Row>(sql).all();
  const claims = all<{ intent: string; txid: string; outpoints: string }>("SELECT * FROM claims");
  const owners = all<{ outpoint: string; intent: string }>("SELECT * FROM outpoints");
  const signatures = all<{ txid: string; bytes: Buffer }>("SELECT * FROM signatures");
  const charges = all<{ account: string; sats: bigint }>(
    "SELECT account, sum(sats) AS sats FROM charges GROUP BY account",
  );
  const approved = new Map<string, number>();
  for (const { sequence, record } of journal.auditLog().lines) {
    const { txid, verdict } = JSON.parse(record);
    if (verdict === "approved" && !approved.has(txid)) approved.set(txid, sequence);
  }
  return {
    claims: claims.map((row) => ({ ...row, outpoints: JSON.parse(row.outpoints) })),
    owners: new Map(owners.map(({ outpoint, intent }) => [outpoint, intent])),
    signatures: new Map(signatures.map(({ txid, bytes }) => [txid, hex(bytes)])),
    charges: new Map(charges.map(({ account, sats }) => [account, sats])),
    approved,
  };
}

function checkLog(
  { journal }: WholeSigner,
  at: { readonly folder: string; readonly anchor: HighWater },
  say: Say,
): void {
  const secret = readAuditKey(placesIn(at.folder).auditKey);
  const trust = { key: hex(ecc.xOnlyPointFromScalar(secret)), anchor: at.anchor };
  const finding = verifyAudit(journal.auditLog(), trust);
  if (finding.kind === "broken") say(`the log is broken: ${finding.detail}`);
}

/** A death may cost a head, never more: after the next good end the last record has one. */
function checkAttested(folder: string, say: Say): void {
  const journal = openJournal({ file: placesIn(folder).journal, ...WHOSE });
  if (journal.unattested() !== null) say("the last record has no head");
  journal.close();
}

/** Invariant 1: before the key is asked, the claim is in the journal and its mark in the mirror. */
function checkAsked(lines: readonly string[], memory: Memory, mark: number, say: Say): void {
  for (const line of lines) {
    const [word, txid = "", marked] = line.split(" ");
    if (word !== "asked") continue;
    const claim = memory.claims.find((row) => row.txid === txid);
    if (claim === undefined) say(`the key was asked for ${txid}, and there is no claim`);
    const approved = memory.approved.get(txid) ?? Number.POSITIVE_INFINITY;
    // What the mirror had seen when the key was asked, and what it has kept of it.
    if (approved > Math.min(Number(marked), mark)) {
      say(`the key was asked for ${txid}, and the mirror has not seen it`);
    }
  }
}

/** Invariants 1 to 3: what left is claimed, its coins are its intent's, its signature is kept. */
function checkReleased(released: readonly Released[], memory: Memory, say: Say): void {
  for (const { request, bytes } of released) {
    const { id, txid, outpoints } = request;
    const claim = memory.claims.find((row) => row.intent === id && row.txid === txid);
    if (claim === undefined) say(`${txid} was released without a claim`);
    for (const outpoint of outpoints) {
      if (memory.owners.get(outpoint) !== id) say(`${outpoint} was released for another intent`);
    }
    if (!memory.signatures.has(txid)) say(`${txid} was released and its signature is not kept`);
    keepsSignatures(request, bytes, memory, say);
  }
  const due = dueOf(released.map(({ request }) => request));
  for (const [account, sats] of due) {
    if ((memory.charges.get(account) ?? 0n) < sats) say(`${account} counts less than was released`);
  }
}

/** A coin belongs to one intent, and every claim owns all of its coins. */
function checkClaims({ claims, owners }: Memory, say: Say): void {
  for (const { intent, txid, outpoints } of claims) {
    for (const outpoint of outpoints) {
      if (owners.get(outpoint) !== intent) say(`${outpoint} of ${txid} is of another intent`);
    }
  }
}

/** Signatures that were made and kept are the ones that leave. */
function keepsSignatures(
  request: PlannedRequest | undefined,
  bytes: string,
  { signatures }: Memory,
  say: Say,
): void {
  const kept = request === undefined ? undefined : signatures.get(request.txid);
  for (const signature of kept?.match(/.{128}/g) ?? []) {
    if (!bytes.includes(signature)) say(`${request?.txid} left with another signature than kept`);
  }
}

/** The signed PSBT of each request that is signed; the others must have lost their coin to a rival. */
async function askAll(
  signer: WholeSigner,
  plan: LifePlan,
  say: Say,
): Promise<ReadonlyMap<number, string>> {
  const answers = new Map<number, string>();
  const owner = signer.journal.database.prepare<[string], { intent: string }>(
    "SELECT intent FROM outpoints WHERE outpoint = ?",
  );
  for (const [i, request] of plan.requests.entries()) {
    const outcome = await signer.ask(request);
    const own = request.outpoints.every((outpoint) => owner.get(outpoint)?.intent === request.id);
    if (own !== (outcome.kind === "signed")) say(`request ${i} is ${outcome.kind} after all`);
    if (outcome.kind === "signed") answers.set(i, hex(outcome.psbt));
  }
  return answers;
}

/** When everything has been asked, the windows hold exactly what was signed, each spend once. */
function checkCharges(signed: readonly PlannedRequest[], { charges }: Memory, say: Say): void {
  const due = dueOf(signed);
  for (const [account, sats] of charges) {
    const expected = due.get(account) ?? 0n;
    if (sats !== expected) say(`${account} counts ${sats} where ${expected} was signed`);
  }
}

function dueOf(requests: readonly PlannedRequest[]): ReadonlyMap<string, bigint> {
  const due = new Map<string, bigint>();
  for (const { charges } of new Map(requests.map((request) => [request.txid, request])).values()) {
    for (const { account, sats } of charges) {
      due.set(account, (due.get(account) ?? 0n) + BigInt(sats));
    }
  }
  return due;
}
