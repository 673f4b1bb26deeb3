/**
 * A spend intent: what somebody wants done, before any coin is chosen. Its id is the hash of its
 * content, so that asking again is asking for the same; inputs and fee are not in it, so that a
 * bump stays the same intent (architecture, invariant 2).
 */
import { z } from "zod";
import { hex, taggedHash } from "./bitcoin/hash.ts";
import { NETWORKS, type Network } from "./bitcoin/network.ts";
import { PSBT_OUTPUTS_MAX } from "./bitcoin/psbt.ts";
import { addressOf, scriptOf } from "./bitcoin/taproot.ts";
import { compare } from "./bitcoin/wire.ts";
import { isSats, type Sats, sats } from "./money.ts";

/**
 * What a spend is for (architecture section 3). The signer derives it from the facts and compares,
 * see purpose.ts. A bump is no purpose of its own: it is the same intent with a higher fee.
 */
export const PURPOSES = [
  "withdrawal",
  "migration",
  "collect",
  "top-up",
  "refresh",
  "consolidation",
  "margin",
  "escrow-in",
  "escrow-out",
  "channel-open",
  "cancel",
  "recovery-lsp-gone",
  "recovery-user-lost",
  "proof-of-reserves",
] as const;
export type Purpose = (typeof PURPOSES)[number];

/** Purposes that pay somebody outside all vaults; in all others every output stays in one. */
const PAYING: ReadonlySet<Purpose> = new Set<Purpose>([
  "withdrawal",
  "margin",
  "channel-open",
  "recovery-lsp-gone",
]);

/** As many as a PSBT may have; the policy's own cap is lower. */
const OUTPUTS_MAX = PSBT_OUTPUTS_MAX;

const vaultId = z.string().regex(/^[0-9a-f]{40}$/);

/** As many vaults as one true-up may serve. */
const PARTIES_MAX = 250;

interface Parties {
  readonly least: number;
  readonly most: number;
  /** For people. */
  readonly whose: string;
}
const nobody: Parties = { least: 0, most: 0, whose: "no other vault" };
const one: Parties = { least: 1, most: 1, whose: "the one vault that it goes to" };
const some: Parties = { least: 1, most: PARTIES_MAX, whose: "the vaults that it serves" };

/** Which other vaults a purpose touches. */
const PARTIES: Readonly<Record<Purpose, Parties>> = {
  // What the vault holds beyond its claim may go to the treasury in the same transaction.
  withdrawal: { least: 0, most: 1, whose: "the treasury, or no other vault" },
  migration: one,
  collect: some,
  "top-up": some,
  refresh: nobody,
  consolidation: nobody,
  margin: nobody,
  "escrow-in": one,
  "escrow-out": one,
  "channel-open": { least: 0, most: 1, whose: "the treasury, or no other vault" },
  cancel: { least: 0, most: PARTIES_MAX, whose: "the other vaults whose coins it gives back" },
  "recovery-lsp-gone": { least: 0, most: 1, whose: "the treasury, or no other vault" },
  "recovery-user-lost": one,
  "proof-of-reserves": nobody,
};

/** The intent document, format `ballast/intent@1`: see README.md for a worked example. */
export const intentSchema = z.strictObject({
  format: z.literal("ballast/intent@1"),
  purpose: z.enum(PURPOSES),
  network: z.enum(NETWORKS),
  /** Id of the vault whose coins are spent; of a true-up of many vaults, the treasury. */
  vault: vaultId,
  /** Ids of the other vaults that the spend may touch: where it collects, tops up or moves to. */
  parties: z.array(vaultId).max(PARTIES_MAX).default([]),
  /** Id of the intent that a cancel takes back. */
  cancels: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** Who asks for it, by the name in the policy: a proposer does not approve. */
  proposer: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/)
    .optional(),
  /** Whose price fixes the dollars: pool and turn of the votes, "usd/4711". */
  cycle: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,31}\/(?:0|[1-9][0-9]{0,10})$/)
    .optional(),
  /** What leaves all vaults: no change, no fee. */
  outputs: z
    .array(
      z.strictObject({
        address: z.string().max(100),
        sats: z.union([z.int().positive(), z.string().regex(/^[1-9][0-9]{0,15}$/)]),
      }),
    )
    .max(OUTPUTS_MAX),
  /** Tells two equal payments apart: a withdrawal's number. Printable ASCII, shown to people. */
  reference: z.string().regex(/^[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?$/),
});

export type IntentDocument = z.input<typeof intentSchema>;

export interface IntentOutput {
  readonly script: Uint8Array;
  readonly sats: Sats;
}

