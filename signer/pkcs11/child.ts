/**
 * The process that holds the token's library and the login: a driver that crashes or hangs takes
 * this process with it and nothing else. It has one connection for its life; what breaks the
 * connection ends the process, and the supervisor's restart is the reconnect (tokens are found,
 * the login is made and handles are looked up afresh, because old ones stay dead).
 *
 * Custody `sealed`: an account key exists in the clear only in `withKey`, for one signature.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  isPrivate,
  pointAddScalar,
  pointFromScalar,
  privateAdd,
  signSchnorr,
  verifySchnorr,
} from "tiny-secp256k1";
import { fromHex, hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import {
  BLOB_FORMAT,
  type BlobBinding,
  bindingBytes,
  chainCodeOf,
  IV_BYTES,
  KEY_BYTES,
  type SealedKeyBlob,
} from "./blob.ts";
import {
  type Cryptoki,
  CryptokiError,
  type KeyHandle,
  MECHANISMS,
  openCryptoki,
  type SessionHandle,
  type TokenDescription,
} from "./cryptoki.ts";
import { createKek, findKek } from "./kek.ts";
import { loginOnce } from "./login.ts";
import {
  type ChildConfig,
  type ChildInfo,
  type Operation,
  operations,
  type Params,
  type Reply,
  type Result,
  requestSchema,
} from "./protocol.ts";
import { openSessionPool, PoolBrokenError, type SessionPool } from "./session-pool.ts";
import { TokenError } from "./token-error.ts";

interface Connection {
  readonly config: ChildConfig;
  readonly cryptoki: Cryptoki;
  readonly token: TokenDescription;
  readonly pool: SessionPool;
  readonly moduleSha256: string;
  /** The sealing key and a throw-away key sealed with it, or null while provisioning. */
  readonly kek: {
    readonly key: KeyHandle;
    readonly probe: SealedKeyBlob;
  } | null;
}

let connection: Connection | null = null;

const handlers: Record<Operation, (raw: unknown) => Promise<unknown>> = {
  open: handler("open", async (config) => {
    if (connection !== null) throw new TokenError("protocol", "open was sent twice");
    connection = await connect(config);
    return info(connection);
  }),
  info: handler("info", async () => info(connected())),
  "init-kek": handler("init-kek", async () => {
    connection = await initKek(connected());
    return info(connection);
  }),
  seal: handler("seal", async ({ label }) => await seal(connected(), label)),
  check: handler("check", async ({ blobs }) => await check(connected(), blobs)),
  sign: handler("sign", async (params) => await sign(connected(), params)),
  health: handler("health", async () => await health(connected())),
};

/** `work` behind the check of its parameters: nothing unchecked reaches the library. */
function handler<O extends Operation>(op: O, work: (params: Params<O>) => Promise<Result<O>>) {
  return async (raw: unknown): Promise<unknown> => {
    const params = operations[op].params.safeParse(raw);
    if (!params.success) {
      const where = params.error.issues.map(({ path }) => path.join(".")).join(", ");
      throw new TokenError("request", `${op}: ${where.slice(0, PATHS_CHARS_MAX)}`);
    }
    return await work(params.data as Params<O>);
  };
}
/** Enough to name the wrong fields in a log line. */
const PATHS_CHARS_MAX = 200;

function connected(): Connection {
  if (connection === null) throw new TokenError("protocol", "nothing is open");
  return connection;
}

async function connect(config: ChildConfig): Promise<Connection> {
  const { cryptoki, moduleSha256 } = load(config.modulePath);
  const token = findToken(cryptoki, config);
  // Software protects nothing from whoever has the machine, whatever its attributes say.
  if (config.network === "bitcoin" && /softhsm/i.test(`${token.manufacturer} ${token.model}`)) {
    throw new TokenError("token-unfit", `${token.label} is SoftHSM, which is for tests`);
  }
  const known = cryptoki.mechanisms(token.handle);
  if (!known.includes(MECHANISMS.aesGcm)) {
    throw new TokenError("mechanism", `${token.label} has no CKM_AES_GCM`);
  }
  const access = config.purpose === "provision" ? "read-write" : "read-only";
  const anchor = cryptoki.openSession(token.handle, access);
  loginOnce({
    cryptoki,
    session: anchor,
    token,
    pinSource: config.pinSource,
    latchFile: config.latchFile,
    now: () => new Date(),
    log,
  });
  const { maxSessions } = config;
  const slot = token.handle;
  const pool = openSessionPool({
    cryptoki,
    slot,
    anchor,
    maxSessions,
    access,
    log,
  });
  return await withKek({
    config,
    cryptoki,
    token,
    pool,
    moduleSha256,
    kek: null,
  });
}

