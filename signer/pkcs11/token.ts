/**
 * A token of account keys as this process sees it: the folder of their files is here, the keys and
 * the library are in the child that `supervisor.ts` keeps alive.
 */
import { join } from "node:path";
import {
  ACCOUNT_LABEL,
  type AccountKey,
  accountKey,
  foreignness,
  type KeyFile,
  type KeyHome,
  type TokenNetwork,
} from "../custody/key-file.ts";
import type { HeadKey } from "../signer.ts";
import { damagedFile, type FolderFile, openKeyFolder, ownFolder } from "./key-folder.ts";
import { type CustodyPlan, custodyPlan } from "./profile.ts";
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

export interface Token {
  /** How keys are kept, in words that promise no more than is true. */
  readonly custody: string;
  /** The account key of this label, made and durable if there was none. */
  createAccount(label: string): Promise<AccountKey>;
  /** All account keys here, each used once to prove that it is what its file says. */
  accounts(): Promise<readonly AccountKey[]>;
  /** One verified 64-byte signature for each item, in order; all or none. */
  sign(items: readonly Bip340Item[]): Promise<readonly Uint8Array[]>;
  /** By the audit key of the token; null where it has none. */
  readonly headKey: HeadKey | null;
  /** A real sign and verify with a key of no account. An unhealthy token is an answer. */
  health(): Promise<TokenHealth>;
  process(): TokenProcess;
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

export interface TokenInfo extends Omit<ChildInfo, "ready"> {
  readonly custody: string;
}

export interface TokenOptions {
  /** RFC 7512, as `parsePkcs11Uri` reads it. */
  readonly uri: string;
  readonly network: TokenNetwork;
  /** Added to this process's environment for the child, where a library is configured by it. */
  readonly env?: Readonly<Record<string, string>>;
  readonly log?: TokenLog;
  readonly limits?: Partial<SupervisorLimits> | undefined;
}

/** Opens the token and proves that it can sign. Throws Pkcs11UriError or TokenError. */
export async function openToken(options: TokenOptions): Promise<Token> {
  const uri = parsePkcs11Uri(options.uri);
  const { network } = options;
  const log = options.log ?? (() => undefined);
  const plan = custodyPlan(uri, network);
  ownFolder(uri.keys);
  log("token custody", {
    token: uri.token ?? uri.serial,
    custody: plan.words,
    profile: uri.profile,
  });
  const supervisor = supervise({
    config: childConfig(uri, plan, { network, purpose: "serve" }),
    env: options.env ?? {},
    log,
    limits: { operationMs: plan.operationMs, ...options.limits },
  });
  const info = await started(supervisor);
  const home: KeyHome = { network, mode: uri.mode, ...info };
  const files = openKeyFolder(uri.keys);
  const creating = new Map<string, Promise<AccountKey>>();

  /** Has the token sign once by every key whose file's content is new to it. */
  async function prove(all: readonly FolderFile[]): Promise<void> {
    const unproven = all.filter(({ proven }) => !proven.done);
    for (const file of unproven) refuseForeign(file, home);
    for (let at = 0; at < unproven.length; at += ITEMS_MAX) {
      const some = unproven.slice(at, at + ITEMS_MAX);
      const { damaged } = await supervisor.call("check", { keys: some.map(({ key }) => key) });
      const bad = some.filter((_, index) => damaged.includes(index));
      for (const file of some.filter((each) => !bad.includes(each))) files.proved(file);
      if (bad.length > 0) throw damagedFile(bad.map(({ path }) => path).join(", "));
    }
  }

  /** The file that holds this account's key. A file that only claims to is passed over. */
  async function fileOf(account: string): Promise<FolderFile> {
    const known = files.provenOf(account);
    if (known !== null) return known;
    const { claiming, damaged } = files.search(account);
    const refusals: TokenError[] = [];
    for (const file of claiming) {
      const refusal = await prove([file]).then(() => null, fileRefusal);
      if (refusal === null) return file;
      refusals.push(refusal);
    }
    if (refusals[0] !== undefined) throw refusals[0];
    if (damaged.length > 0) throw damagedFile(damaged.join(", "));
    // Perhaps its file now claims to be another's: proving all of them tells.
    await prove(files.all());
    throw new TokenError("account-unknown", `${account.slice(0, 66)} in ${uri.keys}`);
  }

  async function create(label: string): Promise<AccountKey> {
    const known = files.byLabel(label);
    if (known === null) {
      const key = await supervisor.call("make", { label });
      // Another process may have been faster; then its key is the account's and ours is forgotten.
      const written = files.write(key);
      log("account key made", { label, account: key.publicKey, written });
    }
    const file = known ?? files.byLabel(label);
    if (file === null) throw new TokenError("storage", `${label} was written and is not there`);
    await prove([file]);
    return accountKey(file.key);
  }

  const token: Token = {
    custody: plan.words,

    headKey: info.auditKey === null ? null : headKey(supervisor, info.auditKey),

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
      return all.map(({ key }) => accountKey(key));
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
      const { ready: _, ...rest } = await supervisor.call("info", {});
      return { ...rest, custody: plan.words };
    },

    process: childProcess,
    close: () => supervisor.close(),
  };

