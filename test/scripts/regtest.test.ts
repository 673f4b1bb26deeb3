import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { HDKey } from "@scure/bip32";
import { afterEach, describe, expect, it } from "vitest";
import { openMiner } from "../../scripts/miner.ts";
import {
  findBitcoind,
  lookForBitcoind,
  type Regtest,
  startRegtest,
} from "../../scripts/regtest.ts";
import { bitcoindPart, describeNode, temporaryFolder } from "../support/node.ts";
import { describeReal } from "../support/real-part.ts";

describeReal(bitcoindPart(), "the regtest launcher", () => {
  const folder = temporaryFolder();
  const started: Regtest[] = [];
  const children: ChildProcess[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((regtest) => regtest.stop()));
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });
  async function start(name: string): Promise<Regtest> {
    const regtest = await startRegtest({ dataDir: join(folder(), name) });
    started.push(regtest);
    return regtest;
  }

  it("starts a node of its own, with Taproot and without peers", async () => {
    const { rpc, url } = await start("own");
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await rpc.call("getblockchaininfo")).toMatchObject({ chain: "regtest", blocks: 0 });
    expect(await rpc.call("getnetworkinfo")).toMatchObject({ connections: 0, localaddresses: [] });
  });

  it("runs two nodes side by side", async () => {
    const [one, other] = await Promise.all([start("one"), start("other")]);
    expect(one?.url).not.toBe(other?.url);
  });

  it("resumes the chain and the miner's wallet of an earlier run", async () => {
    const first = await start("resumed");
    const [hash] = await (await openMiner(first.rpc)).mine(1);
    await first.stop();
    expect(existsSync(first.cookieFile)).toBe(false);
    expect(isAlive(first.pid)).toBe(false);

    const second = await start("resumed");
    expect(await second.rpc.call("getbestblockhash")).toBe(hash);
    await (await openMiner(second.rpc)).mine(1);
    expect(await second.rpc.call("getblockcount")).toBe(2);
  });

  it("resumes after the node was killed", async () => {
    const first = await start("killed");
    process.kill(first.pid, "SIGKILL");
    await gone(first.pid);
    const second = await start("killed");
    expect(await second.rpc.call("getblockcount")).toBe(0);
  });

  it("stops once, however often it is asked to", async () => {
    const { pid, stop } = await start("twice");
    await Promise.all([stop(), stop()]);
    await stop();
    expect(isAlive(pid)).toBe(false);
  });

  it("says who holds a data folder that is in use", async () => {
    const first = await start("held");
    await expect(start("held")).rejects.toMatchObject({
      code: "already-running",
      message: expect.stringContaining(`(process ${first.pid})`),
    });
  });

  it("says that its port is taken", async () => {
    const first = await start("port");
    const rpcPort = Number(new URL(first.url).port);
    const second = startRegtest({ dataDir: join(folder(), "other-port"), rpcPort });
    await expect(second).rejects.toMatchObject({
      code: "port-taken",
      message: expect.stringContaining(String(rpcPort)),
    });
  });

  it("says why a node does not start", async () => {
    const refused = startRegtest({
      dataDir: join(folder(), "refused"),
      extraArgs: ["-nonsense=1"],
    });
    await expect(refused).rejects.toMatchObject({
      code: "exited",
      message: expect.stringMatching(/nonsense/),
    });
  });

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "ends the node when its owner dies of %s",
    async (by) => {
      const owner = spawn(
        process.execPath,
        ["--import", "tsx", "--input-type=module", "--eval", OWNER],
        {
          env: { ...process.env, DATA_DIR: join(folder(), `orphan-${by}`) },
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      children.push(owner);
      const pid = await new Promise<number>((resolve) => {
        owner.stdout.once("data", (text: Buffer) => resolve(Number(text.toString("utf8"))));
      });
      expect(isAlive(pid)).toBe(true);
      owner.kill(by);
      await gone(pid);
    },
  );
});

/** A process that starts a node, prints its process id, and never stops it. */
const OWNER = `
  import { startRegtest } from "./scripts/regtest.ts";
  const { pid } = await startRegtest({ dataDir: process.env["DATA_DIR"] });
  console.log(pid);
  setInterval(() => {}, 1_000);
`;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Ten seconds are what a node takes at worst to write its state. */
async function gone(pid: number): Promise<void> {
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
}

