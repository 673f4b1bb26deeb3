/** The configuration of a station, format `ballast/station@1`: one strict document. */
import { readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { z } from "zod";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { ConfigError, readDocument } from "../config.ts";
import { priceSourceSchema } from "./price.ts";

const path = z.string().refine(isAbsolute, { message: "must be an absolute path" });

const schema = z.strictObject({
  format: z.literal("ballast/station@1"),
  /** Who sits here, in ceremonies and transcripts. */
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
  /** The person's own law. It names the network and the role. */
  policy: path,
  /** The station's own memory, never the orchestrator's; made by `station init`. */
  journal: path,
  mirror: path.optional(),
  /** Signs the heads of the decision log: a file with 64 hex digits. */
  audit_key: path.optional(),
  /** `ledger:hid`, `airgap:…`, for trials `software:…`; `--key` on the command line wins. */
  key: z.string(),
  /** The station's own node. */
  node: z.strictObject({
    url: z.url(),
    cookie: path.optional(),
    since: z.int().nonnegative().optional(),
  }),
  /** A file with 64 hex digits: signs what this person does in ceremonies; no key of any vault. */
  identity: path,
  /** Where requests come from; without it the station works on files. Asked, never listened to. */
  orchestrator: z
    .strictObject({
      url: z.url({ protocol: /^https?$/ }),
      /** A file with the token that the operator gave this station. */
      token: path,
    })
    .optional(),
  /** A price of the station's own, for people to compare. */
  price: priceSourceSchema.optional(),
});

export type StationConfig = z.output<typeof schema>;

export function readStationConfig(file: string): StationConfig {
  const parsed = schema.safeParse(readDocument(file));
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new ConfigError(`${file}: ${reasons.join("; ")}`);
}

/** The secret of the station's identity: 32 bytes. */
export function readIdentity(file: string): Uint8Array {
  const text = readSecret(file);
  if (!/^[0-9a-f]{64}$/.test(text)) throw new ConfigError(`${file} does not hold 64 hex digits`);
  return fromHex(text);
}

export function readSecret(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new ConfigError(`${file} cannot be read: ${code}`, { cause: error });
  }
}
