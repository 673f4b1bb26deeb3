/**
 * A user leaves a vault with `bitcoind` and the exit kit alone: the kit's own shell script, one node
 * with the chain, another without it that signs. The timelock passes for real, 26,280 blocks.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HDKey } from "@scure/bip32";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import { fromHex, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { EXIT_BLOCKS } from "../../policies/exit.ts";
import { type Branch, CHANGE, descriptorOf, RECEIVE } from "../../policies/vault.ts";
import { openMiner } from "../../scripts/miner.ts";
import { type Regtest, startRegtest } from "../../scripts/regtest.ts";
import { btcOfSats } from "../../signer/node/exact-json.ts";
import { bitcoinCli, bitcoinCliPart } from "../support/bitcoin-cli.ts";
import { temporaryFolder } from "../support/node.ts";
import { describeReal } from "../support/real-part.ts";
import { exited, honest, recipient, type TestVault, testVault } from "../support/spend.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Regtest checks all of its blocks with each new one: 26,280 blocks would take minutes. */
const QUICK = ["-checkblockindex=0", "-checkmempool=0", "-txindex=0", "-nodebuglogfile"];
const BATCH = 1_000;
const TPRV = { private: 0x04358394, public: 0x043587cf };

const LEAVING = testVault({ seed: "leaving", exit: true });
const TIED = testVault({ seed: "tied" });
const SATS = 1_000_000n;
/** Less than it costs to spend by the exit at five sats a virtual byte, and more at two. */
const DUST = 400n;

