/** Puts a signer together: law, memory, key, chain and guard. Used by the service and by stations. */
import type { Network } from "../policies/bitcoin/network.ts";
import type { Policy } from "../policies/document/policy.ts";
import { readSignedPolicy } from "../policies/document/signed-policy.ts";
import type { Vault } from "../policies/vault.ts";
import type { AirgapPerson } from "./airgap/exchange.ts";
import { softwareHeadKey } from "./audit.ts";
import { ConfigError, readAuditKey, readDocument, type SignerConfig } from "./config.ts";
import { openCurvePool } from "./curve.ts";
import { type Guard, type GuardParts, guard } from "./guard.ts";
import { type Heads, openHeads } from "./heads.ts";
import { type Journal, openJournal } from "./journal.ts";
import { type Law, openLaw } from "./law.ts";
import type { LookNotice } from "./ledger/look.ts";
import { openBitcoind } from "./node/bitcoind.ts";
import { BitcoindError } from "./node/bitcoind-error.ts";
import { type Chain, openChain } from "./node/chain.ts";
import { openWatch } from "./node/watch.ts";
import { openNotices } from "./notices.ts";
import { openKey } from "./open.ts";
import { selfTest } from "./self-test.ts";
import type { AuditPage } from "./service/routes.ts";
import type { PolicyAnswer, SignerStatus } from "./service/wire.ts";
import type { HeadKey, Hears, Key, Registers } from "./signer.ts";
import { openVaults, type Vaults } from "./vaults.ts";

export interface SigningRoom extends Guard, Registers, Hears {
  readonly key: Key;
  /** A vault that is registered here; null for any other. */
  readonly vault: (id: string) => Vault | null;
  readonly registered: () => readonly Vault[];
  readonly status: () => SignerStatus;
  /** The policy in force and the one announced, each with its document. */
  readonly policies: () => PolicyAnswer;
  readonly audit: (from: number, limit: number) => AuditPage;
  /** Why nothing would be signed now; empty where it would. */
  readonly unready: () => Promise<readonly string[]>;
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

/** What a signer is made of; the rest of its configuration is the service's. */
export type RoomConfig = Pick<
  SignerConfig,
  "name" | "policy" | "journal" | "mirror" | "audit_key" | "key" | "token_environment" | "node"
>;

/** Who watches a signer, and who sits in front of it. */
export interface RoomSurroundings {
  readonly stage?: GuardParts["stage"];
  /** Told before a device shows something. */
  readonly look?: (notice: LookNotice) => void;
  /** Carries PSBTs to an air-gapped device. */
  readonly person?: AirgapPerson;
}

/** Opens everything or throws; what was opened before the fault is closed again. */
export async function openSigningRoom(
  config: RoomConfig,
  log: RoomLog,
  { stage = () => undefined, look = () => undefined, person }: RoomSurroundings = {},
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
  let heads: Heads | null = null;
  let opened: Key | null = null;
  let registered: Vaults | null = null;
  try {
    law = openLaw({ journal, configured, now, log });
    // The delay of an announced policy begins, and ends, with what the node says.
    if (law.announced() !== null) await firstLook(law, node, log);
    refuseCrowdedDevice(config.key, law.inForce());
    key = await openKey(config.key, {
      ...{ network, curve, env: config.token_environment, log },
      // A device is shown registered vaults only; they are opened after the key.
      ledger: { database: journal.database, vaultOf: (id) => registered?.byId(id) ?? null, look },
      ...(person !== undefined && { person }),
    });
    opened = key;
    const headKey = headKeyOf(key, auditKey);
    if (headKey !== null) heads = openHeads({ journal, key: headKey, log });
  } catch (error) {
    await opened?.close();
    await closeRest();
    throw error;
  }
  const vaults = openVaults({ journal, policy: law.inForce(), key, now, watch });
  registered = vaults;
  const parts = {
    name: config.name,
    get policy() {
      return law.inForce();
    },
    key,
    journal: heads?.journal ?? journal,
    vaults,
    chain: observed(node, { law, journal, log }),
    curve,
    now,
    log,
    stage,
  };
  const { chain } = parts;
  return {
    ...guard(parts),
    ...openNotices({ journal, network, vaults, chain, now, log }),
    key,
    vault: (id) => vaults.byId(id),
    registered: () => vaults.all(),
    accountKey: (label) => key.accountKey(label),
    registerVault: (registration) => vaults.register(registration),
    pause: () => {
      journal.pause();
      log("ALARM paused", {});
    },
    policies: () => {
      const announced = law.announced();
      const documents = law.documents();
      return {
        inForce: { ...card(law.inForce()), document: documents.inForce },
        ...(announced !== null && {
          announced: { ...card(announced), document: documents.announced },
        }),
      };
    },
    audit: (from, limit) => {
      const page = journal.auditPage(from, limit);
      const last = page.lines.at(-1)?.sequence ?? 0;
      return { ...page, next: page.lines.length === limit ? last + 1 : null };
    },
    unready: async () => {
      const health = await key.health?.(HEALTH_AGE_MS_MAX);
      const answers = await chain.view({ outpoints: [] }).then(() => true, isBitcoindError);
      return [
        ...(journal.paused() ? ["it is paused until its quorum resumes it"] : []),
        ...(health?.kind === "unhealthy" ? [`${health.code}: ${health.message}`] : []),
        ...(answers ? [] : ["its node does not answer"]),
      ];
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
      await heads?.close();
      await key.close();
      await closeRest();
    },
  };
}

/**
 * A device that a person reads signs for one wallet policy at a time and shows few outputs. Its law
 * must say so, or people would learn to click away what the device warns of.
 */
function refuseCrowdedDevice(uri: string, { onePolicy, name }: Policy): void {
  if (!/^(?:ledger|airgap):/.test(uri) || onePolicy) return;
  throw new ConfigError(
    `policy ${name} is not for a device: it must say transaction.one_policy: true (coins of one vault, at most 8 outputs)`,
  );
}

/** Null where none is configured: the log is a chain then, and nobody attests it. */
function headKeyOf({ headKey, name }: Key, configured: string | undefined): HeadKey | null {
  if (configured === undefined) return null;
  if (configured !== "token") return softwareHeadKey(readAuditKey(configured));
  if (headKey !== undefined) return headKey;
  throw new ConfigError(
    `audit_key is token, and ${name} has no audit key: npx ballast hsm init makes it`,
  );
}

function card({ name, version, hash }: Policy) {
  return { name, version, hash };
}

/** The chain, each look at which the law takes, too. */
function observed(
  chain: Chain,
  { law, journal, log }: { readonly law: Law; readonly journal: Journal; readonly log: RoomLog },
): Chain {
  return {
    ...chain,
    view: async (query) => {
      const view = await chain.view(query);
      const { height } = journal.moment();
      // A reorganisation ends no lower than it began: such a node is another, or was set back.
      if (view.height < height) log("ALARM node set back", { height: view.height, before: height });
      law.observe(view);
      return view;
    },
  };
}

/** A probe that is older than this says nothing of now. */
const HEALTH_AGE_MS_MAX = 10_000;

function isBitcoindError(error: unknown): false {
  if (error instanceof BitcoindError) return false;
  throw error;
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
