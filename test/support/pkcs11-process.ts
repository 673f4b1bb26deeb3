/** The test's side of `pkcs11-driver.ts`: a process with a PKCS#11 module of the test's choice. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";

const CKF_OS_LOCKING_OK = 2;
const CKF_SERIAL_SESSION = 4;
const CKF_RW_SESSION = 2;
const CKU_USER = 1;

/** CKR values (PKCS#11 2.40) that tests expect. */
export const CKR = {
  ok: 0,
  hostMemory: 0x02,
  general: 0x05,
  functionFailed: 0x06,
  argumentsBad: 0x07,
  attributeReadOnly: 0x10,
  attributeSensitive: 0x11,
  actionProhibited: 0x1b,
  dataLenRange: 0x21,
  deviceError: 0x30,
  encryptedDataInvalid: 0x40,
  functionNotSupported: 0x54,
  keyHandleInvalid: 0x60,
  keyTypeInconsistent: 0x63,
  keyFunctionNotPermitted: 0x68,
  keyUnextractable: 0x6a,
  mechanismInvalid: 0x70,
  mechanismParamInvalid: 0x71,
  objectHandleInvalid: 0x82,
  operationActive: 0x90,
  operationNotInitialized: 0x91,
  pinIncorrect: 0xa0,
  pinLocked: 0xa4,
  sessionHandleInvalid: 0xb3,
  bufferTooSmall: 0x150,
  notInitialized: 0x190,
} as const;

/** What a call gave: a value, or the CKR that is not CKR_OK. */
export type Answer =
  | { readonly kind: "ok"; readonly value: unknown; readonly used: readonly unknown[] }
  | { readonly kind: "ckr"; readonly ckr: number };

export interface Pkcs11Process {
  readonly pid: number;
  /** Any function of pkcs11js. Bytes are given and come back as Uint8Array. */
  call(name: string, ...args: readonly unknown[]): Promise<Answer>;
  /** The value of a call that must not fail. */
  must(name: string, ...args: readonly unknown[]): Promise<unknown>;
  /** The CKR of a call, 0 where it succeeded. */
  ckr(name: string, ...args: readonly unknown[]): Promise<number>;
  end(): Promise<void>;
}

/** Starts the process; `env` must hold what the module wants. Nothing is loaded yet. */
function startPkcs11(env: Readonly<Record<string, string>>): Pkcs11Process {
  const script = fileURLToPath(new URL("./pkcs11-driver.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const waiting = hearAnswers(child);
  let ids = 0;
  async function call(name: string, ...args: readonly unknown[]): Promise<Answer> {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("the driver is gone");
    ids += 1;
    const id = ids;
    const answer = new Promise<Answer>((resolve, reject) => waiting.set(id, { resolve, reject }));
    child.stdin.write(`${JSON.stringify({ id, call: name, args: args.map(toWire) })}\n`);
    return answer;
  }
  return {
    pid: child.pid ?? 0,
    call,
    async must(name, ...args) {
      const answer = await call(name, ...args);
      if (answer.kind === "ckr") throw new Error(`${name}: CKR 0x${answer.ckr.toString(16)}`);
      return answer.value;
    },
    async ckr(name, ...args) {
      const answer = await call(name, ...args);
      return answer.kind === "ckr" ? answer.ckr : CKR.ok;
    },
    async end() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

interface Waiter {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (cause: Error) => void;
}

function hearAnswers(child: ChildProcess): Map<number, Waiter> {
  const waiting = new Map<number, Waiter>();
  let complaints = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaints += text;
  });
  child.stdin?.on("error", () => undefined);
  if (child.stdout === null) throw new Error("the driver has no stdout");
  createInterface({ input: child.stdout }).on("line", (line) => {
    const reply = JSON.parse(line) as { id: number; ckr?: number; value?: unknown; used?: [] };
    const { id, ckr, value, used } = reply;
    waiting
      .get(id)
      ?.resolve(
        ckr === undefined
          ? { kind: "ok", value: fromWire(value), used: fromWire(used) as readonly unknown[] }
          : { kind: "ckr", ckr },
      );
    waiting.delete(id);
  });
  child.once("close", (code, signal) => {
    for (const { reject } of waiting.values()) {
      reject(new Error(`the driver ended (${signal ?? code}): ${complaints.slice(0, 2000)}`));
    }
    waiting.clear();
  });
  return waiting;
}

function toWire(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: hex(value) };
  if (Array.isArray(value)) return value.map(toWire);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, toWire(part)]));
}

function fromWire(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromWire);
  if (typeof value !== "object" || value === null) return value;
  if ("hex" in value && typeof value.hex === "string") return fromHex(value.hex);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, fromWire(part)]));
}

/** A process with the module loaded, initialised and logged in to the only token there is. */
export interface OpenModule extends Pkcs11Process {
  readonly slot: Uint8Array;
  readonly session: Uint8Array;
  openSession(): Promise<Uint8Array>;
  /** Handles of the objects with this label. */
  find(label: string, session?: Uint8Array): Promise<readonly Uint8Array[]>;
}

export async function openModule(options: {
  readonly library: string;
  readonly pin: string;
  readonly env: Readonly<Record<string, string>>;
}): Promise<OpenModule> {
  const module = startPkcs11(options.env);
  await module.must("load", options.library);
  await module.must("C_Initialize", { flags: CKF_OS_LOCKING_OK });
  const slots = (await module.must("C_GetSlotList", true)) as readonly Uint8Array[];
  const slot = slots[0];
  if (slot === undefined) throw new Error("there is no token");
  const openSession = async () =>
    (await module.must("C_OpenSession", slot, CKF_SERIAL_SESSION | CKF_RW_SESSION)) as Uint8Array;
  const session = await openSession();
  await module.must("C_Login", session, CKU_USER, options.pin);
  return {
    ...module,
    slot,
    session,
    openSession,
    async find(label, where = session) {
      const template = [{ type: 3, value: new TextEncoder().encode(label) }];
      await module.must("C_FindObjectsInit", where, template);
      const found = await module.must("C_FindObjects", where, 10);
      await module.must("C_FindObjectsFinal", where);
      return found as readonly Uint8Array[];
    },
  };
}
