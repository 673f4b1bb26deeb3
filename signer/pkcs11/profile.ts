/**
 * What kind of token this is: a profile says by which mechanism it signs BIP340, if it does, and how
 * much may be asked of it. Vendors use the same ids for different things, so no id is ever global.
 */
import { existsSync, readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { NETWORKS, type TokenNetwork } from "../custody/key-file.ts";
import type { ChildConfig } from "./protocol.ts";
import { TokenError } from "./token-error.ts";
import type { Pkcs11Uri } from "./uri.ts";

export const profileSchema = z.strictObject({
  format: z.literal("ballast/hsm-profile@1"),
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  /** One sentence for people. */
  says: z.string().min(1).max(300),
  /** What CK_TOKEN_INFO.manufacturerID begins with. */
  manufacturer: z.string().min(1).max(32),
  networks: z.array(z.enum(NETWORKS)).min(1),
  /** The hash of the OAEP that the token does, for copies of sealed keys; null: no mode `sealed`. */
  sealed: z.strictObject({ oaep: z.enum(["sha1", "sha256"]) }).nullable(),
  native: z
    .strictObject({
      mechanism: z.string().regex(/^0x[0-9a-f]{8}$/),
      /** `tweak32`: the BIP32 tweak, added in the token. `none`: the token signs by its key alone. */
      parameter: z.enum(["tweak32", "none"]),
    })
    .nullable(),
  limits: z.strictObject({
    /** Sessions that one application may have open. */
    max_sessions: z.int().min(1).max(64),
    /** The longest that one operation takes on a bad day; ten times it is a hang. */
    operation_ms: z.int().min(1).max(60_000),
  }),
  /** When and how somebody tried it; null: nobody has. */
  verified: z.strictObject({ date: z.iso.date(), how: z.string().max(300) }).nullable(),
});
export type Profile = z.infer<typeof profileSchema>;

const PROFILES = join(import.meta.dirname, "..", "..", "firmware-configs", "hsm");

/** A profile by its name, or by the absolute path of a file. */
export function readProfile(name: string): Profile {
  const path = isAbsolute(name) ? name : join(PROFILES, `${name}.json`);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new TokenError("profile", `${path} cannot be read as JSON`, { cause });
  }
  const parsed = profileSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new TokenError("profile", `${path}, ${issue?.path.join(".")}: ${issue?.message}`);
}

/** How a signer's keys are kept, decided before anything is opened. */
export interface CustodyPlan {
  readonly custody: ChildConfig["custody"];
  readonly manufacturer: string;
  readonly operationMs: number;
  /** For logs and status pages; promises no more than is true. */
  readonly words: string;
}

/** Where `scripts/build-module` puts the sealed module. */
export const SEALED_MODULE = join(
  import.meta.dirname,
  "..",
  "module",
  "build",
  "ballast-pkcs11.so",
);

/** Throws where the profile does not allow what the URI asks for. */
export function custodyPlan(uri: Pkcs11Uri, network: TokenNetwork): CustodyPlan {
  const profile = readProfile(uri.profile);
  const refuse = (words: string) => new TokenError("profile", `${profile.name} ${words}`);
  if (!profile.networks.includes(network)) throw refuse(`is not for ${network}`);
  if (uri.maxSessions > profile.limits.max_sessions) {
    throw refuse(`has at most ${profile.limits.max_sessions} sessions`);
  }
  const rest = { manufacturer: profile.manufacturer, operationMs: profile.limits.operation_ms };
  if (uri.mode === "sealed") {
    if (profile.sealed === null) throw refuse("does not seal: its tokens lack AES-GCM");
    return { ...rest, ...sealedPlan(uri, network, profile.sealed.oaep) };
  }
  if (profile.native === null) throw refuse("has no BIP340 mechanism: mode native is not for it");
  if (profile.native.parameter !== "tweak32") {
    throw refuse("takes no tweak, and a vault's addresses are BIP32 children of its keys");
  }
  const mechanism = Number(profile.native.mechanism);
  return { ...rest, custody: { kind: "native", mechanism }, words: "HSM-native: the token signs" };
}

function sealedPlan(
  { openedBy }: Pkcs11Uri,
  network: TokenNetwork,
  oaep: "sha1" | "sha256",
): Pick<CustodyPlan, "custody" | "words"> {
  const built = existsSync(SEALED_MODULE);
  if (openedBy === "module" && !built) {
    const advice = "run scripts/build-module, or say opened-by=javascript";
    throw new TokenError("module-unusable", `${SEALED_MODULE} is not built: ${advice}`);
  }
  if (openedBy !== "javascript" && built) {
    return {
      custody: { kind: "sealed", module: SEALED_MODULE, oaep },
      words: "HSM-sealed, software-signed by the module",
    };
  }
  // JavaScript leaves copies of keys in memory: with real money somebody must have said so.
  if (openedBy === null && network === "bitcoin") {
    const advice = "run scripts/build-module, or say opened-by=javascript and accept its traces";
    throw new TokenError("module-unusable", `the sealed module is not built: ${advice}`);
  }
  return {
    custody: { kind: "sealed", module: null, oaep },
    words: "HSM-sealed, software-signed in JavaScript",
  };
}
