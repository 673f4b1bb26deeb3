/**
 * A claim: what a signer binds itself to when it lets a spend pass, written before a key is asked.
 * Everything in it is computed from the judged spend; the journal adds when and where it stood.
 */
import { z } from "zod";
import { hex, taggedHash } from "./bitcoin/hash.ts";
import { isOutpoint } from "./bitcoin/transaction.ts";
import { concat, sized, u64 } from "./bitcoin/wire.ts";
import type { EvidenceFacts } from "./evidence.ts";
import type { SpendFacts } from "./facts.ts";
import { flowsOf } from "./flows.ts";
import type { Purpose, SpendIntent } from "./intent.ts";
import { userSigned } from "./purpose.ts";
import { type Charge, chargesOf, drawnAccount } from "./velocity.ts";

export interface Claim {
  readonly intent: string;
  readonly purpose: string;
  readonly vault: string;
  readonly txid: string;
  /** What every transaction of the intent spends: a treasury's coin if there is one (invariant 2). */
  readonly anchor: string;
  readonly outpoints: readonly string[];
  /** What it took out of which account of the windows; see velocity.ts. */
  readonly charges: readonly Charge[];
  /** Where it pays a registered vault: change, and what a vault gains. */
  readonly places: readonly Place[];
  /** Whether the user had signed for every coin of a user. */
  readonly userSigned: boolean;
  /** Hash of the outputs that a bump may not touch. */
  readonly fixed: string;
  /** What can be used for one intent only: operations of accounts, the taking back of an intent. */
  readonly nonces: readonly string[];
  /** Milliseconds since 1970 by the signer's monotone clock. */
  readonly at: number;
  /** Height of the signer's chain view, which never falls. */
  readonly height: number;
}

/** An output to a registered vault. */
export interface Place {
  readonly outpoint: string;
  readonly vault: string;
  readonly index: number;
  readonly sats: bigint;
  /** Whether the vault has no coin among the inputs: it gains all of it. */
  readonly gained: boolean;
}

export type ClaimContent = Omit<Claim, "at" | "height">;

interface Claimed {
  readonly facts: SpendFacts;
  readonly intent: SpendIntent;
  readonly evidence: EvidenceFacts;
}

/** What a signer would bind itself to by letting this spend pass. */
export function claimContent({ facts, intent, evidence }: Claimed): ClaimContent {
  // A proof of reserves can never be final, so it binds no coin.
  const proof = intent.purpose === "proof-of-reserves";
  const coins = facts.inputs.map(({ outpoint }) => outpoint);
  return {
    intent: intent.id,
    purpose: intent.purpose,
    vault: intent.vault,
    txid: facts.txid,
    anchor: anchorOf(facts),
    outpoints: proof ? [] : coins,
    charges: [...chargesOf(facts, intent), ...lockCharges({ facts, intent, evidence })],
    places: proof ? [] : placesOf(facts),
    userSigned: userSigned(facts),
    fixed: fixedHash(facts),
    nonces: noncesOf({ intent, evidence }),
  };
}

/** What the treasury's coins lock for an account is drawn on its claim, as its own coins would be. */
function lockCharges({ facts, intent, evidence }: Claimed): readonly Charge[] {
  const own = facts.inputs.some(({ coin }) => coin?.kind === "user");
  if (intent.purpose !== "escrow-in" || own) return [];
  const locked = new Map<string, bigint>();
  for (const { vault, do: what, sats } of evidence.operations) {
    if (what === "lock") locked.set(vault, (locked.get(vault) ?? 0n) + sats);
  }
  return [...locked].map(([vault, sats]) => ({ account: drawnAccount(vault), sats }));
}

/** The treasury's first coin if there is one, else the first coin. */
export function anchorOf({ inputs }: Pick<SpendFacts, "inputs">): string {
  const house = inputs.find(({ coin }) => coin?.kind === "treasury");
  return (house ?? inputs[0])?.outpoint ?? "";
}

