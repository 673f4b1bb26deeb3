/**
 * The policy document: the limits that one signer enforces. Strict: an unknown key, a missing limit
 * or an empty list is refused with its place, because a typo in a limit is no limit (attacks.md 124).
 */
import * as ecc from "tiny-secp256k1";
import { z } from "zod";
import { fromHex, hex, taggedHash } from "./bitcoin/hash.ts";
import { NETWORKS, type Network } from "./bitcoin/network.ts";
import { PSBT_INPUTS_MAX, PSBT_OUTPUTS_MAX } from "./bitcoin/psbt.ts";
import { scriptOf } from "./bitcoin/taproot.ts";
import type { Purpose } from "./intent.ts";
import {
  type Bps,
  bps,
  type MsatsPerVbyte,
  msatsPerVbyte,
  SATS_MAX,
  type Sats,
  sats,
} from "./money.ts";
import { type Person, type Quorum, samePerson } from "./quorum.ts";
import { ROLES, type Role } from "./vault.ts";

const amount = z
  .int()
  .nonnegative()
  .max(Number(SATS_MAX))
  .transform((value) => sats(BigInt(value)));

/** sat/vB with up to three decimals, as people and nodes write it. */
const rate = z
  .number()
  .nonnegative()
  .max(100_000)
  .transform((value, context) => {
    // The shortest text of a number is the one that was written; no float is multiplied.
    const parts = /^([0-9]+)(?:\.([0-9]{1,3}))?$/.exec(String(value));
    if (parts === null) {
      context.addIssue({ code: "custom", message: "at most three decimals of sat/vB" });
      return z.NEVER;
    }
    return msatsPerVbyte(BigInt(`${parts[1]}${(parts[2] ?? "").padEnd(3, "0")}`));
  });

const share = z
  .int()
  .min(0)
  .max(10_000)
  .transform((value) => bps(BigInt(value)));

const window = z.strictObject({
  /** Length of the sliding window; its second, clock-free count takes six blocks for an hour. */
  hours: z.int().min(1).max(8_760),
  sats: amount,
});

const windows = z.array(window).min(1).max(8);

/** `any`, or the only addresses that may be paid; an entry may be bound to one vault's coins. */
const destinations = z.union([
  z.literal("any"),
  z
    .array(
      z.union([
        z.string().max(100),
        z.strictObject({
          address: z.string().max(100),
          /** Only this vault's coins may go there. */
          vault: z.string().regex(/^[0-9a-f]{40}$/),
        }),
      ]),
    )
    .min(1)
    .max(1_000),
]);

const limits = z.strictObject({
  sats_per_spend: amount,
  /** Over all spends of the purpose. */
  windows,
  /** Over the spends of one vault: nobody fills the window of all for the price of fees. */
  vault_windows: windows.optional(),
  /** Over the payments to one destination. */
  destination_windows: windows.optional(),
  destinations,
});

/** The policy document, format `ballast/policy@1`: see README.md for a worked example. */
export const policySchema = z.strictObject({
  format: z.literal("ballast/policy@1"),
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
  version: z.int().min(1),
  network: z.enum(NETWORKS),
  /** Whose key this signer holds. */
  role: z.enum(ROLES),
  chain: z.strictObject({
    /** How deep a coin must be buried on the signer's own node; 0 takes unconfirmed ones. */
    confirmations: z.int().min(0).max(1_000),
  }),
  transaction: z.strictObject({
    inputs: z.int().min(1).max(PSBT_INPUTS_MAX),
    outputs: z.int().min(1).max(PSBT_OUTPUTS_MAX),
    /** nLockTime lies in [own height - past, own height + future]: a clock-free expiry. */
    locktime_past_blocks: z.int().min(0).max(1_008),
    locktime_future_blocks: z.int().min(0).max(144),
    /** Highest change index: last used + gap, so that change stays findable (attacks.md 8). */
    change_gap: z.int().min(1).max(1_000),
  }),
  fees: z.strictObject({
    sats: amount,
    sat_per_vbyte: z.strictObject({ min: rate, max: rate }),
    /** Of the payments, without change and fee. */
    share_bps: share,
    /** The budget of all fees together, whatever they are paid for. */
    windows,
    /** How often a payment may be sent again with a higher fee; never, when it is left out. */
    bumps: z.int().min(0).max(10).default(0),
  }),
  /** Whose agreement resumes a paused signer; without it a pause is for good. */
  quorum: z
    .strictObject({
      approvals: z.int().min(1).max(20),
      people: z
        .array(
          z.strictObject({
            name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
            /** Compressed key in hex; of a Ledger, the key that signs messages. */
            key: z.string().regex(/^0[23][0-9a-f]{64}$/),
          }),
        )
        .min(1)
        .max(20),
    })
    .optional(),
  /** How this very document may change; see amendment.ts. */
  changes: z
    .strictObject({
      /** How long an announced loosening waits: on the signer's clock, and six blocks an hour. */
      loosening_hours: z.int().min(0).max(8_760),
    })
    .optional(),
  /** A purpose that is not here is not signed for. */
  purposes: z
    .strictObject({
      withdrawal: limits.optional(),
      /** Goes to a registered vault of the user, so there is no list of destinations. */
      migration: limits.omit({ destinations: true, destination_windows: true }).optional(),
    })
    .refine((purposes) => Object.values(purposes).some((purpose) => purpose !== undefined), {
      message: "no purpose is allowed, nothing could be signed",
    }),
});