/** What Ballast's own transactions need of a node's relay rules, which are stricter in Knots. */
describeNode("the relay rules of the node", (node) => {
  const wallet = { wallet: "miner" };

  it("relays OP_RETURN of 80 bytes", async () => {
    await node.miner.mine(101);
    expect(await allowed([{ data: "aa".repeat(80) }])).toBe(true);
  });

  it("relays every lock time that has passed, as a wallet dates its payments", async () => {
    const home = await node.rpc.call<string>("getnewaddress", [], wallet);
    await node.miner.mine(22);
    const call = <Result>(method: string, params: readonly unknown[]) =>
      node.rpc.call<Result>(method, params, wallet);
    for (const locktime of [0, 20, 21, 22]) {
      const bare = await call("createrawtransaction", [[], { [home]: 1 }, locktime]);
      const { hex: funded } = await call<{ hex: string }>("fundrawtransaction", [bare]);
      const { hex } = await call<{ hex: string }>("signrawtransactionwithwallet", [funded]);
      const [answer] = await call<{ allowed: boolean }[]>("testmempoolaccept", [[hex]]);
      expect(answer, `lock time ${locktime}`).toMatchObject({ allowed: true });
    }
  });

  it("relays a replacement by fee", async () => {
    const address = await node.rpc.call<string>("getnewaddress", ["", "bech32m"], wallet);
    const { txid } = await node.miner.fund(address, 100_000n);
    const bumped = await node.rpc.call<{ readonly txid: string }>("bumpfee", [txid], wallet);
    expect(await node.rpc.call<readonly string[]>("getrawmempool")).toEqual([bumped.txid]);
  });

  it("relays a 2-of-3 tapscript spend with one input and two outputs", async () => {
    const vault = await openVault();
    await node.miner.fund(
      await node.rpc.call<string>("getnewaddress", ["", "bech32m"], vault),
      1_000_000n,
    );
    await node.miner.mine(1);
    const outputs = await Promise.all(
      ["0.004", "0.006"].map(async (amount) => ({
        [await node.rpc.call<string>("getnewaddress", ["", "bech32m"], wallet)]: amount,
      })),
    );
    const funded = await node.rpc.call<{ readonly psbt: string }>(
      "walletcreatefundedpsbt",
      [[], outputs, 0, { subtractFeeFromOutputs: [1], fee_rate: "2" }],
      vault,
    );
    const signed = await node.rpc.call<{ readonly psbt: string }>(
      "walletprocesspsbt",
      [funded.psbt],
      vault,
    );
    const { hex } = await node.rpc.call<{ readonly hex: string }>("finalizepsbt", [signed.psbt]);
    const { vin } = await node.rpc.call<{
      readonly vin: readonly { readonly txinwitness: readonly string[] }[];
    }>("decoderawtransaction", [hex]);
    // Script path: three stack items (one of them empty), the leaf, the control block.
    expect(vin[0]?.txinwitness).toHaveLength(5);
    const txid = await node.rpc.call<string>("sendrawtransaction", [hex]);
    await node.miner.mine(1);
    expect(await node.rpc.call("gettransaction", [txid], vault)).toMatchObject({
      confirmations: 1,
    });
  });

  async function allowed(outputs: readonly unknown[]): Promise<boolean | undefined> {
    const { psbt } = await node.rpc.call<{ readonly psbt: string }>(
      "walletcreatefundedpsbt",
      [[], outputs],
      wallet,
    );
    const signed = await node.rpc.call<{ readonly psbt: string }>(
      "walletprocesspsbt",
      [psbt],
      wallet,
    );
    const { hex } = await node.rpc.call<{ readonly hex: string }>("finalizepsbt", [signed.psbt]);
    const [verdict] = await node.rpc.call<readonly { readonly allowed: boolean }[]>(
      "testmempoolaccept",
      [[hex]],
    );
    return verdict?.allowed;
  }

  /** A wallet of the node holds two of three test keys: enough to ask about relay. */
  async function openVault() {
    const h = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0";
    const [user, lsp, trustee] = [1, 2, 3].map(testKey);
    const keys = [user?.privateExtendedKey, lsp?.privateExtendedKey, trustee?.publicExtendedKey];
    const bare = `tr(${h},sortedmulti_a(2,${keys.map((key) => `${key}/*`).join(",")}))`;
    const { checksum } = await node.rpc.call<{ readonly checksum: string }>("getdescriptorinfo", [
      bare,
    ]);
    const desc = `${bare}#${checksum}`;
    await node.rpc.call("createwallet", { wallet_name: "vault", blank: true });
    const vault = { wallet: "vault" };
    const imported = await node.rpc.call(
      "importdescriptors",
      [[{ desc, active: true, timestamp: "now", range: [0, 10] }]],
      vault,
    );
    expect(imported).toMatchObject([{ success: true }]);
    return vault;
  }
});

/** Keys that everybody can make, in the form that a regtest node takes. */
function testKey(number: number): HDKey {
  const versions = { private: 0x04358394, public: 0x043587cf };
  return HDKey.fromMasterSeed(new Uint8Array(32).fill(number), versions);
}

describe("the search for bitcoind", () => {
  const before = process.env["BITCOIND"];
  afterEach(() => {
    if (before === undefined) delete process.env["BITCOIND"];
    else process.env["BITCOIND"] = before;
  });

  it("does not pass over a BITCOIND that is of no use", () => {
    process.env["BITCOIND"] = "/bin/true";
    expect(findBitcoind()).toBeNull();
    expect(lookForBitcoind()).toMatchObject({ reason: expect.stringContaining("BITCOIND") });
  });
});
