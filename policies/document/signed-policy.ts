/**
 * A policy document with the agreements of the people who amend it, format
 * `ballast/signed-policy@1`. Whether they are enough is for who knows the policy in force to say:
 * see amendment.ts.
 */
import { z } from "zod";
import { fromHex, hex } from "../bitcoin/hash.ts";
import { type Policy, PolicyError, readPolicy } from "./policy.ts";
import type { Agreement } from "./quorum.ts";

const FORMAT = "ballast/signed-policy@1";

/** BIP340 has 64 bytes, a Bitcoin signed message 65. */
const SIGNATURE = /^(?:[0-9a-f]{2}){64,65}$/;
const NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;

const schema = z.strictObject({
  format: z.literal(FORMAT),
  /** A whole `ballast/policy@1` document; policy.ts reads it. */
  policy: z.record(z.string(), z.unknown()),
  agreements: z
    .array(
      z.strictObject({ person: z.string().regex(NAME), signature: z.string().regex(SIGNATURE) }),
    )
    .min(1)
    .max(20),
});

export interface SignedPolicy {
  readonly policy: Policy;
  /** As it is written: what the hash and the comparison are about. */
  readonly document: unknown;
  /** None when the file is a policy document alone. */
  readonly agreements: readonly Agreement[];
}

/** Reads a policy document, signed or plain; throws a PolicyError with every reason. */
export function readSignedPolicy(value: unknown): SignedPolicy {
  const format = typeof value === "object" && value !== null && "format" in value && value.format;
  if (format !== FORMAT) return { policy: readPolicy(value), document: value, agreements: [] };
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new PolicyError(
      parsed.error.issues.map((issue) => `${issue.path.join(".") || "document"}: ${issue.message}`),
    );
  }
  const { policy: document, agreements } = parsed.data;
  return {
    policy: readPolicy(document),
    document,
    agreements: agreements.map(({ person, signature }) => ({
      person,
      signature: fromHex(signature),
    })),
  };
}

/** The file that signers and `ballast policy` read. */
export function writeSignedPolicy({ document, agreements }: Omit<SignedPolicy, "policy">) {
  return {
    format: FORMAT,
    policy: document,
    agreements: agreements.map(({ person, signature }) => ({ person, signature: hex(signature) })),
  };
}

/** `NAME=SIGNATURE` as people hand it over; null when it is not of that form. */
export function readAgreement(text: string): Agreement | null {
  const [person = "", signature = "", ...rest] = text.split("=");
  if (!NAME.test(person) || !SIGNATURE.test(signature) || rest.length > 0) return null;
  return { person, signature: fromHex(signature) };
}
