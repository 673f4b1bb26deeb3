/** Puts a signer together: law, memory, key, chain and guard. Used by the service and by stations. */
import type { Network } from "../policies/bitcoin/network.ts";
import { readPolicy } from "../policies/policy.ts";
import { readAuditKey, readDocument, type SignerConfig } from "./config.ts";
import { openCurvePool } from "./curve.ts";
import { guard } from "./guard.ts";
import { openJournal } from "./journal.ts";
import { openBitcoind } from "./node/bitcoind.ts";
import { openChain } from "./node/chain.ts";
import { openWatch } from "./node/watch.ts";
import { openKey } from "./open.ts";
import { selfTest } from "./self-test.ts";
import type { SignerStatus } from "./service/wire.ts";
import type { Key, Registers, Signer } from "./signer.ts";
import { openVaults } from "./vaults.ts";

export interface SigningRoom extends Signer, Registers {
  readonly key: Key;
  readonly status: () => SignerStatus;
  /** The kill switch: nothing leaves any more, until the quorum resumes the stopped signer. */
  readonly pause: () => void;
  readonly close: () => Promise<void>;
}

export type RoomLog = (event: string, fields: Readonly<Record<string, unknown>>) => void;

/** As `getblockchaininfo` names the networks. */
const CHAINS: Readonly<Record<Network, string>> = {
  bitcoin: "main",
  testnet: "test",
  signet: "signet",
  regtest: "regtest",
};

/** Opens everything or throws; what was opened before the fault is closed again. */
export async function openSigningRoom(
  config: Omit<SignerConfig, "format" | "secret" | "port">,
  log: RoomLog,
): Promise<SigningRoom> {
  selfTest();
  const policy = readPolicy(readDocument(config.policy));
  const { network, role } = policy;
  const { cookie } = config.node;
  const rpc = openBitcoind({ url: config.node.url, ...(cookie && { cookieFile: cookie }) });
  const { mirror, audit_key: auditKey } = config;
  const journal = openJournal({
    file: config.journal,
    network,
    role,
    ...(mirror !== undefined && { mirror }),
    ...(auditKey !== undefined && { auditKey: readAuditKey(auditKey) }),
  });
  const curve = openCurvePool();
  const closeRest = async () => {
    rpc.close();
    await curve.close();
    journal.close();
  };
  let key: Key;
  try {
    key = await openKey(config.key, { network, curve, env: config.token_environment, log });
  } catch (error) {
    await closeRest();
    throw error;
  }
  const now = () => Date.now();
  const { since } = config.node;
  const from = { rpc, network, name: config.name, log };
  const watch = openWatch({ ...from, ...(since !== undefined && { since }) });
  const vaults = openVaults({ journal, policy, key, now, watch });
  const chain = openChain({ rpc, chain: CHAINS[network], watch });
  const parts = { name: config.name, policy, key, journal, vaults, chain, curve, now, log };
  return {
    ...guard(parts),
    key,
    accountKey: (label) => key.accountKey(label),
    registerVault: (registration) => vaults.register(registration),
    pause: () => {
      journal.pause();
      log("ALARM paused", {});
    },
    status: () => {
      const { claims, decisions } = journal.counts();
      return {
        name: config.name,
        role,
        custody: key.custody,
        policy: { name: policy.name, version: policy.version, hash: policy.hash },
        paused: journal.paused(),
        vaults: vaults.count(),
        claims,
        decisions,
      };
    },
    close: async () => {
      await key.close();
      await closeRest();
    },
  };
}
