/** The orchestrator's configuration: one strict document, so that a typo stops the start. */
import { readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { NETWORKS } from "../policies/bitcoin/network.ts";
import { PSBT_INPUTS_MAX } from "../policies/bitcoin/psbt.ts";
import { type MsatsPerVbyte, msatsPerVbyte, sats } from "../policies/money.ts";
import { readStorePlace, type StorePlace } from "./io/store-place.ts";
import { priceConfigSchema } from "./prices/config.ts";
import { USUAL_PORTS } from "./webhooks/target.ts";

export const ROLE_NAMES = [
  "deposits",
  "mempool",
  "stabilise",
  "reserve",
  "sign",
  "broadcast",
  "confirm",
  "ceremonies",
  "notices",
  "prices",
  "webhooks",
] as const;
export type RoleName = (typeof ROLE_NAMES)[number];

/** Above this a rate is a typo: no block in Bitcoin's history asked for it. */
const SAT_PER_VBYTE_MAX = 10_000;

/** sat/vB with up to three decimals, as people and nodes write it, to millisats per vbyte. */
export const feeRateSchema = z
  .number()
  .min(0)
  .max(SAT_PER_VBYTE_MAX)
  .refine((value) => Math.abs(value * 1000 - Math.round(value * 1000)) < 1e-6, {
    message: "at most three decimals of sat/vB",
  })
  .transform((value): MsatsPerVbyte => msatsPerVbyte(BigInt(Math.round(value * 1000))));

const path = z.string().refine(isAbsolute, { message: "must be an absolute path" });

const depth = z.int().min(1).max(100);

const schema = z.strictObject({
  format: z.literal("ballast/orchestrator@1"),
  network: z.enum(NETWORKS),
  /** SQLite file, made at the first start, or the URL of a Postgres database. */
  store: z.string().refine((text) => text !== ":memory:" && readStorePlace(text) !== null, {
    message: "must be an absolute path, or a postgres:// URL with every @ but the last as %40",
  }),
  /** A `bitcoind` by RPC, or an Esplora server by the root of its API. */
  node: z.union(
    [
      z.strictObject({ url: z.url(), cookie: path.optional() }),
      z.strictObject({ esplora: z.url({ protocol: /^https?$/ }) }),
    ],
    { error: "has `url`, and perhaps `cookie`, of a bitcoind, or `esplora` alone" },
  ),
  /** The LSP's signer: a process of its own, and PEM files of what we show it and whom we trust. */
  signer: z.strictObject({
    url: z.url(),
    tls: z.strictObject({ ca: path, cert: path, key: path }),
  }),
  /** A file with the bearer token of the API: at least 32 characters. */
  token: path,
  /** On loopback; 0 takes a free port. */
  port: z.int().min(0).max(65_535).default(0),
  /**
   * Blocks that bury a deposit or a withdrawal, their own among them; `own` for deposits and change
   * that come from buried coins of the house alone. One number is both.
   */
  confirmations: z
    .union([depth, z.strictObject({ external: depth.default(3), own: depth.default(1) })])
    .default(3)
    .transform((given) => (typeof given === "number" ? { external: given, own: given } : given))
    .refine(({ external, own }) => own <= external, { message: "own is above external" }),
  /** A deposit of less is dust: kept and shown, credited to nobody. */
  deposit_min_sats: z
    .int()
    .min(0)
    .max(100_000_000)
    .default(1_000)
    .transform((value) => sats(BigInt(value))),
  /** First block that is scanned; the tip at the first start by default. */
  scan_from: z.int().min(0).optional(),
  fees: z
    .strictObject({
      /** Also the rate where the node has no estimate. */
      sat_per_vbyte_min: feeRateSchema,
      sat_per_vbyte_max: feeRateSchema,
      /** The node is asked for the rate that confirms within so many blocks. */
      target_blocks: z.int().min(1).max(1_008).default(6),
    })
    .refine((fees) => fees.sat_per_vbyte_min <= fees.sat_per_vbyte_max, {
      message: "sat_per_vbyte_min is above sat_per_vbyte_max",
    }),
  /** Coins in one spend; a Ledger cannot review hundreds. */
  inputs_max: z.int().min(1).max(PSBT_INPUTS_MAX).default(100),
  /** What a ceremony has unless its opener says otherwise. */
  ceremonies: z
    .strictObject({
      hours: z.int().min(1).max(1_008).default(72),
      /** After these shares of the time to the deadline people are reminded, in basis points. */
      reminders_bps: z.array(z.int().min(1).max(9_999)).max(10).default([5_000, 7_500, 9_000]),
    })
    .prefault({})
    .refine(
      ({ reminders_bps: bps }) => bps.every((part, i) => i === 0 || part > (bps[i - 1] ?? 0)),
      {
        message: "reminders_bps do not ascend",
      },
    ),
  /** Left out, no price is trusted and nothing is credited in dollars. */
  prices: priceConfigSchema.optional(),
  /** Requests in a minute at the API; doors/limits.ts has the usual ones. */
  limits: z
    .strictObject({
      per_address: z.int().min(1).max(10_000_000),
      per_token: z.int().min(1).max(10_000_000),
    })
    .optional(),
  /** A second operator for what moves money or loosens something; false on regtest by default. */
  dual_control: z.boolean().optional(),
  /** Where webhooks may go, and how long they are tried. */
  webhooks: z
    .strictObject({
      /** Plain HTTP, every port, private and loopback addresses. */
      allow_private: z.boolean().default(false),
      /** The same for these hosts alone, as they stand in URLs. */
      hosts: z.array(z.string().min(1).max(253)).max(100).default([]),
      ports: z
        .array(z.int().min(1).max(65_535))
        .max(100)
        .default([...USUAL_PORTS]),
      /** For one endpoint. */
      per_minute: z.int().min(1).max(100_000).default(60),
      attempts_max: z.int().min(1).max(1_000).default(36),
      /** From the first attempt to the last. */
      hours: z.int().min(1).max(720).default(24),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      /** GET /metrics without a token, for whoever is on this machine. */
      open: z.boolean().default(false),
    })
    .prefault({}),
  roles: z
    .union([z.literal("all"), z.array(z.enum(ROLE_NAMES)).min(1)])
    .default("all")
    .transform((roles): readonly RoleName[] => (roles === "all" ? ROLE_NAMES : roles)),
  /** How long an idle role sleeps. */
  pace_ms: z.int().min(10).max(60_000).default(1_000),
  /** On Postgres: for how long a process that died keeps its roles from another. */
  lease_ms: z.int().min(300).max(600_000).default(10_000),
  log_level: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
});

export type OrchestratorConfig = z.output<typeof schema>;

export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "config";
}