function load(modulePath: string): {
  readonly cryptoki: Cryptoki;
  readonly moduleSha256: string;
} {
  try {
    const moduleSha256 = createHash("sha256").update(readFileSync(modulePath)).digest("hex");
    return { cryptoki: openCryptoki(modulePath), moduleSha256 };
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : "unknown";
    throw new TokenError("module-unusable", `${modulePath}: ${words}`, {
      cause,
    });
  }
}

function findToken(cryptoki: Cryptoki, { token, serial }: ChildConfig): TokenDescription {
  const name = [token === null ? "" : `label ${token}`, serial === null ? "" : `serial ${serial}`]
    .filter((part) => part !== "")
    .join(", ");
  const [found, second] = cryptoki
    .tokens()
    .filter((each) => token === null || each.label === token)
    .filter((each) => serial === null || each.serial === serial);
  if (found === undefined) throw new TokenError("token-missing", name);
  if (second !== undefined) {
    const serials = `${found.serial} and ${second.serial}`;
    throw new TokenError("token-ambiguous", `${name}: serials ${serials}; add serial= to the URI`);
  }
  return found;
}

/** Looks up and judges the sealing key and proves with a throw-away key that the path works. */
async function withKek(base: Connection): Promise<Connection> {
  const { cryptoki, config, pool, token } = base;
  const found = await pool.use(async (session) => findKek(cryptoki, session, config.object));
  if (found === null) {
    if (config.purpose === "provision") return base;
    throw new TokenError("key-missing", `${config.object} in ${token.label}`);
  }
  const probe = await sealNewKey(base, { kek: found.key, label: "probe" });
  const ready = { ...base, kek: { key: found.key, probe } };
  await health(ready);
  return ready;
}

async function initKek(base: Connection): Promise<Connection> {
  const { cryptoki, config, pool } = base;
  if (config.purpose !== "provision") {
    throw new TokenError("protocol", "init-kek belongs to provisioning");
  }
  await pool.use(async (session) => createKek(cryptoki, session, config.object));
  log("sealing key made", { token: base.token.label, object: config.object });
  return await withKek(base);
}

function info({ config, cryptoki, token, pool, moduleSha256, kek }: Connection): ChildInfo {
  return {
    token: token.label,
    serial: token.serial,
    manufacturer: token.manufacturer,
    model: token.model,
    firmware: token.firmware,
    library: cryptoki.library,
    modulePath: config.modulePath,
    moduleSha256,
    object: config.object,
    lanes: pool.lanes,
    kek: kek === null ? "absent" : "present",
  };
}

async function seal(base: Connection, label: string): Promise<SealedKeyBlob> {
  const blob = await sealNewKey(base, { kek: sealingKey(base).key, label });
  // A key that does not open again must never become part of a vault.
  await withKey(base, blob, () => undefined);
  return blob;
}

/** Draws a new account key and seals it; only its public half and its ciphertext go on. */
async function sealNewKey(
  { cryptoki, config, token, pool }: Connection,
  { kek, label }: { readonly kek: KeyHandle; readonly label: string },
): Promise<SealedKeyBlob> {
  return await pool.use(async (session) => {
    const secret = newSecret(cryptoki, session);
    try {
      const publicKey = pointFromScalar(secret, true);
      if (publicKey === null) throw new TokenError("protocol", "a valid scalar has no point");
      const binding: BlobBinding = {
        network: config.network,
        label,
        publicKey: hex(publicKey),
        epoch: 1,
      };
      const gcm = { iv: randomBytes(IV_BYTES), aad: bindingBytes(binding) };
      const sealed = await cryptoki.encrypt(session, kek, secret, gcm);
      return {
        format: BLOB_FORMAT,
        ...binding,
        chainCode: hex(chainCodeOf(publicKey)),
        kek: { token: token.label, object: config.object },
        iv: hex(sealed.iv),
        ciphertext: hex(sealed.ciphertext),
      };
    } finally {
      secret.fill(0);
    }
  });
}

