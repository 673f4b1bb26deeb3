/**
 * Custody mode `sealed`, "HSM-sealed, software-signed": account keys that rest sealed under a key
 * of the token and are opened, by the token, for one signature each. This side owns the files.
 */
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  ACCOUNT_LABEL,
  type AccountKey,
  accountKey,
  BLOB_BYTES_MAX,
  formatBlob,
  parseBlob,
  type SealedKeyBlob,
  type TokenNetwork,
} from "./blob.ts";
import { writeDurably } from "./durable-file.ts";
import { type ChildConfig, type ChildInfo, ITEMS_MAX, type Params } from "./protocol.ts";
import { type Supervisor, type SupervisorLimits, supervise, type TokenLog } from "./supervisor.ts";
import { TokenError } from "./token-error.ts";
import { type Pkcs11Uri, parsePkcs11Uri } from "./uri.ts";

/** One signature wanted. */
export interface Bip340Item {
  /** The account's compressed public key, hex. */
  readonly account: string;
  /** 32 bytes: the sum mod n of the BIP32 steps, added to the full secret key. */
  readonly tweak: Uint8Array;
  /** 32 bytes: the signature hash. */
  readonly message: Uint8Array;
}

export interface SealedToken {
  /** "HSM-sealed, software-signed"; never "HSM-resident". */
  readonly custody: "sealed";
  /** The account key of this label, made and durable if there was none. */
  createAccount(label: string): Promise<AccountKey>;
  /** All account keys here, each opened once to prove that it is what its file says. */
  accounts(): Promise<readonly AccountKey[]>;
  /** One verified 64-byte signature for each item, in order; all or none. */
  sign(items: readonly Bip340Item[]): Promise<readonly Uint8Array[]>;
  /** A real sign and verify with a throw-away key. An unhealthy token is an answer. */
  health(): Promise<TokenHealth>;
  info(): Promise<TokenInfo>;
  close(): Promise<void>;
}

export type TokenHealth =
  | {
      readonly kind: "healthy";
      readonly probeMs: number;
      readonly process: TokenProcess;
    }
  | {
      readonly kind: "unhealthy";
      readonly code: TokenError["code"];
      readonly passing: boolean;
      readonly message: string;
      readonly process: TokenProcess;
    };

/** The child process that holds the token's library. */
export interface TokenProcess {
  readonly pid: number | null;
  readonly starts: number;
  readonly waiting: number;
}

export interface TokenInfo extends Omit<ChildInfo, "kek"> {
  readonly custody: "HSM-sealed, software-signed";
}

export interface SealedTokenOptions {
  /** RFC 7512, as `parsePkcs11Uri` reads it. */
  readonly uri: string;
  readonly network: TokenNetwork;
  /** Added to this process's environment for the child, where a library is configured by it. */
  readonly env?: Readonly<Record<string, string>>;
  readonly log?: TokenLog;
  readonly limits?: Partial<SupervisorLimits> | undefined;
}

