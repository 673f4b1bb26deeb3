import { execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import type { Token } from "../../signer/pkcs11/token.ts";
import { TokenError } from "../../signer/pkcs11/token-error.ts";
import { describeReal } from "../support/real-part.ts";
import { SOFTHSM } from "../support/soft-hsm.ts";
import { readyToken, type SoftToken } from "../support/soft-token.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

describeReal(SOFTHSM, "the token's process", () => {
  let soft: SoftToken;
  let account: string;
  beforeAll(async () => {
    soft = await readyToken();
    const token = await soft.open();
    account = hex((await token.createAccount("vault-1")).publicKey);
    await token.close();
  });
  afterAll(() => soft.remove());

  const item = () => ({ account, tweak: new Uint8Array(32), message: new Uint8Array(32) });
  const many = (count: number) => Array.from({ length: count }, item);

  /** A child that died a moment ago is not started yet; on a busy machine that takes its time. */
  async function pidOf(token: Token): Promise<number> {
    for (let tries = 0; tries < 500; tries += 1) {
      const { process: child } = await token.health();
      if (child.pid !== null) return child.pid;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error("no child");
  }

  /** Every request is answered: with all its signatures, or with a fault that may pass. */
  async function outcomes(calls: readonly Promise<readonly Uint8Array[]>[]) {
    const settled = await Promise.allSettled(calls);
    return settled.map((each) => {
      if (each.status === "fulfilled") return "signed";
      expect(each.reason).toBeInstanceOf(TokenError);
      return each.reason instanceof TokenError && each.reason.passing ? each.reason.code : "final";
    });
  }

  it("is killed in the middle of a queue: typed passing errors, then it is back", async () => {
    const token = await soft.open();
    const pid = await pidOf(token);
    const calls = Array.from({ length: 12 }, () => token.sign(many(40)));
    setTimeout(() => process.kill(pid, "SIGKILL"), 30);
    const results = await outcomes(calls);
    expect(new Set(results)).toEqual(new Set(["child-died", "signed"]));
    // What was in the child is lost; what waited outside is served by the next one.
    expect(results.filter((each) => each === "child-died").length).toBeLessThanOrEqual(4);
    expect(await token.sign(many(1))).toHaveLength(1);
    expect((await token.health()).process).toMatchObject({ starts: 2 });
    expect(await pidOf(token)).not.toBe(pid);
    await token.close();
  });

  it("hangs: it is killed at the deadline, the request fails as timeout", async () => {
    const token = await soft.open({ limits: { requestMs: 300, operationMs: 10 } });
    process.kill(await pidOf(token), "SIGSTOP");
    await expect(token.sign(many(1))).rejects.toMatchObject({ code: "timeout", passing: true });
    expect(await token.sign(many(1))).toHaveLength(1);
    await token.close();
  });

  it("dies again and again: the breaker opens and closes by itself", async () => {
    const token = await soft.open({ limits: { crashesMax: 3, breakerMs: 700, pauseMs: 5 } });
    for (let crash = 0; crash < 3; crash += 1) {
      process.kill(await pidOf(token), "SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    const open = await token.sign(many(1)).catch((error: unknown) => error);
    expect(open).toMatchObject({ code: "child-died", passing: true });
    expect((await token.health()).process).toMatchObject({ pid: null, starts: 3 });
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(await token.sign(many(1))).toHaveLength(1);
    await token.close();
  });

  it("refuses more than the queue holds, at once", async () => {
    const token = await soft.open({ limits: { queueMax: 3 } });
    const results = await outcomes(Array.from({ length: 10 }, () => token.sign(many(20))));
    expect(results.filter((each) => each === "busy")).toHaveLength(3);
    expect(results.filter((each) => each === "signed")).toHaveLength(7);
    await token.close();
  });

  it("answers what is in flight when it is closed, and nothing after", async () => {
    const token = await soft.open();
    await token.sign(many(1));
    const pid = await pidOf(token);
    // Four are in the child, the fifth waits outside.
    const calls = Array.from({ length: 4 }, () => token.sign(many(20)));
    const late = outcomes([token.sign(many(20))]);
    await new Promise((resolve) => setImmediate(resolve));
    await token.close();
    expect(await outcomes(calls)).toEqual(["signed", "signed", "signed", "signed"]);
    expect(await late).toEqual(["final"]);
    await expect(token.sign(many(1))).rejects.toMatchObject({ code: "closed", passing: false });
    expect(alive(pid)).toBe(false);
    await token.close();
  });

  /** A program that opens the token, signs, prints the child's pid, and does `then`. */
  const program = (then: string) => `
    import { openToken } from ${JSON.stringify(join(ROOT, "signer/pkcs11/token.ts"))};
    const token = await openToken({
      uri: ${JSON.stringify(soft.uri)}, env: ${JSON.stringify(soft.env)}, network: "regtest",
    });
    const zero = new Uint8Array(32);
    await token.sign([{ account: ${JSON.stringify(account)}, tweak: zero, message: zero }]);
    console.log((await token.health()).process.pid);
    ${then}`;
  const args = (code: string) => ["--import", "tsx", "--input-type=module", "-e", code];

  it.each([
    ["closes it", "await token.close();"],
    ["forgets to close it", ""],
    ["throws", "throw new Error('on purpose');"],
  ])("keeps no program from ending that %s", async (_, then) => {
    const ran = promisify(execFile)(process.execPath, args(program(then)), {
      cwd: ROOT,
      timeout: 15_000,
    });
    const { stdout, signal } = await ran
      .catch((error: { readonly stdout: string; readonly signal: string | null }) => error)
      .then((end) => ({ stdout: end.stdout, signal: "signal" in end ? end.signal : null }));
    expect(signal).toBeNull();
    const pid = Number(stdout);
    expect(pid).toBeGreaterThan(1);
    await gone(pid);
  });

  it("dies with its parent, also when that is killed", async () => {
    const parent = spawn(process.execPath, args(program("setInterval(() => 0, 1000);")), {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const pid = await new Promise<number>((resolve) => {
      parent.stdout.once("data", (data) => resolve(Number(String(data))));
    });
    expect(alive(pid)).toBe(true);
    parent.kill("SIGKILL");
    await gone(pid);
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<void> {
  const until = Date.now() + 5_000;
  while (alive(pid)) {
    if (Date.now() > until) throw new Error(`process ${pid} outlived its parent`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
