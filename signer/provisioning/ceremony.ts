/**
 * What is done to a token by people together: each ceremony opens it once, does one thing, and gives
 * a transcript of it. Nothing is ever replaced: what is there is judged and kept.
 */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { hex } from "../../policies/bitcoin/hash.ts";
import {
  formatKeyFile,
  NETWORKS,
  SEALED_FORMAT,
  type SealedKey,
  type TokenNetwork,
} from "../custody/key-file.ts";
import { writeDurably } from "../pkcs11/durable-file.ts";
import { openKeyFolder, ownFolder } from "../pkcs11/key-folder.ts";
import { custodyPlan } from "../pkcs11/profile.ts";
import { ITEMS_MAX, keyCopySchema, recipientSchema } from "../pkcs11/protocol.ts";
import type { Supervisor } from "../pkcs11/supervisor.ts";
import { initToken, openToken, provisioning, type TokenOptions } from "../pkcs11/token.ts";
import { TokenError } from "../pkcs11/token-error.ts";
import { formatPkcs11Uri, parsePkcs11Uri } from "../pkcs11/uri.ts";
import { type Ceremony, type Transcript, transcriptHash } from "./transcript.ts";

export interface CeremonyOptions extends TokenOptions {
  /** Who is there: at least two. */
  readonly people: readonly string[];
  /** Wall clock. */
  readonly now: () => Date;
}

/** The public key of a token for which copies are sealed. */
export const recipientDocument = z.strictObject({
  format: z.literal("ballast/hsm-recipient@1"),
  token: z.strictObject({ label: z.string(), serial: z.string() }),
  object: z.string(),
  ...recipientSchema.shape,
});
export type RecipientDocument = z.output<typeof recipientDocument>;

/** Account keys, sealed for a recipient: useless without that token and its PIN. */
export const backupDocument = z.strictObject({
  format: z.literal("ballast/hsm-backup@1"),
  network: z.enum(NETWORKS),
  /** The token that the keys were sealed under, and the one that they are sealed for. */
  from: z.strictObject({ token: z.string(), serial: z.string(), object: z.string() }),
  recipient: recipientDocument,
  keys: z.array(keyCopySchema).max(10_000),
});
export type BackupDocument = z.output<typeof backupDocument>;

interface Made {
  readonly name: string;
  readonly text: string;
}

/** Makes the sealing or probe key and the audit key where they are missing. */
export async function initCeremony(options: CeremonyOptions): Promise<Transcript> {
  await initToken(options);
  return await transcriptOf(options, "init", []);
}

/** Makes one account key for each label; those that are there are proven and kept. */
export async function keysCeremony(
  options: CeremonyOptions,
  labels: readonly string[],
): Promise<Transcript> {
  const token = await openToken(options);
  try {
    for (const label of labels) await token.createAccount(label);
  } finally {
    await token.close();
  }
  return await transcriptOf(options, "keys", []);
}

export async function attestCeremony(options: CeremonyOptions): Promise<Transcript> {
  return await transcriptOf(options, "attest", []);
}

/** The RSA key of this token, made where there is none: others seal copies for it. */
export async function recipientOf(options: TokenOptions): Promise<RecipientDocument> {
  return await provisioning(options, async (supervisor) => {
    const { token, serial, object } = await supervisor.call("info", {});
    const key = await supervisor.call("recipient", {});
    return { format: "ballast/hsm-recipient@1", token: { label: token, serial }, object, ...key };
  });
}

export interface BackedUp {
  readonly backup: BackupDocument;
  readonly transcript: Transcript;
}

/** Seals every account key for the recipient, too. */
export async function backupCeremony(
  options: CeremonyOptions,
  recipient: RecipientDocument,
): Promise<BackedUp> {
  const files = sealedFiles(options);
  const backup = await provisioning(options, async (supervisor): Promise<BackupDocument> => {
    const { token, serial, object } = await supervisor.call("info", {});
    if (serial === recipient.token.serial) {
      throw new TokenError(
        "request",
        "the recipient is this token: what is lost with one is no backup",
      );
    }
    const { modulus, exponent } = recipient;
    const keys = await inParts(files, async (keys) => {
      const { ciphertexts } = await supervisor.call("copy", {
        keys,
        recipient: { modulus, exponent },
      });
      return keys.map(({ label, publicKey, chainCode, epoch }, i) => ({
        ...{ label, publicKey, chainCode, epoch },
        ciphertext: ciphertexts[i] ?? "",
      }));
    });
    const from = { token, serial, object };
    return {
      format: "ballast/hsm-backup@1",
      network: options.network,
      from,
      recipient,
      keys: [...keys],
    };
  });
  const text = `${JSON.stringify(backup, null, 2)}\n`;
  return { backup, transcript: await transcriptOf(options, "backup", [{ name: "backup", text }]) };
}

