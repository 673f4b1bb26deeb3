/**
 * The policy document: the limits that one signer enforces. Strict: an unknown key, a missing limit
 * or an empty list is refused with its place, because a typo in a limit is no limit (attacks.md 124).
 */
import { z } from "zod";
import { hex, taggedHash } from "./bitcoin/hash.ts";
import { NETWORKS, type Network } from "./bitcoin/network.ts";
import { PSBT_INPUTS_MAX, PSBT_OUTPUTS_MAX } from "./bitcoin/psbt.ts";
import { scriptOf } from "./bitcoin/taproot.ts";
import {
  type Bps,
  bps,
  type MsatsPerVbyte,
  msatsPerVbyte,
  SATS_MAX,
  type Sats,
  sats,
} from "./money.ts";
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
  }),
  purposes: z.strictObject({
    withdrawal: z.strictObject({
      sats_per_spend: amount,
      windows: z.array(window).min(1).max(8),
      /** `any`, or the only addresses that may be paid. */
      destinations: z.union([z.literal("any"), z.array(z.string().max(100)).min(1).max(1_000)]),
    }),
  }),
});

export type PolicyDocument = z.input<typeof policySchema>;

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
  readonly withdrawal: WithdrawalLimits;
  /** 32 bytes in hex over the document's content: which law was in force. */
  readonly hash: string;
}

export interface WithdrawalLimits {
  readonly satsPerSpend: Sats;
  readonly windows: readonly Window[];
  /** Null means any; else scripts in hex. */
  readonly destinations: ReadonlySet<string> | null;
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
  const { destinations } = purposes.withdrawal;
  const scripts =
    destinations === "any"
      ? null
      : new Set(
          destinations.flatMap((address, i) => {
            const script = scriptOf(address, network);
            if (script !== null) return [hex(script)];
            reasons.push(`purposes.withdrawal.destinations.${i}: no address of ${network}`);
            return [];
          }),
        );
  if (fees.sat_per_vbyte.min > fees.sat_per_vbyte.max) {
    reasons.push("fees.sat_per_vbyte: min is above max, nothing could be signed");
  }
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
    withdrawal: {
      satsPerSpend: purposes.withdrawal.sats_per_spend,
      windows: purposes.withdrawal.windows,
      destinations: scripts,
    },
    hash: hex(taggedHash("ballast/policy@1", new TextEncoder().encode(canonical(value)))),
  };
}

/** JSON with sorted keys: two files that say the same have the same hash. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