/** From a YAML or JSON file; throws a ConfigError that lists every fault with its place. */
export function readConfig(file: string): OrchestratorConfig {
  const parsed = schema.safeParse(readYaml(file));
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map(
    (issue) => `${issue.path.join(".") || "document"}: ${issue.message}`,
  );
  throw new ConfigError(`${file}: ${reasons.join("; ")}`);
}

export interface ChosenStore {
  readonly place: StorePlace;
  /** Who has said it. */
  readonly by: "DATABASE_URL" | "configuration";
}

/** `DATABASE_URL` wins where it is set: a secret that need not stand in a file. */
export function storeOf(
  { store }: Pick<OrchestratorConfig, "store">,
  environment: { readonly [name: string]: string | undefined },
): ChosenStore {
  const url = environment["DATABASE_URL"] ?? "";
  const place = readStorePlace(url === "" ? store : url);
  if (place === null || (url !== "" && place.kind !== "postgres")) {
    const text = "DATABASE_URL is no postgres:// URL, or one with an @ that should be %40";
    throw new ConfigError(text);
  }
  return { place, by: url === "" ? "configuration" : "DATABASE_URL" };
}

/** The PEM texts that the signer's files hold. */
export function readTls({ ca, cert, key }: OrchestratorConfig["signer"]["tls"]) {
  return { ca: readText(ca), cert: readText(cert), key: readText(key) };
}

/** Shorter ones can be guessed. */
const SECRET_CHARACTERS_MIN = 32;

export function readSecretFile(file: string): string {
  const secret = readText(file).trim();
  if (secret.length < SECRET_CHARACTERS_MIN) {
    throw new ConfigError(`${file} holds fewer than ${SECRET_CHARACTERS_MIN} characters`);
  }
  return secret;
}

function readYaml(file: string): unknown {
  const document = parseDocument(readText(file), { uniqueKeys: true, schema: "core" });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) throw new ConfigError(`${file}: ${fault.message.split("\n")[0]}`);
  try {
    // Aliases could make a small file grow without bound.
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    throw new ConfigError(`${file}: aliases (*name) are not read; write the values out`);
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new ConfigError(`${file} cannot be read: ${code}`, { cause: error });
  }
}
