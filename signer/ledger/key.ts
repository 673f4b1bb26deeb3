/**
 * A `Key` over a Ledger. It translates and decides nothing; what it checks is that the device is the
 * one of the vault and gives what was approved, because a device alone would not say.
 */
import { type AccountKey, readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { writePsbt } from "../../policies/bitcoin/psbt.ts";
import { type Approval, isApproval } from "../../policies/decide.ts";
import { possessionLine } from "../../policies/possession.ts";
import type { Role, Vault } from "../../policies/vault.ts";
import { devicePsbt } from "../device-psbt.ts";
import { KeyError } from "../key-error.ts";
import { checkLine, signsLine } from "../signed-line.ts";
import type { InputSignature, Key } from "../signer.ts";
import type { LedgerApps } from "./app-versions.ts";
import type { Asked } from "./asked.ts";
import { accountPath, type LedgerDevice, type LedgerSession } from "./device.ts";
import { LedgerError, ledgerError } from "./ledger-error.ts";
import type { LookNotice } from "./look.ts";
import { checkOwn, isOwn, unknownAccount } from "./own-account.ts";
import {
  type RegisterOptions,
  type RegisterOutcome,
  recognises,
  registerPolicy,
} from "./register.ts";
import type { DeviceRegistrations } from "./registrations.ts";
import { checkedSignatures } from "./signatures.ts";
import { walletPolicy } from "./wallet-policy.ts";

export interface LedgerKeyOptions {
  readonly device: LedgerDevice;
  readonly apps: LedgerApps;
  readonly network: Network;
  /** Who this is, in the places where one must tell several keys apart. */
  readonly name: string;
  readonly custody: string;
  readonly registrations: DeviceRegistrations;
  readonly asked: Asked;
  /** A registered vault; null for any other. */
  readonly vaultOf: (id: string) => Vault | null;
  readonly look: (notice: LookNotice) => void;
  readonly log: (event: string, fields: Record<string, unknown>) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface DeviceDescription {
  readonly app: string;
  readonly version: string;
  readonly fingerprint: string;
}

/** A key on a device that a person must let take part in each vault. */
export interface LedgerKey extends Key {
  /** Shows the vault on the device, page by page, and keeps the device's seal on it. */
  readonly registerPolicy: (
    asked: Pick<RegisterOptions, "vault" | "role" | "people" | "again" | "written">,
  ) => Promise<RegisterOutcome>;
  /** Whether the device knows this vault, without asking anybody. */
  readonly recognises: (vault: Vault, role: Role) => Promise<boolean>;
  /** What answers there: the app, its version, the seed's fingerprint. */
  readonly describe: () => Promise<DeviceDescription>;
  /** The account key of a label, shown on the device for the person to compare and approve. */
  readonly showAccount: (label: string) => Promise<string>;
}

export function isLedgerKey(key: Key): key is LedgerKey {
  return "registerPolicy" in key;
}

export function ledgerKey(options: LedgerKeyOptions): LedgerKey {
  const { device, apps, network, look, log } = options;
  /** Account numbers by public key, as far as somebody has asked. */
  const numbers = new Map<string, number>();

  async function accountAt(session: LedgerSession, number: number): Promise<AccountKey> {
    const account = readAccountKey(await session.accountKey(number), network);
    numbers.set(hex(account.publicKey), number);
    return account;
  }

  /** A key is asked for by itself, so the device's accounts are looked through, once each. */
  async function accountOf(session: LedgerSession, id: string) {
    const known = numbers.get(id);
    const all = Array.from({ length: apps.limits.accounts }, (_, number) => number);
    for (const number of known === undefined ? all : [known]) {
      const account = await accountAt(session, number);
      if (hex(account.publicKey) === id) return { number, account };
    }
    throw unknownAccount(session, `has no account with key ${id}`);
  }

  function numberOf(label: string): number {
    const { accounts } = apps.limits;
    const number = /^(?:0|[1-9][0-9]{0,2})$/.test(label) ? Number(label) : accounts;
    if (number < accounts) return number;
    const words = `a Ledger's accounts are the numbers 0 to ${accounts - 1}`;
    throw new KeyError("unknown-account", words);
  }

  async function signLine(id: string, text: string): Promise<Uint8Array> {
    checkLine(text);
    return await device.use(async (session) => {
      const { number, account } = await accountOf(session, id);
      look({ at: "message", text });
      const path = `m/${accountPath(number, network)}/0/0`;
      const base64 = await session.client.signMessage(Buffer.from(text, "ascii"), path);
      const signature = Uint8Array.from(Buffer.from(base64, "base64"));
      if (signature.length === 65 && signsLine(account, text, signature)) return signature;
      log("ALARM unverified signature", { key: options.name, path });
      throw new KeyError("unverified", "the Ledger's signature of the text does not verify");
    });
  }

  return {
    name: options.name,
    custody: options.custody,
    sign: async (approval) => {
      if (!isApproval(approval)) {
        throw new KeyError("not-approved", "no decision stands behind this");
      }
      const vault = vaultOfSpend(approval, options);
      let shown = false;
      const asking = () => {
        shown = true;
      };
      try {
        const signing = { approval, vault, asking };
        return await device.use((session) => signSpend({ session, ...signing }, options));
      } catch (error) {
        throw shown ? error : notAsked(error);
      }
    },
    provePossession: (id, text) => signLine(id, possessionLine(text)),
    signLine,
    accountKey: async (label) => {
      const number = numberOf(label);
      return await device.use(async (session) => (await accountAt(session, number)).text);
    },
    showAccount: async (label) => {
      const number = numberOf(label);
      return await device.use(async (session) => {
        const { text } = await accountAt(session, number);
        const [, xpub = ""] = text.split("]");
        const path = accountPath(number, network);
        look({ at: "account", path, xpub });
        if ((await session.client.getExtendedPubkey(`m/${path}`, true)) === xpub) return text;
        throw new KeyError("unverified", "the device has shown another key than it told before");
      });
    },
    owns: (account) => device.use((session) => isOwn(session, account, network)),
    recognises: (vault, role) =>
      device.use((session) => recognises({ ...options, vault, role, session })),
    describe: () =>
      device.use(async ({ app, fingerprint }) => ({
        ...{ app: app.name, version: app.version, fingerprint },
      })),
    registerPolicy: (asked) =>
      device.use((session) => registerPolicy({ ...options, ...asked, session })),
    close: () => device.close(),
  };
}

/** The law refuses these before; a device that is asked shows a stranger's coin as a risk. */
function vaultOfSpend(
  { spend, inputs }: Approval,
  { apps, vaultOf }: Pick<LedgerKeyOptions, "apps" | "vaultOf">,
): Vault {
  const [id = "", ...others] = new Set(spend.inputs.map(({ vault }) => vault));
  if (others.length > 0 || inputs.length !== spend.inputs.length) {
    throw new KeyError("unsupported", "a Ledger signs for the coins of one vault at a time");
  }
  const { outputs } = apps.limits;
  if (spend.outputs.length > outputs) {
    const count = spend.outputs.length;
    throw new KeyError("unsupported", `${count} outputs: a Ledger is shown ${outputs} at most`);
  }
  const vault = vaultOf(id);
  if (vault === null) throw new KeyError("unknown-account", `vault ${id} is not registered here`);
  return vault;
}

interface Signing {
  readonly session: LedgerSession;
  readonly approval: Approval;
  readonly vault: Vault;
  /** Called before the device is given the spend to show. */
  readonly asking: () => void;
}

async function signSpend(
  { session, approval, vault, asking }: Signing,
  { network, registrations, asked, look, log, name }: LedgerKeyOptions,
): Promise<readonly InputSignature[]> {
  const own = vault.holders.find(({ role }) => role === approval.role);
  if (own === undefined) throw new Error("BUG: approved for a vault without a key of the role");
  await checkOwn(session, own, network);
  const policy = walletPolicy(vault);
  const of = { fingerprint: session.fingerprint, policy: hex(policy.id) };
  const registration = registrations.find(of);
  if (registration === null) throw ledgerError("not-registered", `policy ${of.policy}`);
  const psbt = Buffer.from(writePsbt(devicePsbt({ approval, vault })));
  const wallet = session.client.policyOf(policy);
  look({ at: "spend", name: policy.name, txid: approval.txid });

  asking();
  const again = asked.begin(approval.txid);
  let given = 0;
  const progress = () => {
    given += 1;
  };
  const hmac = Buffer.from(registration.hmac);
  const result = await session.client
    .signPsbt(psbt, wallet, hmac, progress)
    .catch((error: unknown) => {
      if (given > 0 || again) throw notRejected(error, given);
      if (isAnswer(error)) asked.nothingGiven(approval.txid);
      throw error;
    });
  try {
    return checkedSignatures(result, approval.inputs);
  } catch (error) {
    log("ALARM unverified signature", { key: name, txid: approval.txid });
    throw error;
  }
}

/**
 * Whether the device itself has said what came of it. Where the wire broke or the app was left, a
 * signature may have been on its way, and somebody else may have it.
 */
function isAnswer(error: unknown): boolean {
  return error instanceof LedgerError && !error.passing;
}

/** No person was shown the spend yet, so whoever says "no" is none: it frees no coin. */
function notAsked(error: unknown): unknown {
  if (!(error instanceof LedgerError) || error.fault !== "rejected") return error;
  return ledgerError("protocol", "it says no before anybody was asked", error);
}

/** A "no" after a signature was given, or after a try that nobody knows the end of, frees no coin. */
function notRejected(error: unknown, given: number): unknown {
  if (!(error instanceof LedgerError) || error.fault !== "rejected") return error;
  const detail = given > 0 ? `${given} were given` : "an earlier try may have given some";
  return ledgerError("stopped-after-signing", detail, error);
}
