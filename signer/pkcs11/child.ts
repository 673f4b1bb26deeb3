/**
 * The process that holds the token's library and the login: a driver that crashes or hangs takes
 * this process with it and nothing else. Every signature is verified here before it leaves.
 */
import { randomBytes } from "node:crypto";
import { isPrivate, pointAddScalar, verifySchnorr } from "tiny-secp256k1";
import { fromHex, hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { PROBE_TAG, reportToken } from "../custody/attest.ts";
import { type CopyParts, copyFor, recipientKey, restore, rotate } from "../custody/copies.ts";
import type { Custody, SignItem } from "../custody/custody.ts";
import { foreignness, type KeyFile } from "../custody/key-file.ts";
import { type Connection, connect, describe, init } from "./connection.ts";
import { CKR, CryptokiError } from "./cryptoki.ts";
import {
  type Operation,
  operations,
  type Params,
  type Reply,
  type Result,
  requestSchema,
} from "./protocol.ts";
import { PoolBrokenError } from "./session-pool.ts";
import { TokenError } from "./token-error.ts";

let connection: Connection | null = null;

const handlers: Record<Operation, (raw: unknown) => Promise<unknown>> = {
  open: handler("open", async (config) => {
    if (connection !== null) throw new TokenError("protocol", "open was sent twice");
    const opened = await connect(config, log);
    if (opened.custody !== null) await firstProbe(opened.custody);
    connection = opened;
    return describe(connection);
  }),
  info: handler("info", async () => describe(connected())),
  init: handler("init", async () => {
    const made = await init(connected(), log);
    await firstProbe(custodyOf(made));
    connection = made;
    return describe(connection);
  }),
  make: handler("make", async ({ label }) => await make(connected(), label)),
  check: handler("check", async ({ keys }) => await check(connected(), keys)),
  sign: handler("sign", async (params) => await sign(connected(), params)),
  attest: handler("attest", async ({ challenge }) => await attest(connected(), challenge)),
  recipient: handler("recipient", async () => {
    const { modulus, exponent } = await recipientKey(provisioning());
    return { modulus: hex(modulus), exponent: hex(exponent) };
  }),
  copy: handler("copy", async ({ keys, recipient }) => {
    const to = { modulus: fromHex(recipient.modulus), exponent: fromHex(recipient.exponent) };
    for (const file of keys) refuseForeign(connected(), file);
    return { ciphertexts: [...(await copyFor(copyParts(), keys, to))] };
  }),
  restore: handler("restore", async ({ copies }) => ({
    keys: [...(await restore(copyParts(), copies))],
  })),
  rotate: handler("rotate", async ({ keys, object }) => {
    for (const file of keys) refuseForeign(connected(), file);
    return { keys: [...(await rotate(copyParts(), keys, object))] };
  }),
  audit: handler("audit", async ({ hash }) => {
    const { auditKey, config } = connected();
    if (auditKey === null) throw new TokenError("key-missing", `audit key of ${config.object}`);
    return { publicKey: auditKey.publicKey, signature: await auditKey.sign(hash) };
  }),
  health: handler("health", async () => {
    const start = performance.now();
    await probe(custodyOf(connected()));
    return { ms: performance.now() - start };
  }),
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

/** Ceremonies have a session that may write; a signer at work has none. */
function provisioning(): Connection {
  const base = connected();
  if (base.config.purpose === "provision") return base;
  throw new TokenError("protocol", "this belongs to provisioning");
}

function copyParts(): CopyParts {
  const access = provisioning();
  const { sealed } = custodyOf(access);
  if (sealed !== undefined) return { access, ...sealed };
  const advice = "this token keeps its keys itself: back it up by its vendor's means";
  throw new TokenError("mechanism", advice);
}

async function attest(base: Connection, challenge: Uint8Array): Promise<Result<"attest">> {
  const custody = custodyOf(base);
  const { mechanisms, keys } = await reportToken(base);
  const message = taggedHash(PROBE_TAG, challenge);
  const tweak = new Uint8Array(32);
  const signature = await signVerified(custody, { file: custody.probe, tweak, message });
  const probe = {
    publicKey: custody.probe.publicKey,
    challenge: hex(challenge),
    signature: hex(signature),
  };
  const reported = keys.map((key) => ({ ...key, attributes: { ...key.attributes } }));
  return { mechanisms: [...mechanisms], keys: reported, probe };
}

function custodyOf({ custody, config }: Connection): Custody {
  if (custody === null) throw new TokenError("key-missing", config.object);
  return custody;
}

async function make(base: Connection, label: string): Promise<KeyFile> {
  const custody = custodyOf(base);
  const file = await custody.make(label);
  // A key that does not sign must never become part of a vault.
  await prove(custody, file);
  return file;
}

/** Signs once with each key; a key whose signature is not its own is damaged. */
async function check(base: Connection, keys: readonly KeyFile[]) {
  const damaged: number[] = [];
  await inLanes(base.pool.lanes, keys.length, async (at) => {
    const file = keys[at];
    if (file === undefined) return;
    try {
      refuseForeign(base, file);
      await prove(custodyOf(base), file);
    } catch (error) {
      const ofTheKey = error instanceof TokenError && KEY_FAULTS.has(error.code);
      if (!ofTheKey) throw error;
      damaged.push(at);
    }
  });
  return { damaged };
}
const KEY_FAULTS: ReadonlySet<string> = new Set([
  "key-file-damaged",
  "key-file-foreign",
  "signature-invalid",
]);

async function sign(base: Connection, { keys, items }: Params<"sign">) {
  const custody = custodyOf(base);
  for (const file of keys) refuseForeign(base, file);
  const signatures: Uint8Array[] = new Array(items.length);
  await inLanes(base.pool.lanes, items.length, async (at) => {
    const item = items[at];
    const file = item === undefined ? undefined : keys[item.key];
    if (item === undefined || file === undefined) {
      throw new TokenError("request", `item ${at} names no key`);
    }
    const { tweak, message } = item;
    signatures[at] = await signVerified(custody, { file, tweak, message });
  });
  return { signatures };
}

function refuseForeign({ config, token }: Connection, file: KeyFile): void {
  const why = foreignness(file, {
    network: config.network,
    token: token.label,
    serial: token.serial,
    object: config.object,
    mode: config.custody.kind,
  });
  if (why !== null) throw new TokenError("key-file-foreign", `${file.label} ${why}`);
}

/**
 * Invariant: a signature is verified against the public key before it leaves this process, here or by
 * the sealed module. The guard verifies it again, over a hash of its own.
 */
async function signVerified(custody: Custody, item: SignItem): Promise<Uint8Array> {
  const expected = expectedKey(item);
  const signature = await custody.sign(item);
  if (custody.verifies && signature.length === SIGNATURE_BYTES) return signature;
  const { message, file } = item;
  if (signature.length === SIGNATURE_BYTES && verifySchnorr(message, expected, signature)) {
    return signature;
  }
  log("ALARM token signature does not verify", { key: file.label });
  throw new TokenError("signature-invalid", file.label);
}
const SIGNATURE_BYTES = 64;

/** Public keys of recent signatures: the addition costs a quarter of a signature. Public data. */
const expectedKeys = new Map<string, Uint8Array>();
const EXPECTED_KEYS_MAX = 4096;

function expectedKey({ file, tweak }: SignItem): Uint8Array {
  const name = `${file.publicKey}${hex(tweak)}`;
  const known = expectedKeys.get(name);
  if (known !== undefined) return known;
  const inRange = tweak.every((byte) => byte === 0) || isPrivate(tweak);
  const point = inRange ? pointAddScalar(fromHex(file.publicKey), tweak, true) : null;
  if (point === null) throw new TokenError("request", "the tweak is not a scalar of the curve");
  if (expectedKeys.size >= EXPECTED_KEYS_MAX) expectedKeys.clear();
  const expected = point.slice(1);
  expectedKeys.set(name, expected);
  return expected;
}

async function probe(custody: Custody): Promise<void> {
  await prove(custody, custody.probe);
}

/** A message under a tag of its own can never be a signature hash that spends anything. */
async function prove(custody: Custody, file: KeyFile): Promise<void> {
  const message = taggedHash(PROBE_TAG, randomBytes(32));
  await signVerified(custody, { file, tweak: new Uint8Array(32), message });
}

/** A token that signs something else than BIP340 at the start will not do better later. */
async function firstProbe(custody: Custody): Promise<void> {
  try {
    await probe(custody);
    await signVerified(custody, {
      file: custody.probe,
      tweak: taggedHash("ballast/probe-tweak", randomBytes(32)),
      message: taggedHash(PROBE_TAG, randomBytes(32)),
    });
  } catch (error) {
    if (!(error instanceof TokenError) || error.code !== "signature-invalid") throw error;
    const detail = "what it answers to a probe is no BIP340 signature by its key";
    throw new TokenError("mechanism", detail, { cause: error });
  }
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
  // The key or the mechanism does not do this, today or tomorrow.
  if (error instanceof CryptokiError && NEVER.has(error.ckr ?? -1)) {
    return new TokenError("mechanism", error.message, { cause: error });
  }
  if (error instanceof CryptokiError || error instanceof PoolBrokenError) {
    return new TokenError("token-failed", error.message, { cause: error });
  }
  const words = error instanceof Error ? `${error.name}: ${error.message}` : "unknown";
  return new TokenError("protocol", words, { cause: error });
}

const NEVER: ReadonlySet<number> = new Set([
  CKR.mechanismInvalid,
  CKR.mechanismParamInvalid,
  CKR.keyFunctionNotPermitted,
]);

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
