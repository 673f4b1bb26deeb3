/**
 * The tour as its user plays it: real node, real token, three real processes. Killed without a word
 * and started again, it pays once.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openMiner } from "../../scripts/miner.ts";
import { startRegtest } from "../../scripts/regtest.ts";
import type { Tour } from "../../scripts/tour/tour.ts";
import { openBitcoind } from "../../signer/node/bitcoind.ts";
import { findSoftHsm } from "../../signer/pkcs11/softhsm.ts";
import { bitcoindPart } from "../support/node.ts";
import { describeReal } from "../support/real-part.ts";

const START = join(import.meta.dirname, "../../scripts/start.ts");

const softHsm = {
  name: "SoftHSM",
  missing: findSoftHsm() === null ? "SoftHSM not found (install softhsm2)" : null,
};
const node = bitcoindPart();
const parts = { name: "bitcoind and SoftHSM", missing: node.missing ?? softHsm.missing };

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(words: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), START, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

describeReal(parts, "scripts/start", () => {
  let data = "";

  beforeAll(() => {
    data = mkdtempSync(join(tmpdir(), "ballast-tour-"));
  });

  afterAll(() => {
    rmSync(data, { recursive: true, force: true });
  });

  it("plays the tour after SIGKILL in the middle of both spends, and pays each once", async () => {
    for (const moment of ["the user's signer judges", "a ceremony is open"]) {
      const run = start(["--exit", "--json", "--data", data]);
      await lineOf(run.child, moment);
      run.child.kill("SIGKILL");
      await run.ended;
    }

    const { code, stdout, stderr } = await start(["--exit", "--json", "--data", data]).ended;
    expect(stderr).toContain("stopping bitcoind");
    expect(code).toBe(0);
    const tour = JSON.parse(stdout) as Tour;
    expect(tour.withdrawal).toMatchObject({ sats: "400000", confirmed: true });
    expect(tour.custody).toMatch(/^HSM-sealed, software-signed (by the module|in JavaScript)$/);
    expect(tour.signers.map(({ role }) => role)).toEqual(["user", "lsp", "trustee"]);
    expect(tour.recovery).toMatchObject({ sats: "250000", confirmed: true, attested: ["trustee"] });
    // The person read it on the device, as test networks are written there.
    expect(tour.recovery.screens.join("")).toContain("0.0025 TEST");

    // The chain itself is asked: one payout, in the block that the tour names.
    const chain = await startRegtest({ dataDir: join(data, "node") });
    const rpc = openBitcoind({ url: chain.url, cookieFile: chain.cookieFile });
    try {
      // Loads the wallet that was paid.
      await openMiner(rpc);
      const { address, txid, height } = tour.withdrawal;
      const received = await rpc.call<readonly { txid: string; confirmations: number }[]>(
        "listtransactions",
        ["tour", 100],
        { wallet: "miner" },
      );
      expect(received.map((payment) => payment.txid)).toEqual([txid]);
      const recovered = await rpc.call<readonly { txid: string }[]>(
        "listtransactions",
        ["tour-recovery", 100],
        { wallet: "miner" },
      );
      expect(recovered.map((payment) => payment.txid)).toEqual([tour.recovery.txid]);
      const hash = await rpc.call<string>("getblockhash", [height]);
      const block = await rpc.call<{ tx: readonly string[] }>("getblock", [hash]);
      expect(block.tx).toContain(txid);
      expect(address).toMatch(/^bcrt1p/);
    } finally {
      rpc.close();
      await chain.stop();
    }
  }, 300_000);

  it("started again it resumes, tells the same tour and stops on SIGINT", async () => {
    const again = start(["--data", data]);
    await lineOf(again.child, "the system runs; status page: ");
    again.child.kill("SIGINT");
    const { code, stdout, stderr } = await again.ended;
    expect(code).toBe(0);
    expect(stdout).toContain("A first spend, and one without the LSP, start to end");
    expect(stderr).toMatch(
      /stopping the orchestrator[\s\S]*stopping the LSP's signer[\s\S]*stopping bitcoind/,
    );
  }, 120_000);
});

/** Resolves when the process says these words on stderr; rejects when it ends before. */
function lineOf(child: ChildProcess, words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let heard = "";
    child.stderr?.on("data", (chunk) => {
      heard += chunk;
      if (heard.includes(words)) resolve();
    });
    child.once("close", () => reject(new Error(`ended before saying "${words}":\n${heard}`)));
  });
}