export type PolicyDocument = z.input<typeof policySchema>;

/** Who says nothing about changes means the careful thing: a day to notice a loosening. */
export const LOOSENING_HOURS = 24;

export interface Policy {
  readonly name: string;
  readonly version: number;
  readonly network: Network;
  readonly role: Role;
  readonly confirmations: number;
  readonly inputsMax: number;
  readonly outputsMax: number;
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
  const { name, version, network, role, chain, transaction, fees, purposes } = parsed.data;
  const reasons: string[] = [];
  const limitsOf = (purpose: Purpose, document: z.output<typeof limits>): PurposeLimits => ({
    satsPerSpend: document.sats_per_spend,
    windows: document.windows,
    vaultWindows: document.vault_windows ?? [],
    destinationWindows: document.destination_windows ?? [],
    destinations:
      document.destinations === "any"
        ? null
        : document.destinations.flatMap((entry, i): readonly Destination[] => {
            const { address, vault } =
              typeof entry === "string" ? { address: entry, vault: null } : entry;
            const script = scriptOf(address, network);
            if (script !== null) return [{ script: hex(script), vault }];
            reasons.push(`purposes.${purpose}.destinations.${i}: no address of ${network}`);
            return [];
          }),
  });
  const { withdrawal, migration } = purposes;
  const allowed = {
    ...(withdrawal !== undefined && { withdrawal: limitsOf("withdrawal", withdrawal) }),
    ...(migration !== undefined && {
      migration: limitsOf("migration", { ...migration, destinations: "any" }),
    }),
  };
  if (fees.sat_per_vbyte.min > fees.sat_per_vbyte.max) {
    reasons.push("fees.sat_per_vbyte: min is above max, nothing could be signed");
  }
  const quorum = quorumFrom(parsed.data.quorum, reasons);
  if (reasons.length > 0) throw new PolicyError(reasons);
  return {
    name,
    version,
    network,
    role,
    confirmations: chain.confirmations,
    inputsMax: transaction.inputs,
    outputsMax: transaction.outputs,
    locktimePastBlocks: transaction.locktime_past_blocks,
    locktimeFutureBlocks: transaction.locktime_future_blocks,
    changeGap: transaction.change_gap,
    feeSatsMax: fees.sats,
    feeRateMin: fees.sat_per_vbyte.min,
    feeRateMax: fees.sat_per_vbyte.max,
    feeShareMax: fees.share_bps,
    feeWindows: fees.windows,
    bumps: fees.bumps,
    quorum,
    looseningHours: parsed.data.changes?.loosening_hours ?? LOOSENING_HOURS,
    purposes: allowed,
    hash: hex(taggedHash("ballast/policy@1", new TextEncoder().encode(canonical(value)))),
  };
}

/** People who are each somebody else, and enough of them. */
function quorumFrom(
  document: z.output<typeof policySchema>["quorum"],
  reasons: string[],
): Quorum | null {
  if (document === undefined) return null;
  const people = document.people.map(({ name, key }): Person => ({ name, key: fromHex(key) }));
  people.forEach((person, i) => {
    if (!ecc.isPoint(person.key)) reasons.push(`quorum.people.${i}: the key is no point`);
    for (const other of people.slice(i + 1)) {
      if (other.name === person.name) reasons.push(`quorum.people: ${person.name} stands twice`);
      if (samePerson(other, person)) {
        reasons.push(`quorum.people: ${person.name} and ${other.name} have one key`);
      }
    }
  });
  if (document.approvals > people.length) {
    reasons.push(`quorum.approvals: ${document.approvals} of ${people.length} people cannot agree`);
  }
  return { approvals: document.approvals, people };
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
