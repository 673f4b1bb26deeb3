import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { type Miner, openMiner } from "../../scripts/miner.ts";
import { lookForBitcoind, type Regtest, startRegtest } from "../../scripts/regtest.ts";
import type { Bitcoind } from "../../signer/node/bitcoind.ts";
import { describeReal, type RealPart } from "./real-part.ts";

/** A fresh regtest node of one test file. Its parts exist from `beforeAll` on, not before. */
export interface TestNode {
  readonly url: string;
  readonly cookieFile: string;
  readonly rpc: Bitcoind;
  readonly miner: Miner;
}

/**
 * `describe` with a fresh regtest node in a temporary folder, which is gone afterwards. Skips by
 * name where no bitcoind is found.
 */
export function describeNode(title: string, body: (node: TestNode) => void): void {
  describeReal(bitcoindPart(), title, () => {
    const dataDir = temporaryFolder();
    let started: { readonly regtest: Regtest; readonly miner: Miner } | null = null;
    beforeAll(async () => {
      const regtest = await startRegtest({ dataDir: dataDir(), extraArgs: HASTY });
      started = { regtest, miner: await openMiner(regtest.rpc) };
    });
    // Hooks after all run in reverse order: the node ends before its folder goes.
    afterAll(async () => {
      await started?.regtest.stop();
    });

    function running() {
      if (started === null) throw new Error("the node exists only inside tests and hooks");
      return started;
    }
    body({
      get url() {
        return running().regtest.url;
      },
      get cookieFile() {
        return running().regtest.cookieFile;
      },
      get rpc() {
        return running().regtest.rpc;
      },
      get miner() {
        return running().miner;
      },
    });
  });
}

/**
 * Wallets write down every block and wait for the disk, which makes a month of blocks minutes. This
 * node's folder is thrown away: what it would lose with the power, nobody wants back.
 */
const HASTY = ["-unsafesqlitesync"];

/** For tests that start nodes of their own: `describeReal(bitcoindPart(), …)`. */
export function bitcoindPart(): RealPart {
  const found = lookForBitcoind();
  return { name: "bitcoind", missing: found.kind === "missing" ? found.reason : null };
}

/** A folder that exists while the tests of the surrounding `describe` run. */
export function temporaryFolder(): () => string {
  let folder: string | null = null;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ballast-test-"));
  });
  afterAll(() => {
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    if (folder === null) throw new Error("the folder exists only inside tests and hooks");
    return folder;
  };
}
