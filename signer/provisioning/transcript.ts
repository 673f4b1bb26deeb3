/**
 * The transcript of a ceremony: what was done to which token, by whom, and what the token then said of
 * itself, signed by its audit key. Two transcripts side by side show what changed.
 */
import { verify } from "tiny-secp256k1";
import { z } from "zod";
import { fromHex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { verifies } from "../../policies/bitcoin/schnorr.ts";
import { canonical } from "../../policies/document/policy.ts";
import { PROBE_TAG } from "../custody/attest.ts";
import { NETWORKS } from "../custody/key-file.ts";
import { tokenReportSchema } from "../pkcs11/protocol.ts";

export const CEREMONIES = ["init", "keys", "attest", "backup", "restore", "rotate"] as const;
export type Ceremony = (typeof CEREMONIES)[number];

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const transcriptSchema = z.strictObject({
  format: z.literal("ballast/hsm-transcript@1"),
  ceremony: z.enum(CEREMONIES),
  /** UTC, by the machine's clock. */
  time: z.iso.datetime(),
  people: z.array(z.string().min(1).max(80)).min(2).max(12),
  network: z.enum(NETWORKS),
  custody: z.string(),
  token: z.strictObject({
    label: z.string(),
    serial: z.string(),
    manufacturer: z.string(),
    model: z.string(),
    firmware: z.string(),
  }),
  library: z.strictObject({ path: z.string(), says: z.string(), sha256 }),
  /** Of the module that opens sealed keys; null where none does. */
  sealed_module_sha256: sha256.nullable(),
  object: z.string(),
  report: tokenReportSchema,
  /** Every account key, with the hash of its file. */
  accounts: z.array(
    z.strictObject({ label: z.string(), public_key: z.string(), file_sha256: sha256 }),
  ),
  /** What else was made, by name, with its hash: backups, recipients. */
  made: z.array(z.strictObject({ name: z.string(), sha256 })),
  signed: z.strictObject({ key: z.string(), signature: z.string() }),
});
export type Transcript = z.output<typeof transcriptSchema>;

/** What the audit key signs: everything but its own signature. */
export function transcriptHash(transcript: Omit<Transcript, "signed">): Uint8Array {
  const { signed: _, ...content } = transcript as Transcript;
  const text = new TextEncoder().encode(canonical(content));
  return taggedHash("ballast/hsm-transcript@1", text);
}

export type TranscriptFinding =
  | { readonly kind: "genuine"; readonly transcript: Transcript }
  | { readonly kind: "refused"; readonly reasons: readonly string[] };

/** Checks a transcript with nothing but itself and the audit key that it is expected to bear. */
export function verifyTranscript(value: unknown, key: string | null): TranscriptFinding {
  const parsed = transcriptSchema.safeParse(value);
  if (!parsed.success) {
    const reasons = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    return { kind: "refused", reasons };
  }
  const transcript = parsed.data;
  const { signed, report } = transcript;
  const reasons = [
    ...(key === null || signed.key === key
      ? []
      : ["it is signed by another key than the one given"]),
    ...(signs(signed, transcriptHash(transcript)) ? [] : ["its signature does not verify"]),
    ...(probed(report.probe) ? [] : ["the probe is no BIP340 signature by the probe key"]),
  ];
  return reasons.length === 0 ? { kind: "genuine", transcript } : { kind: "refused", reasons };
}

function signs({ key, signature }: Transcript["signed"], hash: Uint8Array): boolean {
  if (!/^0[23][0-9a-f]{64}$/.test(key) || !/^[0-9a-f]{128}$/.test(signature)) return false;
  try {
    return verify(hash, fromHex(key), fromHex(signature), true);
  } catch {
    // No point of the curve, or r or s out of range: the library throws.
    return false;
  }
}

function probed({ publicKey, challenge, signature }: Transcript["report"]["probe"]): boolean {
  const whole = [publicKey, challenge, signature].every((text) => /^(?:[0-9a-f]{2})*$/.test(text));
  if (!whole || signature.length !== 128 || publicKey.length !== 66) return false;
  const message = taggedHash(PROBE_TAG, fromHex(challenge));
  return verifies({ message, xOnly: fromHex(publicKey).slice(1), signature: fromHex(signature) });
}

/** Fields in which two transcripts differ, but for time, people and the probe. */
export function transcriptChanges(before: Transcript, after: Transcript): readonly string[] {
  const fields = [
    "network",
    "custody",
    "token",
    "library",
    "sealed_module_sha256",
    "object",
  ] as const;
  const changed = fields
    .filter((field) => canonical(before[field]) !== canonical(after[field]))
    .map((field) => `${field}: ${canonical(before[field])} became ${canonical(after[field])}`);
  return [
    ...changed,
    ...listChanges("mechanism", before.report.mechanisms, after.report.mechanisms, ({ id }) => id),
    ...listChanges("key", before.report.keys, after.report.keys, ({ name }) => name),
    ...listChanges("account", before.accounts, after.accounts, ({ label }) => label),
  ];
}

function listChanges<Item>(
  what: string,
  before: readonly Item[],
  after: readonly Item[],
  nameOf: (item: Item) => string,
): readonly string[] {
  const [was, is] = [before, after].map(
    (items) => new Map(items.map((item) => [nameOf(item), canonical(item)])),
  );
  const names = [...new Set([...(was?.keys() ?? []), ...(is?.keys() ?? [])])].sort();
  return names.flatMap((name) => {
    const [a, b] = [was?.get(name), is?.get(name)];
    if (a === b) return [];
    if (a === undefined) return [`${what} ${name} is new`];
    return [b === undefined ? `${what} ${name} is gone` : `${what} ${name} is another`];
  });
}