/** Brings the keys of a backup into this token, and signs with each. */
export async function restoreCeremony(
  options: CeremonyOptions,
  backup: BackupDocument,
): Promise<Transcript> {
  if (backup.network !== options.network) {
    throw new TokenError("request", `the backup is for ${backup.network}, not ${options.network}`);
  }
  const uri = parsePkcs11Uri(options.uri);
  ownFolder(uri.keys);
  const keys = await provisioning(options, async (supervisor) =>
    inParts(backup.keys, async (copies) => (await supervisor.call("restore", { copies })).keys),
  );
  for (const key of keys) store(uri.keys, key);
  await proven(options, keys.length);
  const text = `${JSON.stringify(backup, null, 2)}\n`;
  return await transcriptOf(options, "restore", [{ name: "backup", text }]);
}

export interface Rotated {
  /** The URI of the keys under the new sealing key. */
  readonly uri: string;
  readonly transcript: Transcript;
}

/** Seals all account keys under a new sealing key, into a folder of their own. The old stay. */
export async function rotateCeremony(
  options: CeremonyOptions,
  to: { readonly object: string; readonly keys: string },
): Promise<Rotated> {
  const files = sealedFiles(options);
  const parts = { ...parsePkcs11Uri(options.uri), ...to };
  const uri = formatPkcs11Uri(parts);
  if (to.keys === parsePkcs11Uri(options.uri).keys) {
    throw new TokenError("request", "the new keys need a folder of their own");
  }
  ownFolder(to.keys);
  const keys = await provisioning(options, async (supervisor) =>
    inParts(files, async (some) => {
      return (await supervisor.call("rotate", { keys: some, object: to.object })).keys;
    }),
  );
  for (const key of keys) store(to.keys, key);
  const next = { ...options, uri };
  // The audit key is named after the sealing key, and is made anew with it.
  await initToken(next);
  await proven(next, keys.length);
  return { uri, transcript: await transcriptOf(next, "rotate", []) };
}

/** All account keys of the folder; a native token's are not here. */
function sealedFiles({ uri }: TokenOptions): SealedKey[] {
  const { mode, keys } = parsePkcs11Uri(uri);
  if (mode !== "sealed") {
    const advice = "the token keeps its keys itself: back it up by its vendor's means";
    throw new TokenError("mechanism", advice);
  }
  return openKeyFolder(keys)
    .all()
    .flatMap(({ key }) => (key.format === SEALED_FORMAT ? [key] : []));
}

async function inParts<Item, Result>(
  items: readonly Item[],
  work: (some: Item[]) => Promise<readonly Result[]>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (let at = 0; at < items.length; at += ITEMS_MAX) {
    results.push(...(await work(items.slice(at, at + ITEMS_MAX))));
  }
  return results;
}

/** The same key again is no harm; another one under this label is. */
function store(folder: string, key: SealedKey): void {
  const path = join(folder, `${key.label}.key.json`);
  if (writeDurably(path, formatKeyFile(key), "create") === "written") return;
  const there = openKeyFolder(folder).byLabel(key.label);
  if (there?.key.publicKey === key.publicKey) return;
  throw new TokenError("storage", `${path} is there already and holds another key`);
}

/** A drill that signs nothing proves nothing: every key signs once. */
async function proven(options: TokenOptions, count: number): Promise<void> {
  const token = await openToken(options);
  try {
    const accounts = await token.accounts();
    if (accounts.length < count) {
      throw new TokenError("storage", `${accounts.length} of ${count} keys are there`);
    }
  } finally {
    await token.close();
  }
}

async function transcriptOf(
  options: CeremonyOptions,
  ceremony: Ceremony,
  made: readonly Made[],
): Promise<Transcript> {
  const { network, people, now } = options;
  const uri = parsePkcs11Uri(options.uri);
  return await provisioning(options, async (supervisor: Supervisor) => {
    const info = await supervisor.call("info", {});
    const report = await supervisor.call("attest", { challenge: Uint8Array.from(randomBytes(32)) });
    const content: Omit<Transcript, "signed"> = {
      ...{ format: "ballast/hsm-transcript@1" as const, ceremony, network },
      time: now().toISOString(),
      people: [...people],
      custody: custodyPlan(uri, network as TokenNetwork).words,
      token: {
        label: info.token,
        serial: info.serial,
        manufacturer: info.manufacturer,
        model: info.model,
        firmware: info.firmware,
      },
      library: { path: info.modulePath, says: info.library, sha256: info.moduleSha256 },
      sealed_module_sha256: info.sealedModuleSha256,
      object: info.object,
      report,
      accounts: openKeyFolder(uri.keys)
        .all()
        .map(({ key }) => ({
          label: key.label,
          public_key: key.publicKey,
          file_sha256: sha256(formatKeyFile(key)),
        })),
      made: made.map(({ name, text }) => ({ name, sha256: sha256(text) })),
    };
    const { publicKey, signature } = await supervisor.call("audit", {
      hash: transcriptHash(content),
    });
    return { ...content, signed: { key: hex(publicKey), signature: hex(signature) } };
  });
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
