/**
 * The policy: the limits that one signer enforces, read from its document (policy-document.ts). What
 * does not fit together is refused with its place, before a signer starts with it.
 */
import { fromHex, hex, taggedHash } from "../bitcoin/hash.ts";
import type { Network } from "../bitcoin/network.ts";
import { scriptOf } from "../bitcoin/taproot.ts";
import type { Guardian } from "../evidence/guardian.ts";
import type { Purpose } from "../intent.ts";
import { type Bps, type MsatsPerVbyte, type Sats, sats } from "../money.ts";
import type { Role } from "../vault.ts";
import { incoherent } from "./policy-coherence.ts";
import {
  type PolicyDocument,
  type PurposeDocument,
  policySchema,
  type ReadDocument,
} from "./policy-document.ts";
import type { Person, Quorum } from "./quorum.ts";

export type { PolicyDocument };

/** Who says nothing about changes means the careful thing: a day to notice a loosening. */
export const LOOSENING_HOURS = 24;

export interface Policy {
  readonly name: string;
  readonly version: number;
  readonly network: Network;
  readonly role: Role;
  readonly confirmations: number;
  /** How deep a spend must be buried before the coins that it leaves over are free. */
  readonly burial: number;
  readonly inputsMax: number;
  readonly outputsMax: number;
  readonly onePolicy: boolean;
  readonly locktimePastBlocks: number;
  readonly locktimeFutureBlocks: number;
  readonly changeGap: number;
  readonly feeSatsMax: Sats;
  readonly feeRateMin: MsatsPerVbyte;
  readonly feeRateMax: MsatsPerVbyte;
  readonly feeShareMax: Bps;
  readonly feeWindows: readonly Window[];
  readonly bumps: number;
  /** Null when the document names none. */
  readonly quorum: Quorum | null;
  /** How long an announced loosening of this policy waits. */
  readonly looseningHours: number;
  /** By rule: how many people may lift it. */
  readonly lifts: ReadonlyMap<string, number>;
  /** Null when the document names none: nothing that needs a statement or a price is signed. */
  readonly guardians: Guardians | null;
  readonly house: House | null;
  readonly purposes: Readonly<Partial<Record<Purpose, PurposeLimits>>>;
  /** 32 bytes in hex over the document's content: which law was in force. */
  readonly hash: string;
}

export interface PurposeLimits {
  readonly satsPerSpend: Sats;
  /** Over all spends of the purpose. */
  readonly windows: readonly Window[];
  readonly vaultWindows: readonly Window[];
  readonly destinationWindows: readonly Window[];
  /** Null means any. */
  readonly destinations: readonly Destination[] | null;
  /** Approvals by amount, the lowest first. */
  readonly tiers: readonly Tier[];
  /** Withdrawals: up to here no proof of the claim is asked; null where none can be given. */
  readonly noProofSats: Sats | null;
  /** Consolidations: fewer coins are not worth one, and fees must be below this rate. */
  readonly inputsMin: number;
  readonly feeRateMax: MsatsPerVbyte | null;
  /** Recoveries: how long the announcement must have stood. */
  readonly delayBlocks: number;
}

export interface Tier {
  readonly aboveSats: Sats;
  readonly people: number;
}

export interface Destination {
  /** Hex. */
  readonly script: string;
  /** Whose coins may go there; null means every vault's. */
  readonly vault: string | null;
}

export interface Window {
  readonly hours: number;
  readonly sats: Sats;
}

export interface Guardians {
  /** Which pool's votes price a claim: statements are kept in its currency. */
  readonly pool: string;
  readonly threshold: number;
  readonly people: readonly Guardian[];
  /** Names of those of this signer's own organisation. */
  readonly own: readonly string[];
  readonly voteAgeSeconds: number;
  readonly voteSpreadMax: Bps;
  readonly statementAgeBlocks: number;
}

export interface House {
  /** Ids of the house's vaults. */
  readonly treasury: string;
  readonly escrow: string | null;
  /** Id of the LSP's Lightning node, in hex. */
  readonly node: string | null;
}

export class PolicyError extends Error {
  readonly reasons: readonly string[];
  constructor(reasons: readonly string[]) {
    super(`not a policy: ${reasons.join("; ")}`);
    this.name = "PolicyError";
    this.reasons = reasons;
  }
}