/** Opens the token and proves that it can sign. Throws Pkcs11UriError or TokenError. */
export async function openSealedToken(options: SealedTokenOptions): Promise<SealedToken> {
  const uri = parsePkcs11Uri(options.uri);
  const { network } = options;
  const log = options.log ?? (() => undefined);
  ownFolder(uri.blobs);
  const supervisor = supervise({
    config: childConfig(uri, { network, purpose: "serve" }),
    env: options.env ?? {},
    log,
    limits: options.limits,
  });
  const home = { network, kek: await kekName(supervisor) };
  const files = blobFiles(uri.blobs);
  const creating = new Map<string, Promise<AccountKey>>();

  /** Has the token open every blob whose content it has not opened before. */
  async function prove(blobs: readonly BlobFile[]): Promise<void> {
    const unproven = blobs.filter(({ proven }) => !proven.done);
    for (const file of unproven) refuseForeign(file, home);
    for (let at = 0; at < unproven.length; at += ITEMS_MAX) {
      const some = unproven.slice(at, at + ITEMS_MAX);
      const { damaged } = await supervisor.call("check", { blobs: some.map(({ blob }) => blob) });
      const bad = some.filter((_, index) => damaged.includes(index));
      for (const file of some.filter((each) => !bad.includes(each))) files.proved(file);
      if (bad.length > 0) throw damagedFile(bad.map(({ path }) => path).join(", "));
    }
  }

  /** The file that holds this account's key. A file that only claims to is passed over. */
  async function fileOf(account: string): Promise<BlobFile> {
    const known = files.provenOf(account);
    if (known !== null) return known;
    const { claiming, damaged } = files.search(account);
    const refusals: TokenError[] = [];
    for (const file of claiming) {
      const refusal = await prove([file]).then(() => null, blobRefusal);
      if (refusal === null) return file;
      refusals.push(refusal);
    }
    if (refusals[0] !== undefined) throw refusals[0];
    if (damaged.length > 0) throw damagedFile(damaged.join(", "));
    // Perhaps its file now claims to be another's: opening all of them tells.
    await prove(files.all());
    throw new TokenError("account-unknown", `${account.slice(0, 66)} in ${uri.blobs}`);
  }

  async function create(label: string): Promise<AccountKey> {
    const known = files.byLabel(label);
    if (known === null) {
      const blob = await supervisor.call("seal", { label });
      // Another process may have been faster; then its key is the account's and ours is forgotten.
      const written = files.write(blob);
      log("account key sealed", { label, account: blob.publicKey, written });
    }
    const file = known ?? files.byLabel(label);
    if (file === null) throw new TokenError("storage", `${label} was written and is not there`);
    await prove([file]);
    return accountKey(file.blob);
  }

  const token: SealedToken = {
    custody: "sealed",

    async createAccount(label) {
      if (!ACCOUNT_LABEL.test(label)) {
        throw new TokenError("request", "a label is 1 to 64 of a-z 0-9 . _ -");
      }
      const running = creating.get(label) ?? create(label);
      creating.set(label, running);
      try {
        return await running;
      } finally {
        creating.delete(label);
      }
    },

    async accounts() {
      const all = files.all();
      await prove(all);
      return all.map(({ blob }) => accountKey(blob));
    },

    async sign(items) {
      if (items.length === 0) return [];
      const { signatures } = await supervisor.call("sign", await signRequest(items, fileOf));
      return signatures;
    },

    async health() {
      try {
        const { ms } = await supervisor.call("health", {});
        return { kind: "healthy", probeMs: ms, process: childProcess() };
      } catch (error) {
        if (!(error instanceof TokenError)) throw error;
        const { code, passing, message } = error;
        return {
          kind: "unhealthy",
          code,
          passing,
          message,
          process: childProcess(),
        };
      }
    },

    async info() {
      const { kek: _, ...rest } = await supervisor.call("info", {});
      return { ...rest, custody: "HSM-sealed, software-signed" };
    },

    close: () => supervisor.close(),
  };

  function childProcess(): TokenProcess {
    const { pid, starts, waiting } = supervisor.stats();
    return { pid, starts, waiting };
  }

  return token;
}

/**
 * Makes the sealing key of this URI in the token, if there is none. An existing one is judged by
 * the same rules and kept; an unsafe one is refused.
 */
export async function initKek(options: SealedTokenOptions): Promise<"made" | "existed"> {
  const uri = parsePkcs11Uri(options.uri);
  ownFolder(uri.blobs);
  const supervisor = supervise({
    config: childConfig(uri, {
      network: options.network,
      purpose: "provision",
    }),
    env: options.env ?? {},
    log: options.log ?? (() => undefined),
  });
  try {
    const { kek } = await supervisor.call("info", {});
    if (kek === "present") return "existed";
    await supervisor.call("init-kek", {});
    return "made";
  } finally {
    await supervisor.close();
  }
}

/** A file of the folder with what it holds. */
interface BlobFile {
  readonly path: string;
  readonly blob: SealedKeyBlob;
  /** Changes when the file does, so that its content is read again. */
  readonly version: string;
  /** Whether the token has opened this very content. */
  readonly proven: { done: boolean };
}

const SUFFIX = ".sealed.json";

/** The folder: one file an account, named by its label. The file is the truth, never a cache. */
function blobFiles(folder: string) {
  const read = new Map<string, BlobFile>();
  /** Account to label, of files that the token has opened. */
  const labelOf = new Map<string, string>();

  function load(label: string): BlobFile | null {
    const path = join(folder, `${label}${SUFFIX}`);
    const version = fileVersion(path);
    if (version === null) {
      read.delete(label);
      return null;
    }
    const known = read.get(label);
    if (known?.version === version) return known;
    const blob = readBlob(path);
    if (blob === null || blob.label !== label) throw damagedFile(path);
    const file = { path, blob, version, proven: { done: false } };
    read.set(label, file);
    return file;
  }

  function labels(): readonly string[] {
    return listFolder(folder)
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .sort();
  }

  function all(): readonly BlobFile[] {
    return labels()
      .map(load)
      .filter((file) => file !== null);
  }

  /** Damaged neighbours do not keep an account from signing; they are named if it is missing. */
  function search(account: string) {
    const claiming: BlobFile[] = [];
    const damaged: string[] = [];
    for (const label of labels()) {
      try {
        const file = load(label);
        if (file?.blob.publicKey === account) claiming.push(file);
      } catch (error) {
        if (!(error instanceof TokenError) || error.code !== "blob-damaged") throw error;
        damaged.push(join(folder, `${label}${SUFFIX}`));
      }
    }
    return { claiming, damaged };
  }

  return {
    all,
    search,
    byLabel: load,
    proved(file: BlobFile): void {
      file.proven.done = true;
      labelOf.set(file.blob.publicKey, file.blob.label);
    },
    provenOf(account: string): BlobFile | null {
      const label = labelOf.get(account);
      const file = label === undefined ? null : load(label);
      return file?.blob.publicKey === account && file.proven.done ? file : null;
    },
    write(blob: SealedKeyBlob): "written" | "exists" {
      const path = join(folder, `${blob.label}${SUFFIX}`);
      return inFolder(folder, () => writeDurably(path, formatBlob(blob), "create"));
    },
  };
}