  function childProcess(): TokenProcess {
    const { pid, starts, waiting } = supervisor.stats();
    return { pid, starts, waiting };
  }

  return token;
}

/**
 * Makes the keys of the token that this URI needs and that are missing: the sealing key, or the
 * probe key, and the audit key. Existing ones are judged by the same rules and kept.
 */
export async function initToken(options: TokenOptions): Promise<"made" | "existed"> {
  ownFolder(parsePkcs11Uri(options.uri).keys);
  return await provisioning(options, async (supervisor) => {
    const { ready, auditKey } = await supervisor.call("info", {});
    if (ready && auditKey !== null) return "existed";
    await supervisor.call("init", {});
    return "made";
  });
}

/** A child that may write to the token, for the length of this work. */
export async function provisioning<Value>(
  options: TokenOptions,
  work: (supervisor: Supervisor) => Promise<Value>,
): Promise<Value> {
  const { network } = options;
  const uri = parsePkcs11Uri(options.uri);
  const plan = custodyPlan(uri, network);
  const supervisor = supervise({
    config: childConfig(uri, plan, { network, purpose: "provision" }),
    env: options.env ?? {},
    log: options.log ?? (() => undefined),
  });
  try {
    return await work(supervisor);
  } finally {
    await supervisor.close();
  }
}

/** The start of the child. One that cannot serve is ended here, and its reason thrown. */
async function started(supervisor: Supervisor): Promise<ChildInfo> {
  try {
    return await supervisor.call("info", {});
  } catch (error) {
    await supervisor.close();
    throw error;
  }
}

function headKey(supervisor: Supervisor, publicKey: string): HeadKey {
  return {
    publicKey,
    async sign(hash) {
      const made = await supervisor.call("audit", { hash });
      // Another key under the same name would sign heads that nobody can verify.
      if (Buffer.from(made.publicKey).toString("hex") === publicKey) return made.signature;
      throw new TokenError("key-unsafe", "the audit key is another one than at the start");
    },
  };
}

/** Passes on what is wrong with a key's file as a value; anything else is a fault and is thrown. */
function fileRefusal(error: unknown): TokenError {
  if (error instanceof TokenError && error.code.startsWith("key-file-")) return error;
  throw error;
}

function refuseForeign({ key, path }: FolderFile, home: KeyHome): void {
  const why = foreignness(key, home);
  if (why !== null) throw new TokenError("key-file-foreign", `${path} ${why}`);
}

/** Each file travels once, however many inputs its account has. */
async function signRequest(
  items: readonly Bip340Item[],
  fileOf: (account: string) => Promise<FolderFile>,
): Promise<Params<"sign">> {
  if (items.length > ITEMS_MAX) {
    throw new TokenError("request", `${items.length} signatures, at most ${ITEMS_MAX}`);
  }
  const accounts = [...new Set(items.map(({ account }) => account))];
  const keys: KeyFile[] = [];
  for (const account of accounts) keys.push((await fileOf(account)).key);
  const position = new Map(accounts.map((account, at) => [account, at]));
  return {
    keys,
    items: items.map(({ account, tweak, message }) => ({
      key: position.get(account) ?? -1,
      tweak,
      message,
    })),
  };
}

function childConfig(
  uri: Pkcs11Uri,
  plan: CustodyPlan,
  { network, purpose }: Pick<ChildConfig, "network" | "purpose">,
): ChildConfig {
  return {
    token: uri.token,
    serial: uri.serial,
    object: uri.object,
    modulePath: uri.modulePath,
    custody: plan.custody,
    manufacturer: plan.manufacturer,
    pinSource: uri.pinSource,
    latchFile: join(uri.keys, "pin-latch.json"),
    maxSessions: uri.maxSessions,
    network,
    purpose,
  };
}