/** Reads a policy document; throws a PolicyError that lists every reason with its place. */
export function readPolicy(value: unknown): Policy {
  const parsed = policySchema.safeParse(value);
  if (!parsed.success) {
    throw new PolicyError(
      parsed.error.issues.map((issue) => `${issue.path.join(".") || "document"}: ${issue.message}`),
    );
  }
  const document = parsed.data;
  const { name, version, network, role, chain, transaction, fees } = document;
  const reasons = [...incoherent(document)];
  const policy = {
    name,
    version,
    network,
    role,
    confirmations: chain.confirmations,
    burial: chain.burial,
    inputsMax: transaction.inputs,
    outputsMax: transaction.outputs,
    onePolicy: transaction.one_policy,
    locktimePastBlocks: transaction.locktime_past_blocks,
    locktimeFutureBlocks: transaction.locktime_future_blocks,
    changeGap: transaction.change_gap,
    feeSatsMax: fees.sats,
    feeRateMin: fees.sat_per_vbyte.min,
    feeRateMax: fees.sat_per_vbyte.max,
    feeShareMax: fees.share_bps,
    feeWindows: fees.windows,
    bumps: fees.bumps,
    quorum: quorumFrom(document.quorum),
    looseningHours: document.changes?.loosening_hours ?? LOOSENING_HOURS,
    lifts: new Map(document.lifts.map(({ rule, people }) => [rule, people])),
    guardians: guardiansFrom(document.guardians),
    house: houseFrom(document.house),
    purposes: purposesFrom(document, reasons),
    hash: hex(taggedHash("ballast/policy@1", new TextEncoder().encode(canonical(value)))),
  };
  if (reasons.length > 0) throw new PolicyError(reasons);
  return policy;
}

function purposesFrom(document: ReadDocument, reasons: string[]): Policy["purposes"] {
  const allowed = Object.entries(document.purposes).flatMap(([purpose, limits]) =>
    limits === undefined ? [] : [[purpose, limitsFrom(purpose, limits, document, reasons)]],
  );
  return Object.fromEntries(allowed);
}

/** A proof of reserves moves nothing, so it has no limits of its own. */
const NO_LIMITS: PurposeLimits = {
  satsPerSpend: sats(0n),
  windows: [],
  vaultWindows: [],
  destinationWindows: [],
  destinations: null,
  tiers: [],
  noProofSats: null,
  inputsMin: 0,
  feeRateMax: null,
  delayBlocks: 0,
};

/** The limits of any purpose; a key that its schema does not have is simply absent. */
type AnyLimits = PurposeDocument & {
  readonly destination_windows?: readonly Window[] | undefined;
  readonly destinations?: DestinationsDocument;
  readonly no_proof_sats?: Sats | undefined;
  readonly inputs_min?: number;
  readonly sat_per_vbyte_max?: MsatsPerVbyte;
  readonly delay_blocks?: number;
};

type DestinationsDocument = "any" | readonly (string | { address: string; vault: string })[];

function limitsFrom(
  purpose: string,
  limits: object,
  { network }: ReadDocument,
  reasons: string[],
): PurposeLimits {
  if (!("windows" in limits)) return NO_LIMITS;
  const document = limits as AnyLimits;
  const destinations = document.destinations ?? "any";
  if (purpose === "margin" && destinations === "any") {
    reasons.push("purposes.margin.destinations: an exchange's addresses are listed, never any");
  }
  const tiers = (document.approvals ?? []).map(({ above_sats: aboveSats, people }) => ({
    aboveSats,
    people,
  }));
  return {
    satsPerSpend: document.sats_per_spend,
    windows: document.windows,
    vaultWindows: document.vault_windows ?? [],
    destinationWindows: document.destination_windows ?? [],
    destinations:
      destinations === "any" ? null : destinationsFrom(purpose, destinations, network, reasons),
    tiers: tiers.sort((a, b) => (a.aboveSats < b.aboveSats ? -1 : 1)),
    noProofSats: document.no_proof_sats ?? null,
    inputsMin: document.inputs_min ?? 0,
    feeRateMax: document.sat_per_vbyte_max ?? null,
    delayBlocks: document.delay_blocks ?? 0,
  };
}

function destinationsFrom(
  purpose: string,
  entries: Exclude<DestinationsDocument, "any">,
  network: Network,
  reasons: string[],
): readonly Destination[] {
  return entries.flatMap((entry, i): readonly Destination[] => {
    const { address, vault } = typeof entry === "string" ? { address: entry, vault: null } : entry;
    const script = scriptOf(address, network);
    if (script !== null) return [{ script: hex(script), vault }];
    reasons.push(`purposes.${purpose}.destinations.${i}: no address of ${network}`);
    return [];
  });
}

function quorumFrom(document: ReadDocument["quorum"]): Quorum | null {
  if (document === undefined) return null;
  const people = document.people.map(({ name, key }): Person => ({ name, key: fromHex(key) }));
  return { approvals: document.approvals, people };
}

function guardiansFrom(document: ReadDocument["guardians"]): Guardians | null {
  if (document === undefined) return null;
  return {
    pool: document.pool,
    threshold: document.threshold,
    people: document.people.map(({ name, key }): Guardian => ({ name, key: fromHex(key) })),
    own: document.own,
    voteAgeSeconds: document.vote_age_seconds,
    voteSpreadMax: document.vote_spread_bps,
    statementAgeBlocks: document.statement_age_blocks,
  };
}

function houseFrom(document: ReadDocument["house"]): House | null {
  if (document === undefined) return null;
  const { treasury, escrow = null, node = null } = document;
  return { treasury, escrow, node };
}

/** JSON with sorted keys: two files that say the same have the same hash. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