export interface SpendIntent {
  /** 32 bytes in hex. */
  readonly id: string;
  readonly purpose: Purpose;
  readonly network: Network;
  readonly vault: string;
  /** Sorted, each once. */
  readonly parties: readonly string[];
  /** Null unless it is a cancel. */
  readonly cancels: string | null;
  readonly proposer: string | null;
  /** Null where no price is named. */
  readonly cycle: string | null;
  readonly outputs: readonly IntentOutput[];
  readonly reference: string;
}

export class IntentError extends Error {
  readonly reasons: readonly string[];
  constructor(reasons: readonly string[]) {
    super(`not an intent: ${reasons.join("; ")}`);
    this.name = "IntentError";
    this.reasons = reasons;
  }
}

/** Reads an intent document; throws an IntentError that lists every reason. */
export function readIntent(value: unknown): SpendIntent {
  const parsed = intentSchema.safeParse(value);
  if (!parsed.success) {
    throw new IntentError(
      parsed.error.issues.map((issue) => `${issue.path.join(".") || "document"}: ${issue.message}`),
    );
  }
  const { purpose, network, vault, parties, reference } = parsed.data;
  const { cancels = null, proposer = null, cycle = null } = parsed.data;
  const reasons: string[] = [];
  if (new Set([vault, ...parties]).size !== parties.length + 1) {
    reasons.push("parties: a vault is named twice");
  }
  const pays = PAYING.has(purpose);
  if (pays && parsed.data.outputs.length === 0) reasons.push(`outputs: a ${purpose} pays somebody`);
  if (!pays && parsed.data.outputs.length > 0) {
    reasons.push(`outputs: a ${purpose} pays nobody outside the vaults`);
  }
  const { least, most, whose } = PARTIES[purpose];
  if (parties.length < least || parties.length > most) {
    reasons.push(`parties: a ${purpose} names ${whose}, not ${parties.length} vaults`);
  }
  if ((purpose === "cancel") !== (cancels !== null)) {
    reasons.push("cancels: a cancel, and only a cancel, names the intent that it takes back");
  }
  const outputs = parsed.data.outputs.flatMap((output, i) => {
    const script = scriptOf(output.address, network);
    const amount = BigInt(output.sats);
    if (script === null) reasons.push(`outputs.${i}: no address of ${network}: ${output.address}`);
    if (!isSats(amount)) reasons.push(`outputs.${i}: ${amount} is not an amount of sats`);
    return script === null || !isSats(amount) ? [] : [{ script, sats: sats(amount) }];
  });
  if (reasons.length > 0) throw new IntentError(reasons);
  return intentOf({
    ...{ purpose, network, vault, parties, cancels, proposer, cycle, outputs, reference },
  });
}

/** The intent with its id. */
export function intentOf(content: Omit<SpendIntent, "id">): SpendIntent {
  const parties = [...content.parties].sort();
  const outputs = content.outputs
    .map(({ script, sats: amount }) => `${hex(script)}:${amount}`)
    .sort();
  // No field holds a line break, so the joined text has one reading.
  const text = [
    content.purpose,
    content.network,
    content.vault,
    parties.join(","),
    content.cancels ?? "",
    content.proposer ?? "",
    content.reference,
    ...(content.cycle === null ? [] : [`cycle=${content.cycle}`]),
    ...outputs,
  ].join("\n");
  const id = hex(taggedHash("ballast/intent@1", new TextEncoder().encode(text)));
  return { ...content, parties, id };
}

/** The intent as it travels. */
export function writeIntent(intent: SpendIntent): IntentDocument {
  return {
    format: "ballast/intent@1",
    purpose: intent.purpose,
    network: intent.network,
    vault: intent.vault,
    ...(intent.parties.length > 0 && { parties: [...intent.parties] }),
    ...(intent.cancels !== null && { cancels: intent.cancels }),
    ...(intent.proposer !== null && { proposer: intent.proposer }),
    ...(intent.cycle !== null && { cycle: intent.cycle }),
    outputs: intent.outputs.map(({ script, sats: amount }) => {
      const address = addressOf(script, intent.network);
      if (address === null) throw new IntentError(["an output has no address"]);
      return { address, sats: String(amount) };
    }),
    reference: intent.reference,
  };
}

/** Outputs as a multiset: order carries no meaning, repetition does. */
export function sameOutputs(a: readonly AnyOutput[], b: readonly AnyOutput[]): boolean {
  if (a.length !== b.length) return false;
  const sortedA = [...a].sort(byScript);
  const sortedB = [...b].sort(byScript);
  return sortedA.every((output, i) => {
    const other = sortedB[i];
    return other !== undefined && byScript(output, other) === 0;
  });
}

interface AnyOutput {
  readonly script: Uint8Array;
  readonly sats: bigint;
}

function byScript(a: AnyOutput, b: AnyOutput): number {
  return compare(a.script, b.script) || Number(a.sats - b.sats);
}
