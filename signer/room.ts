/** Puts a signer together: law, memory, key, chain and guard. Used by the service and by stations. */
import type { Network } from "../policies/bitcoin/network.ts";
import type { Policy } from "../policies/document/policy.ts";
import { readSignedPolicy } from "../policies/document/signed-policy.ts";
import { readAuditKey, readDocument, type SignerConfig } from "./config.ts";
import { openCurvePool } from "./curve.ts";
import { guard } from "./guard.ts";
import { openJournal } from "./journal.ts";
import { type Law, openLaw } from "./law.ts";
import { openBitcoind } from "./node/bitcoind.ts";
import { BitcoindError } from "./node/bitcoind-error.ts";
import { type Chain, openChain } from "./node/chain.ts";
import { openWatch } from "./node/watch.ts";
import { openNotices } from "./notices.ts";
import { openKey } from "./open.ts";
import { selfTest } from "./self-test.ts";
import type { SignerStatus } from "./service/wire.ts";
import type { Hears, Key, Registers, Signer } from "./signer.ts";
import { openVaults } from "./vaults.ts";

export interface SigningRoom extends Signer, Registers, Hears {
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
  const configured = readSignedPolicy(readDocument(config.policy));
  const { network, role } = configured.policy;
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
  const now = () => Date.now();
  const { since } = config.node;
  const from = { rpc, network, name: config.name, log };
  const watch = openWatch({ ...from, ...(since !== undefined && { since }) });
  const node = openChain({ rpc, chain: CHAINS[network], watch });
  let law: Law;
  let key: Key;
  try {
    law = openLaw({ journal, configured, now, log });
    // The delay of an announced policy begins, and ends, with what the node says.
    if (law.announced() !== null) await firstLook(law, node, log);
    key = await openKey(config.key, { network, curve, env: config.token_environment, log });
  } catch (error) {
    await closeRest();
    throw error;
  }
  const vaults = openVaults({ journal, policy: law.inForce(), key, now, watch });
  const parts = {
    name: config.name,
    get policy() {
      return law.inForce();
    },
    key,
    journal,
    vaults,
    chain: observed(node, law),
    curve,
    now,
    log,
  };
  const { chain } = parts;
  return {
    ...guard(parts),
    ...openNotices({ journal, network, vaults, chain, now, log }),
    key,
    accountKey: (label) => key.accountKey(label),
    registerVault: (registration) => vaults.register(registration),
    pause: () => {
      journal.pause();
      log("ALARM paused", {});
    },
    status: () => {
      const { claims, decisions } = journal.counts();
      const announced = law.announced();
      return {
        name: config.name,
        role,
        custody: key.custody,
        policy: card(law.inForce()),
        ...(announced !== null && { announced: card(announced) }),
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

function card({ name, version, hash }: Policy) {
  return { name, version, hash };
}

/** The chain, each look at which the law takes, too. */
function observed(chain: Chain, law: Law): Chain {
  return {
    ...chain,
    view: async (query) => {
      const view = await chain.view(query);
      law.observe(view);
      return view;
    },
  };
}

/** A node that is away holds up the delay, never the start. */
async function firstLook(law: Law, chain: Chain, log: RoomLog): Promise<void> {
  try {
    law.observe(await chain.view({ outpoints: [] }));
  } catch (error) {
    if (!(error instanceof BitcoindError)) throw error;
    log("chain view missing", { code: error.code, detail: error.message });
  }
}