describeReal(bitcoinCliPart(), "the exit kit", () => {
  const folder = temporaryFolder();
  let online: Regtest;
  let offline: Regtest;
  let cli = "";
  /** The coins of the vault with an exit that are old enough, and how old they are. */
  let confirmedAt = 0;
  let coin = { txid: "", vout: 0 };
  const elsewhere = async () =>
    online.rpc.call<string>("getnewaddress", [], { wallet: "elsewhere" });

  beforeAll(async () => {
    cli = bitcoinCli(folder());
    online = await startRegtest({ dataDir: join(folder(), "online"), extraArgs: QUICK });
    offline = await startRegtest({ dataDir: join(folder(), "offline") });
    const miner = await openMiner(online.rpc);
    coin = await miner.fund(addressAt(LEAVING, RECEIVE, 0), SATS);
    await miner.fund(addressAt(LEAVING, RECEIVE, 7), SATS);
    await miner.fund(addressAt(LEAVING, CHANGE, 1), SATS);
    await miner.fund(addressAt(LEAVING, RECEIVE, 5), DUST);
    await miner.fund(addressAt(TIED, RECEIVE, 0), SATS);
    await miner.mine(1);
    confirmedAt = await online.rpc.call<number>("getblockcount");
    // One coin stays young, half way to its own opening. A loaded wallet would read every block.
    const young = await online.rpc.call<{ readonly hex: string }>(
      "send",
      {
        outputs: [{ [addressAt(LEAVING, RECEIVE, 2)]: btcOfSats(SATS) }],
        options: { add_to_wallet: false },
      },
      { wallet: "miner" },
    );
    await online.rpc.call("unloadwallet", ["miner"]);
    await age(EXIT_BLOCKS / 2);
    await online.rpc.call("sendrawtransaction", [young.hex]);
    await age(EXIT_BLOCKS - 1);
    await online.rpc.call("createwallet", ["elsewhere"]);
    await kit(LEAVING, "leaving");
    await kit(TIED, "tied");
  });

  afterAll(async () => {
    await online?.stop();
    await offline?.stop();
  });

  /** Mines until the first coins have rested so many blocks. */
  async function age(blocks: number): Promise<void> {
    for (;;) {
      const tip = await online.rpc.call<number>("getblockcount");
      const left = confirmedAt + blocks - 1 - tip;
      if (left <= 0) return;
      const anyone = `raw(51)#${descriptorChecksum("raw(51)")}`;
      await online.rpc.call("generatetodescriptor", [Math.min(left, BATCH), anyone]);
    }
  }

  /** What `npx ballast exit-kit` writes. */
  async function kit(vault: TestVault, name: string): Promise<void> {
    const file = join(folder(), `${name}.json`);
    writeFileSync(file, JSON.stringify(vault.vault.document));
    const out = join(folder(), name);
    const words = ["exit-kit", "--vault", file, "--out", out];
    const node = ["--node", online.url, "--cookie", online.cookieFile];
    const run = await ran(join(ROOT, "scripts/ballast"), [...words, ...node]);
    expect(run).toMatchObject({ status: 0, said: expect.stringMatching(/descriptor\.txt/) });
  }

  /** The kit's script in the kit's folder: it has a node, and nothing of ours. */
  function exit(where: string, words: readonly string[], how: Partial<Call> = {}) {
    const node = how.node ?? online;
    const port = new URL(node.url).port;
    const data = join(node.cookieFile, "../..");
    return ran("sh", ["./exit.sh", ...words], {
      cwd: join(folder(), where),
      input: how.input ?? "",
      env: {
        PATH: process.env["PATH"] ?? "",
        BITCOIN_CLI: `${cli} -regtest -datadir=${data} -rpcport=${port}`,
        LAST_INDEX: "30",
      },
    });
  }

  describe("on a vault with an exit", () => {
    it("is whole, and fits its node", async () => {
      expect(await exit("leaving", ["check"])).toMatchObject({
        status: 0,
        said: expect.stringMatching(/whole, and the node runs regtest/),
      });
    });

    it("has the descriptor, the policy, the first address and labels of the vault", async () => {
      const { document } = LEAVING.vault;
      const read = (name: string) => readFileSync(join(folder(), "leaving", name), "utf8");
      expect(read("descriptor.txt")).toBe(`${descriptorOf(LEAVING.vault)}\n`);
      expect(JSON.parse(read("policy.json"))).toEqual(document.policy);
      expect(read("bsms.txt").split("\n")).toEqual([
        "BSMS 1.0",
        descriptorOf(LEAVING.vault),
        "No path restrictions",
        addressAt(LEAVING, RECEIVE, 0),
        "",
      ]);
      const labels = read("labels.jsonl")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
      const kinds = labels.map(({ type }) => type);
      expect(kinds.filter((kind) => kind === "xpub")).toHaveLength(3);
      expect(kinds.filter((kind) => kind === "addr")).toHaveLength(40);
      expect(labels.filter(({ type }) => type === "output")).toContainEqual({
        type: "output",
        ref: `${coin.txid}:${coin.vout}`,
        label: `Ballast test: the user may leave alone from block ${confirmedAt + EXIT_BLOCKS}`,
      });
      const [due, resting] = [/must be refreshed soon/g, /about 91 days; rests/g];
      expect(read("README.md").match(due)).toHaveLength(4);
      expect(read("README.md").match(resting)).toHaveLength(1);
    });

    it("a block early finds nothing open, and the node would refuse", async () => {
      const coins = await exit("leaving", ["coins"]);
      expect(coins.said.match(/in 1 blocks/g)).toHaveLength(4);
      expect(await exit("leaving", ["alone", await elsewhere(), "2"])).toMatchObject({
        status: 1,
        said: expect.stringMatching(/no coin is open yet/),
      });
      expect(await verdict()).toMatchObject({
        allowed: false,
        "reject-reason": "non-BIP68-final",
      });
    });

    it("leaves: the coins arrive, and the secret is on no disk", async () => {
      await age(EXIT_BLOCKS);
      expect(await verdict()).toMatchObject({ allowed: true });
      expect((await exit("leaving", ["coins"])).said.match(/OPEN since block/g)).toHaveLength(4);

      const address = await elsewhere();
      const made = await exit("leaving", ["alone", address, "5"]);
      expect(made).toMatchObject({
        status: 0,
        said: expect.stringMatching(/3 coins, 3000000 sats together\n\(1 more stay/),
      });

      cpSync(join(folder(), "leaving"), join(folder(), "carried"), { recursive: true });
      const secret = tprv(LEAVING, "user");
      const signed = await exit("carried", ["sign", "alone.psbt"], {
        node: offline,
        input: `${secret}\n`,
      });
      expect(signed).toMatchObject({
        status: 0,
        said: expect.stringMatching(/key of: user[\s\S]*signed-by-user\.psbt/),
      });
      expect(signed.said).toContain(`BTC to ${address}`);
      expect(holding(folder(), secret)).toEqual([]);

      // A block is taken back: what is signed is not lost, only too early.
      const tip = await online.rpc.call<string>("getbestblockhash");
      await online.rpc.call("invalidateblock", [tip]);
      const early = await exit("carried", ["send", "signed-by-user.psbt"], { input: "yes\n" });
      expect(early).toMatchObject({ status: 1, said: expect.stringMatching(/too early/) });
      await online.rpc.call("reconsiderblock", [tip]);

      const unsure = await exit("carried", ["send", "signed-by-user.psbt"], { input: "no\n" });
      expect(unsure).toMatchObject({ status: 1, said: expect.stringMatching(/not sent/) });
      const sent = await exit("carried", ["send", "signed-by-user.psbt"], { input: "yes\n" });
      expect(sent).toMatchObject({ status: 0, said: expect.stringMatching(/Sent: [0-9a-f]{64}/) });
      const txid = /Sent: ([0-9a-f]{64})/.exec(sent.said)?.[1] ?? "";
      const entry = await online.rpc.call<{ vsize: number }>("getmempoolentry", [txid]);
      await age(EXIT_BLOCKS + 1);
      const wallet = { wallet: "elsewhere" };
      const got = await online.rpc.call("getreceivedbyaddress", [address], wallet);
      const fee = 3n * SATS - BigInt(Math.round(Number(got) * 1e8));
      // Five sats a virtual byte; an address of P2WPKH is 12 bytes shorter than the longest.
      expect(Number(fee) / entry.vsize).toBeGreaterThan(5);
      expect(Number(fee) / entry.vsize).toBeLessThan(5.4);
      expect((await exit("carried", ["coins"])).said.match(/opens at block/g)).toHaveLength(1);
    });

    it("two leave together without waiting", async () => {
      const address = await elsewhere();
      expect(await exit("leaving", ["together", address, "2"])).toMatchObject({ status: 0 });
      for (const role of ["user", "trustee"] as const) {
        const input = `${master(`leaving/${role}`)}\n`;
        expect(
          await exit("leaving", ["sign", "together.psbt"], { node: offline, input }),
        ).toMatchObject({
          status: 0,
          said: expect.stringMatching(new RegExp(`key of: ${role}`)),
        });
      }
      const one = await exit("leaving", ["send", "signed-by-user.psbt"], { input: "yes\n" });
      expect(one).toMatchObject({
        status: 1,
        said: expect.stringMatching(/signatures are missing/),
      });
      const both = ["send", "signed-by-user.psbt", "signed-by-trustee.psbt"];
      expect(await exit("leaving", both, { input: "yes\n" })).toMatchObject({ status: 0 });
    });

    it("is looked at in a wallet that can sign nothing", async () => {
      expect(await exit("leaving", ["watch"])).toMatchObject({ status: 0 });
      const wallet = { wallet: `ballast-${LEAVING.vault.id.slice(0, 8)}` };
      expect(await online.rpc.call("getwalletinfo", [], wallet)).toMatchObject({
        private_keys_enabled: false,
      });
    });
  });

  describe("on a vault without an exit", () => {
    it("says that nobody leaves alone", async () => {
      const page = readFileSync(join(folder(), "tied/README.md"), "utf8");
      expect(page).toMatch(/Nobody can leave this vault alone: not you, not the LSP/);
      expect((await exit("tied", ["coins"])).said).toMatch(/takes two of the three keys, for ever/);
      expect(await exit("tied", ["alone", await elsewhere(), "2"])).toMatchObject({
        status: 1,
        said: expect.stringMatching(/nobody can leave this vault alone/),
      });
    });

    it("has a BSMS record as a template", async () => {
      const [, template, paths, first] = readFileSync(
        join(folder(), "tied/bsms.txt"),
        "utf8",
      ).split("\n");
      expect(template).toMatch(
        /^tr\(tpub\w+\/\*\*,sortedmulti_a\(2(,\[[^\]]+\]tpub\w+\/\*\*){3}\)\)$/,
      );
      expect([paths, first]).toEqual(["/0/*,/1/*", addressAt(TIED, RECEIVE, 0)]);
    });

    it("lets any two sign together", async () => {
      expect(await exit("tied", ["together", await elsewhere(), "3"])).toMatchObject({ status: 0 });
      for (const role of ["lsp", "trustee"] as const) {
        const input = `${tprv(TIED, role)}\n`;
        const signed = await exit("tied", ["sign", "together.psbt"], { node: offline, input });
        expect(signed).toMatchObject({ status: 0 });
      }
      const both = ["send", "signed-by-lsp.psbt", "signed-by-trustee.psbt"];
      expect(await exit("tied", both, { input: "yes\n" })).toMatchObject({ status: 0 });
    });
  });

  describe("refuses", () => {
    /** A copy of a kit with one file changed. */
    function bent(file: string, change: (text: string) => string): string {
      const name = `bent-${readdirSync(folder()).length}`;
      mkdirSync(join(folder(), name));
      cpSync(join(folder(), "leaving"), join(folder(), name), { recursive: true });
      const path = join(folder(), name, file);
      const text = readFileSync(path, "utf8");
      const changed = change(text);
      expect(changed).not.toBe(text);
      writeFileSync(path, changed);
      return name;
    }
    const refused = async (where: string, words: RegExp) =>
      expect(await exit(where, ["check"])).toMatchObject({
        status: 1,
        said: expect.stringMatching(words),
      });

    it("a descriptor that was edited", async () => {
      await refused(
        bent("descriptor.txt", (text) => text.replace("older(26280)", "older(26279)")),
        /is not what was written into this kit/,
      );
    });

    it("one without its checksum", async () => {
      await refused(
        bent("descriptor.txt", (text) => text.replace(/#.*/, "")),
        /has lost its checksum/,
      );
    });

    it("another vault's, checksum and all", async () => {
      await refused(
        bent("descriptor.txt", () => descriptorOf(TIED.vault)),
        /is another vault's/,
      );
    });

    it.each(["bitcoin", "testnet", "signet"])("a kit of %s", async (network) => {
      await refused(
        bent("exit.sh", (text) => text.replace("NETWORK='regtest'", `NETWORK='${network}'`)),
        new RegExp(`kit is for ${network}, and the node runs the chain "regtest"`),
      );
    });

    it.each([
      ["a key of nobody", () => HDKey.fromMasterSeed(sha256(new Uint8Array(1)), TPRV), /none of/],
      ["the LSP's key", () => parsed(tprv(LEAVING, "lsp")), /only the user's key can leave alone/],
    ])("%s for leaving alone", async (_, key, words) => {
      const input = `${key().privateExtendedKey}\n`;
      const run = await exit("carried", ["sign", "alone.psbt"], { node: offline, input });
      expect(run).toMatchObject({ status: 1, said: expect.stringMatching(words) });
    });

    it.each([
      ["a public key", () => parsed(tprv(LEAVING, "user")).publicExtendedKey],
      ["seed words", () => "abandon abandon about"],
      ["more than a key", () => `${tprv(LEAVING, "user")}"`],
      ["nothing", () => ""],
    ])("%s for a key", async (_, key) => {
      const run = await exit("carried", ["sign", "alone.psbt"], {
        node: offline,
        input: `${key()}\n`,
      });
      expect(run).toMatchObject({
        status: 1,
        said: expect.stringMatching(/key begins|more than a/),
      });
    });

    it.each([
      [
        "an address of mainnet",
        ["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "2"],
        /is no address/,
      ],
      ["a fee of nothing", ["ADDRESS", "0"], /the fee is/],
      ["a fee beyond measure", ["ADDRESS", "5001"], /the fee is/],
      ["a fee in words", ["ADDRESS", "2; true"], /the fee is/],
    ])("%s", async (_, [address = "", fee = ""], words) => {
      const to = address === "ADDRESS" ? await elsewhere() : address;
      expect(await exit("leaving", ["together", to, fee])).toMatchObject({
        status: 1,
        said: expect.stringMatching(words),
      });
    });
  });

  /** What the node says of the first coin, spent by the user's key alone, as we write it. */
  async function verdict(): Promise<unknown> {
    const spend = honest({
      from: LEAVING,
      coins: [{ branch: RECEIVE, index: 0, sats: SATS }],
      payments: [{ script: recipient(0), sats: SATS - 10_000n }],
      change: null,
      bend: {
        tx: (tx) => ({
          ...tx,
          inputs: [{ txid: fromHex(coin.txid).reverse(), vout: coin.vout, sequence: EXIT_BLOCKS }],
          locktime: 0,
        }),
      },
    });
    const raw = hex(exited(spend, "user", 2));
    const [said] = await online.rpc.call<readonly unknown[]>("testmempoolaccept", [[raw]]);
    return said;
  }
});

interface Ran {
  readonly status: number | null;
  /** Both streams. */
  readonly said: string;
}

/** Runs a program without holding up this process, whose connections to the node would go stale. */
function ran(
  program: string,
  words: readonly string[],
  how: { readonly cwd?: string; readonly input?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const { input = "", ...options } = how;
    const child = spawn(program, words, options);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    }
    // Who refuses before asking does not read.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, said }));
  });
}

interface Call {
  readonly node: Regtest;
  readonly input: string;
}

function addressAt({ scripts }: TestVault, branch: Branch, index: number): string {
  return addressOf(scripts.at(branch, index).script, "regtest") ?? "";
}

/** The account's own key, as a person would have it. */
function tprv({ parties }: TestVault, role: "user" | "lsp" | "trustee"): string {
  const account = parties.get(role)?.account;
  if (account?.privateKey == null || account.chainCode === null) throw new Error(`no ${role}`);
  return new HDKey({
    versions: TPRV,
    privateKey: account.privateKey,
    chainCode: account.chainCode,
    depth: account.depth,
    index: account.index,
    parentFingerprint: account.parentFingerprint,
  }).privateExtendedKey;
}

function parsed(text: string): HDKey {
  return HDKey.fromExtendedKey(text, TPRV);
}

/** The master key above a party's account. */
function master(seed: string): string {
  const { privateExtendedKey } = HDKey.fromMasterSeed(sha256(new TextEncoder().encode(seed)), TPRV);
  return privateExtendedKey;
}

/** Files in a folder and below that hold a text. */
function holding(folder: string, text: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && readFileSync(path).includes(text));
}