const OPERATED: ReadonlySet<Purpose> = new Set<Purpose>(["escrow-in", "escrow-out"]);

export function noncesOf({ intent, evidence }: Pick<Claimed, "intent" | "evidence">): string[] {
  // Brought beside anything else an operation does nothing, and is not used up.
  const used = OPERATED.has(intent.purpose) ? evidence.operations : [];
  const operations = used.map(({ vault, number }) => `operation ${vault} ${number}`);
  return intent.cancels === null ? operations : [...operations, cancelNonce(intent.cancels)];
}

/** An intent that was taken back is remembered by this. */
export function cancelNonce(intent: string): string {
  return `cancel ${intent}`;
}

export function placesOf(facts: SpendFacts): readonly Place[] {
  const spending = new Set(
    flowsOf(facts).vaults.flatMap(({ vault, inputs }) => (inputs > 0 ? vault : [])),
  );
  return facts.outputs.flatMap(({ coin, sats }, i) => {
    if (coin === null) return [];
    const { vault, index } = coin;
    return [{ outpoint: `${facts.txid}:${i}`, vault, index, sats, gained: !spending.has(vault) }];
  });
}

/** Purposes in which the house's coins go to a user's vault. */
const OF_THE_HOUSE: ReadonlySet<string> = new Set<Purpose>(["top-up", "escrow-out"]);

/**
 * Whether an output to a user's vault is a deposit: change is none, and what the house pays is none
 * (architecture section 3). Both change the coins of a vault, never its claim.
 */
export function isDeposit({ gained }: Pick<Place, "gained">, purpose: string): boolean {
  return gained && !OF_THE_HOUSE.has(purpose);
}

/**
 * The outputs that stay byte for byte in a bump: all but the change to the one vault that is spent
 * from, or to the treasury where it takes part, for that is who pays the higher fee.
 */
export function fixedHash(facts: SpendFacts): string {
  const { vaults } = flowsOf(facts);
  const treasury = vaults.find(({ kind }) => kind === "treasury");
  const payer = treasury ?? vaults.find(({ inputs }) => inputs > 0);
  const fixed = facts.outputs
    .filter(({ coin }) => coin === null || coin.vault !== payer?.vault)
    .map(({ script, sats }) => hex(concat([sized(script), u64(sats)])))
    .sort();
  return hex(taggedHash("ballast/fixed@1", new TextEncoder().encode(fixed.join("\n"))));
}

const outpointText = z.string().refine(isOutpoint, { message: "is no outpoint txid:vout" });
const amount = z
  .union([z.int().nonnegative(), z.string().regex(/^[0-9]{1,16}$/)])
  .transform(BigInt);
const vaultId = z.string().regex(/^[0-9a-f]{40}$/);
const hash = z.string().regex(/^[0-9a-f]{64}$/);

/** A claim in a history document; what older documents do not say is taken as nothing. */
export const claimSchema = z
  .strictObject({
    intent: hash,
    purpose: z.string(),
    vault: vaultId,
    txid: hash,
    anchor: outpointText,
    outpoints: z.array(outpointText),
    charges: z.array(z.strictObject({ account: z.string().min(1).max(200), sats: amount })),
    changeIndex: z.int().nonnegative().nullable().default(null),
    places: z
      .array(
        z.strictObject({
          outpoint: outpointText,
          vault: vaultId,
          index: z.int().nonnegative(),
          sats: amount,
          gained: z.boolean(),
        }),
      )
      .default([]),
    userSigned: z.boolean().default(true),
    fixed: hash.optional(),
    nonces: z.array(z.string().max(200)).default([]),
    at: z.int().nonnegative(),
    height: z.int().nonnegative(),
  })
  .transform(({ changeIndex, fixed = "", ...claim }): Claim => {
    const change = { outpoint: `${claim.txid}:0`, vault: claim.vault, sats: 0n, gained: false };
    const places = changeIndex === null ? [] : [{ ...change, index: changeIndex }];
    return { ...claim, fixed, places: [...claim.places, ...places] };
  });