/** 32 bytes from the token XOR 32 from the operating system: good while either source is. */
function newSecret(cryptoki: Cryptoki, session: SessionHandle): Uint8Array {
  // A draw outside 1..n-1 happens once in 2^128; more than a few times is a broken source.
  for (let draw = 0; draw < SECRET_DRAWS_MAX; draw += 1) {
    const ours = randomBytes(KEY_BYTES);
    const theirs = cryptoki.random(session, KEY_BYTES);
    if (theirs.every((byte) => byte === 0)) throw new TokenError("mechanism", "random is all zero");
    for (let at = 0; at < KEY_BYTES; at += 1) theirs[at] = (theirs[at] ?? 0) ^ (ours[at] ?? 0);
    ours.fill(0);
    if (isPrivate(theirs)) return theirs;
    theirs.fill(0);
  }
  throw new TokenError("mechanism", "no usable random numbers");
}
const SECRET_DRAWS_MAX = 4;

/**
 * Opens a blob by one C_Decrypt, lends the key to `use`, and overwrites it. Copies that the
 * WebAssembly curve makes are out of reach here: see README.md, what `sealed` does not promise.
 */
async function withKey<T>(
  base: Connection,
  blob: SealedKeyBlob,
  use: (secret: Uint8Array) => T,
): Promise<T> {
  const { key } = sealingKey(base);
  const sealed = { iv: fromHex(blob.iv), ciphertext: fromHex(blob.ciphertext) };
  const secret = await base.pool.use((session) =>
    base.cryptoki.decrypt(session, key, sealed, bindingBytes(blob)),
  );
  try {
    return use(secret);
  } finally {
    secret.fill(0);
  }
}

function sealingKey(base: Connection): NonNullable<Connection["kek"]> {
  if (base.kek === null) throw new TokenError("key-missing", base.config.object);
  return base.kek;
}

async function check(base: Connection, blobs: readonly SealedKeyBlob[]) {
  const damaged: number[] = [];
  await inLanes(base.pool.lanes, blobs.length, async (at) => {
    const blob = blobs[at];
    if (blob === undefined) return;
    try {
      const publicKey = await openChecked(base, blob, (secret) => pointFromScalar(secret, true));
      if (publicKey === null || hex(publicKey) !== blob.publicKey) damaged.push(at);
    } catch (error) {
      if (!(error instanceof TokenError) || !error.code.startsWith("blob-")) throw error;
      damaged.push(at);
    }
  });
  return { damaged };
}

async function sign(base: Connection, { blobs, items }: Params<"sign">) {
  const signatures: Uint8Array[] = new Array(items.length);
  await inLanes(base.pool.lanes, items.length, async (at) => {
    const item = items[at];
    const blob = item === undefined ? undefined : blobs[item.blob];
    if (item === undefined || blob === undefined) {
      throw new TokenError("request", `item ${at} names no blob`);
    }
    signatures[at] = await signItem(base, {
      blob,
      tweak: item.tweak,
      message: item.message,
    });
  });
  return { signatures };
}

interface SignItem {
  readonly blob: SealedKeyBlob;
  readonly tweak: Uint8Array;
  readonly message: Uint8Array;
}

/**
 * One BIP340 signature by `account + tweak`. The tweak is the sum of the BIP32 steps and is added
 * to the full secret key, before BIP340 chooses the even-Y key; it is no Taproot output tweak.
 */
async function signItem(base: Connection, item: SignItem): Promise<Uint8Array> {
  const expected = expectedKey(item);
  const signature = await openChecked(base, item.blob, (secret) => {
    const tweaked = privateAdd(secret, item.tweak);
    if (tweaked === null) throw new TokenError("request", "the tweak cancels the key");
    try {
      return signSchnorr(item.message, tweaked, randomBytes(32));
    } finally {
      tweaked.fill(0);
    }
  });
  // Invariant: a signature is verified against the public key before it leaves this process.
  if (!verifySchnorr(item.message, expected, signature)) {
    throw new TokenError("signature-invalid", item.blob.label);
  }
  return signature;
}

