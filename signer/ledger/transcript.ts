/**
 * The transcript of a registration on a device: a line of JSON a step, each chained to the one before
 * it, so that a line that was changed, removed or moved shows. It has a first line and a last, so a
 * transcript that was cut off shows, too. Nothing secret is in it: of the device's seal only a hash.
 */
import { z } from "zod";
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { NETWORKS } from "../../policies/bitcoin/network.ts";
import { ROLES } from "../../policies/vault.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const page = z.strictObject({ title: z.string(), text: z.string() });

const stepSchema = z.discriminatedUnion("step", [
  z.strictObject({
    step: z.literal("opened"),
    format: z.literal("ballast/ledger-transcript@1"),
    people: z.array(z.string().min(1).max(80)).min(1).max(12),
    network: z.enum(NETWORKS),
    role: z.enum(ROLES),
    vault: z.string(),
    device: z.strictObject({ fingerprint: z.string(), app: z.string(), version: z.string() }),
    policy: z.strictObject({
      id: sha256,
      name: z.string(),
      template: z.string(),
      keys: z.array(z.string()),
    }),
  }),
  /** What people were told that the device would show. */
  z.strictObject({ step: z.literal("previewed"), nano: z.array(page), flex: z.array(page) }),
  /** The person approved the policy on the device. */
  z.strictObject({ step: z.literal("sealed"), policy_id: sha256, hmac_sha256: sha256 }),
  /** The person approved the first address on the device, and it is ours. */
  z.strictObject({
    step: z.literal("address"),
    branch: z.literal(0),
    index: z.literal(0),
    /** As the device writes it: `tb1…` on every test network. */
    shown: z.string(),
    /** As the network writes it. */
    address: z.string(),
    script: z.string(),
  }),
  z.strictObject({ step: z.literal("registered") }),
  z.strictObject({ step: z.literal("failed"), fault: z.string(), says: z.string() }),
]);
export type TranscriptStep = z.output<typeof stepSchema>;

const lineSchema = z.strictObject({
  sequence: z.int().min(1),
  /** UTC, by the machine's clock. */
  time: z.iso.datetime(),
  before: sha256,
  step: stepSchema,
  link: sha256,
});
export type TranscriptLine = z.output<typeof lineSchema>;

/** What the first line is chained to. */
const GENESIS = "0".repeat(64);

export interface LineWriter {
  readonly write: (step: TranscriptStep) => void;
  readonly lines: () => readonly TranscriptLine[];
}

/** `written` is told each line as it is made, so that a ceremony that fails leaves its lines. */
export function openTranscript(
  now: () => number,
  written: (line: TranscriptLine) => void,
): LineWriter {
  const lines: TranscriptLine[] = [];
  return {
    write: (step) => {
      const before = lines.at(-1)?.link ?? GENESIS;
      const time = new Date(now()).toISOString();
      const content = { sequence: lines.length + 1, time, before, step: stepSchema.parse(step) };
      const line = { ...content, link: linkOf(content) };
      lines.push(line);
      written(line);
    },
    lines: () => [...lines],
  };
}

export type TranscriptVerdict =
  | { readonly kind: "whole"; readonly outcome: "registered" | "failed" }
  | { readonly kind: "broken"; readonly reasons: readonly string[] };

/** Reads lines of JSON and says whether they are one whole registration. */
export function verifyTranscript(values: readonly unknown[]): TranscriptVerdict {
  const reasons: string[] = [];
  const lines: TranscriptLine[] = [];
  values.forEach((value, i) => {
    const parsed = lineSchema.safeParse(value);
    if (parsed.success) lines.push(parsed.data);
    else reasons.push(`line ${i + 1} is none: ${parsed.error.issues[0]?.message}`);
  });
  let before = GENESIS;
  lines.forEach((line, i) => {
    if (line.sequence !== i + 1) reasons.push(`line ${i + 1} says that it is ${line.sequence}`);
    if (line.before !== before) reasons.push(`line ${i + 1} does not follow the one before it`);
    if (linkOf(line) !== line.link) reasons.push(`line ${i + 1} was changed`);
    before = line.link;
  });
  reasons.push(...outOfPlace(lines.map(({ step }) => step.step)));
  const outcome = lines.at(-1)?.step.step;
  if (reasons.length > 0 || (outcome !== "registered" && outcome !== "failed")) {
    return { kind: "broken", reasons };
  }
  return { kind: "whole", outcome };
}

const ORDER = ["opened", "previewed", "sealed", "address", "registered"] as const;

/** Every registration goes the same way; one that fails leaves it anywhere after its first line. */
function outOfPlace(steps: readonly TranscriptStep["step"][]): readonly string[] {
  const last = steps.at(-1);
  if (last !== "registered" && last !== "failed") return ["its end is missing"];
  const way = last === "failed" ? steps.slice(0, -1) : steps;
  const right =
    way.length > 0 && way.length <= ORDER.length && way.every((step, i) => step === ORDER[i]);
  return right ? [] : [`its steps are out of order: ${steps.join(", ")}`];
}

function linkOf({ sequence, time, before, step }: Omit<TranscriptLine, "link">): string {
  const text = JSON.stringify([sequence, time, before, Object.entries(step)]);
  return hex(taggedHash("ballast/ledger-transcript@1", new TextEncoder().encode(text)));
}
