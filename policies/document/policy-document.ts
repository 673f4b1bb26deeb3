/**
 * The policy document as it is written, format `ballast/policy@1`: strict, because a typo in a limit
 * is no limit (attacks.md 124). policy.ts reads it.
 */
import { z } from "zod";
import { NETWORKS } from "../bitcoin/network.ts";
import { PSBT_INPUTS_MAX, PSBT_OUTPUTS_MAX } from "../bitcoin/psbt.ts";
import { bps, msatsPerVbyte, SATS_MAX, sats } from "../money.ts";
import { ROLES } from "../vault.ts";

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

const name = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/);
const vaultId = z.string().regex(/^[0-9a-f]{40}$/);

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
          vault: vaultId,
        }),
      ]),
    )
    .min(1)
    .max(1_000),
]);

/** From this amount on so many people of the quorum must have approved the very spend. */
const tier = z.strictObject({ above_sats: amount, people: z.int().min(1).max(20) });

/** How long an announcement must have stood before a recovery is signed. */
const delayBlocks = z.int().min(1).max(52_560);

/** What every purpose bounds. */
const moving = z.strictObject({
  sats_per_spend: amount,
  /** Over all spends of the purpose. */
  windows,
  /** Over the spends of one vault: nobody fills the window of all for the price of fees. */
  vault_windows: windows.optional(),
  /** Approvals by amount, the highest tier that a spend exceeds counts. */
  approvals: z.array(tier).min(1).max(8).optional(),
});

/** A purpose that pays somebody outside all vaults. */
const paying = moving.extend({
  /** Over the payments to one destination. */
  destination_windows: windows.optional(),
  destinations,
});

const purposes = z
  .strictObject({
    withdrawal: paying
      .extend({
        /** Up to this amount no proof of the claim is asked; needed where guardians are named. */
        no_proof_sats: amount.optional(),
      })
      .optional(),
    migration: moving.optional(),
    collect: moving.optional(),
    "top-up": moving.optional(),
    refresh: moving.optional(),
    consolidation: moving
      .extend({
        /** Fewer coins are not worth a consolidation. */
        inputs_min: z.int().min(2).max(PSBT_INPUTS_MAX).default(5),
        /** Only while fees are low. */
        sat_per_vbyte_max: rate,
      })
      .optional(),
    margin: paying.optional(),
    "escrow-in": moving.optional(),
    "escrow-out": moving.optional(),
    "channel-open": moving.optional(),
    cancel: moving.optional(),
    "recovery-lsp-gone": paying.extend({ delay_blocks: delayBlocks }).optional(),
    "recovery-user-lost": moving.extend({ delay_blocks: delayBlocks.min(4_320) }).optional(),
    "proof-of-reserves": z.strictObject({}).optional(),
  })
  .refine((all) => Object.values(all).some((purpose) => purpose !== undefined), {
    message: "no purpose is allowed, nothing could be signed",
  });

const guardians = z.strictObject({
  /** The pool, and so the currency, whose votes price the claims: those of another are no price. */
  pool: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,31}$/)
    .default("usd"),
  /** So many must say the same price, and have signed the same statement. */
  threshold: z.int().min(1).max(50),
  /** Those of this signer's own organisation: without one of them nothing goes without the user. */
  own: z.array(name).min(1).max(50),
  people: z
    .array(z.strictObject({ name, key: z.string().regex(/^[0-9a-f]{64}$/) }))
    .min(1)
    .max(50),
  vote_age_seconds: z.int().min(1).max(86_400),
  /** How far the highest accepted vote may lie above the lowest. */
  vote_spread_bps: share,
  statement_age_blocks: z.int().min(1).max(4_320),
});

/** The house's own vaults and node. */
const house = z.strictObject({
  treasury: vaultId,
  escrow: vaultId.optional(),
  /** Id of the LSP's Lightning node. */
  node: z
    .string()
    .regex(/^0[23][0-9a-f]{64}$/)
    .optional(),
});

/** Rules about how much and where to: what a person may know better than a limit. */
export const LIFTABLE = [
  "spend-limit",
  "window-limit",
  "fee-absolute",
  "fee-share",
  "fee-budget",
  "destination-allowed",
  "change-findable",
  "no-address-reuse",
] as const;

/** The policy document, format `ballast/policy@1`: see README.md for a worked example. */
export const policySchema = z.strictObject({
  format: z.literal("ballast/policy@1"),
  name,
  version: z.int().min(1),
  network: z.enum(NETWORKS),
  /** Whose key this signer holds. */
  role: z.enum(ROLES),
  chain: z.strictObject({
    /** How deep a coin must be buried on the signer's own node; 0 takes unconfirmed ones. */
    confirmations: z.int().min(0).max(1_000),
    /** How deep a spend must be buried before the coins that it leaves over are free again. */
    burial: z.int().min(6).max(1_000).default(100),
  }),
  transaction: z.strictObject({
    inputs: z.int().min(1).max(PSBT_INPUTS_MAX),
    outputs: z.int().min(1).max(PSBT_OUTPUTS_MAX),
    /** nLockTime lies in [own height - past, own height + future]: a clock-free expiry. */
    locktime_past_blocks: z.int().min(0).max(1_008),
    locktime_future_blocks: z.int().min(0).max(144),
    /** A Ledger signs under one wallet policy a call: all coins of one vault, at most 8 outputs. */
    one_policy: z.boolean().default(false),
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
            name,
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
  /** Rules that approvals may lift, and of how many people. */
  lifts: z
    .array(z.strictObject({ rule: z.enum(LIFTABLE), people: z.int().min(1).max(20) }))
    .max(LIFTABLE.length)
    .default([]),
  /** Who signs prices and statements. */
  guardians: guardians.optional(),
  house: house.optional(),
  /** A purpose that is not here is not signed for. */
  purposes,
});

export type PolicyDocument = z.input<typeof policySchema>;
export type ReadDocument = z.output<typeof policySchema>;
export type PurposeDocument = z.output<typeof paying> | z.output<typeof moving>;