/** Opens a blob; on failure a probe tells a damaged blob from a token that is gone. */
async function openChecked<T>(
  base: Connection,
  blob: SealedKeyBlob,
  use: (secret: Uint8Array) => T,
): Promise<T> {
  const { network, object } = base.config;
  if (blob.network !== network) {
    throw new TokenError("blob-foreign", `${blob.label} is for ${blob.network}, not ${network}`);
  }
  if (blob.kek.token !== base.token.label || blob.kek.object !== object) {
    const other = `${blob.kek.object} in ${blob.kek.token}`;
    throw new TokenError("blob-foreign", `${blob.label} is sealed under ${other}`);
  }
  try {
    return await withKey(base, blob, use);
  } catch (error) {
    if (!(error instanceof CryptokiError)) throw error;
    await withKey(base, sealingKey(base).probe, () => undefined);
    throw new TokenError("blob-damaged", `${blob.label}: ${error.message}`, {
      cause: error,
    });
  }
}

/** Public keys of recent signatures: the addition costs a quarter of a signature. Public data. */
const expectedKeys = new Map<string, Uint8Array>();
const EXPECTED_KEYS_MAX = 4096;

function expectedKey({ blob, tweak }: SignItem): Uint8Array {
  const name = `${blob.publicKey}${hex(tweak)}`;
  const known = expectedKeys.get(name);
  if (known !== undefined) return known;
  const inRange = tweak.every((byte) => byte === 0) || isPrivate(tweak);
  const point = inRange ? pointAddScalar(fromHex(blob.publicKey), tweak, true) : null;
  if (point === null) throw new TokenError("request", "the tweak is not a scalar of the curve");
  if (expectedKeys.size >= EXPECTED_KEYS_MAX) expectedKeys.clear();
  const expected = point.slice(1);
  expectedKeys.set(name, expected);
  return expected;
}

/** A message under a tag of its own can never be a signature hash that spends anything. */
async function health(base: Connection): Promise<{ readonly ms: number }> {
  const start = performance.now();
  const message = taggedHash("ballast/probe", randomBytes(32));
  const { probe } = sealingKey(base);
  await signItem(base, { blob: probe, tweak: new Uint8Array(32), message });
  return { ms: performance.now() - start };
}

/** Runs `work(0..count-1)`, as many at a time as there are sessions; the first error stops it. */
async function inLanes(
  lanes: number,
  count: number,
  work: (at: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async () => {
    while (next < count && !failed) {
      const at = next;
      next += 1;
      try {
        await work(at);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: Math.min(lanes, count) }, lane));
  const bad = ends.find((end) => end.status === "rejected");
  if (bad !== undefined) throw bad.reason;
}

function log(event: string, fields: Readonly<Record<string, string | number>>): void {
  reply({ kind: "event", event, fields });
}

function reply(message: Reply, sent?: () => unknown): void {
  // A parent that is gone needs no answer; "disconnect" ends this process.
  process.send?.(message, undefined, undefined, () => sent?.());
}

async function receive(raw: unknown): Promise<void> {
  const request = requestSchema.safeParse(raw);
  if (!request.success) return end();
  const { id, op, params } = request.data;
  try {
    const value = await handlers[op](params);
    reply({ kind: "done", id, value }, () => connection?.pool.broken() === true && end());
  } catch (error) {
    const { code, message } = asTokenError(error);
    const over = connection === null || code === "token-failed" || connection.pool.broken();
    reply({ kind: "fault", id, code, message }, () => over && end());
  }
}

function asTokenError(error: unknown): TokenError {
  if (error instanceof TokenError) return error;
  if (error instanceof CryptokiError || error instanceof PoolBrokenError) {
    return new TokenError("token-failed", error.message, { cause: error });
  }
  const words = error instanceof Error ? `${error.name}: ${error.message}` : "unknown";
  return new TokenError("protocol", words, { cause: error });
}

/**
 * SIGKILL to itself instead of exit: exit waits for a hung C_Decrypt, and there is nothing to
 * finish, as every file that this process writes is on the disk before the write returns.
 */
function end(): void {
  process.kill(process.pid, "SIGKILL");
}

if (process.send === undefined) throw new Error("child.ts is started by supervisor.ts");
process.title = "ballast-token";
process.on("message", (raw) => void receive(raw));
// A Ctrl-C or a service stop reaches the whole group; the parent finishes its work and lets go.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);
// Without its parent this process would hold the token's login for nobody.
process.on("disconnect", end);
