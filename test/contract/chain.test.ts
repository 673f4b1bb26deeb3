/** The contract of `Chain` over a node's own RPC, and over both kinds of Esplora server. */
import { openChain } from "../../orchestrator/io/chain.ts";
import { openEsplora } from "../../orchestrator/io/esplora.ts";
import { openBitcoind } from "../../signer/node/bitcoind.ts";
import { openEsploraServer } from "../support/esplora-server.ts";
import { bitcoindPart } from "../support/node.ts";
import { describeReal } from "../support/real-part.ts";
import { type ChainAtHand, chainContract } from "./chain.ts";
import type { ChainGround } from "./chain-ground.ts";

describeReal(bitcoindPart(), "bitcoind", () => {
  chainContract(async ({ regtest, stop, start }) => {
    const { url, cookieFile } = regtest();
    const rpc = openBitcoind({ url, cookieFile });
    return { chain: openChain(rpc), tests: true, stop, start, close: async () => rpc.close() };
  });
});

describeReal(bitcoindPart(), "Esplora as Blockstream serves it", () => {
  chainContract((node) => overEsplora(node, false));
});

describeReal(bitcoindPart(), "Esplora as mempool.space serves it", () => {
  chainContract((node) => overEsplora(node, true));
});

async function overEsplora({ regtest }: ChainGround, tests: boolean): Promise<ChainAtHand> {
  const server = await openEsploraServer({ rpc: () => regtest().rpc, tests });
  const chain = openEsplora({ url: server.url, network: "regtest", pauseMs: 1 });
  return { chain, tests, stop: server.stop, start: server.start, close: server.stop };
}