function fileVersion(path: string): string | null {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? null : `${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
}

function readBlob(path: string): SealedKeyBlob | null {
  return inFolder(path, () => {
    if (statSync(path).size > BLOB_BYTES_MAX) return null;
    return parseBlob(readFileSync(path, "utf8"));
  });
}

function listFolder(folder: string): readonly string[] {
  return inFolder(folder, () => readdirSync(folder));
}

/** The folder of the sealed keys, closed to everybody else. */
function ownFolder(folder: string): void {
  inFolder(folder, () => mkdirSync(folder, { recursive: true, mode: 0o700 }));
  const { mode } = inFolder(folder, () => statSync(folder));
  if ((mode & 0o022) !== 0) {
    throw new TokenError("storage", `${folder} can be written by others: chmod 0700`);
  }
}

function inFolder<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : "unusable";
    throw new TokenError("storage", `${path}: ${words}`, { cause });
  }
}

function damagedFile(path: string): TokenError {
  const advice = "nothing was signed; restore the file from its backup, never edit or delete it";
  return new TokenError("blob-damaged", `${path}: ${advice}`);
}

/** What this signer's blobs are made for. */
type Home = Pick<SealedKeyBlob, "network" | "kek">;

/** The start of the child. One that cannot serve is ended here, and its reason thrown. */
async function kekName(supervisor: Supervisor): Promise<Home["kek"]> {
  try {
    const { token, object } = await supervisor.call("info", {});
    return { token, object };
  } catch (error) {
    await supervisor.close();
    throw error;
  }
}

/** Passes on what is wrong with a blob as a value; anything else is a fault and is thrown. */
function blobRefusal(error: unknown): TokenError {
  if (error instanceof TokenError && error.code.startsWith("blob-")) return error;
  throw error;
}

function refuseForeign({ blob, path }: BlobFile, { network, kek }: Home): void {
  if (blob.network !== network) {
    const advice = "give each network a folder of its own";
    throw new TokenError(
      "blob-foreign",
      `${path} is for ${blob.network}, not ${network}: ${advice}`,
    );
  }
  if (blob.kek.token !== kek.token || blob.kek.object !== kek.object) {
    const theirs = `${path} is sealed under ${blob.kek.object} in ${blob.kek.token}`;
    const advice = "open it with the URI of that token";
    throw new TokenError("blob-foreign", `${theirs}, not ${kek.object} in ${kek.token}: ${advice}`);
  }
}

/** Each blob travels once, however many inputs its account has. */
async function signRequest(
  items: readonly Bip340Item[],
  fileOf: (account: string) => Promise<BlobFile>,
): Promise<Params<"sign">> {
  if (items.length > ITEMS_MAX) {
    throw new TokenError("request", `${items.length} signatures, at most ${ITEMS_MAX}`);
  }
  const accounts = [...new Set(items.map(({ account }) => account))];
  const blobs: SealedKeyBlob[] = [];
  for (const account of accounts) blobs.push((await fileOf(account)).blob);
  const position = new Map(accounts.map((account, at) => [account, at]));
  return {
    blobs,
    items: items.map(({ account, tweak, message }) => ({
      blob: position.get(account) ?? -1,
      tweak,
      message,
    })),
  };
}

function childConfig(
  uri: Pkcs11Uri,
  { network, purpose }: Pick<ChildConfig, "network" | "purpose">,
): ChildConfig {
  return {
    token: uri.token,
    serial: uri.serial,
    object: uri.object,
    modulePath: uri.modulePath,
    pinSource: uri.pinSource,
    latchFile: join(uri.blobs, "pin-latch.json"),
    maxSessions: uri.maxSessions,
    network,
    purpose,
  };
}
