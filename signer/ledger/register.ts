/**
 * A vault is registered on a device: once, by a person who compares every page with what was printed
 * before. The device then knows its own seal again, and shows the vault's name instead of a warning.
 */
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { addressOf, scriptOf } from "../../policies/bitcoin/taproot.ts";
import { equal } from "../../policies/bitcoin/wire.ts";
import { RECEIVE, type Role, type Vault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { KeyError } from "../key-error.ts";
import type { ClientPolicy } from "./client.ts";
import type { LedgerSession } from "./device.ts";
import { LedgerError } from "./ledger-error.ts";
import type { LookNotice } from "./look.ts";
import { checkOwn } from "./own-account.ts";
import type { DeviceRegistration, DeviceRegistrations } from "./registrations.ts";
import { type LineWriter, openTranscript, type TranscriptLine } from "./transcript.ts";
import { previewOf, type WalletPolicy, walletPolicy } from "./wallet-policy.ts";

export interface RegisterOptions {
  readonly session: LedgerSession;
  readonly network: Network;
  readonly vault: Vault;
  /** Whose key in the vault is on this device. */
  readonly role: Role;
  /** Who is there, for the transcript. */
  readonly people: readonly string[];
  /** Registers anew what is registered: after the device no longer knew its seal. */
  readonly again?: boolean;
  readonly registrations: DeviceRegistrations;
  readonly look: (notice: LookNotice) => void;
  readonly now: () => number;
  /** Told each line of the transcript as it is made. */
  readonly written?: (line: TranscriptLine) => void;
}

export type RegisterOutcome =
  /** Found again: the device has just recognised its seal, and nobody was asked. */
  | { readonly kind: "known"; readonly registration: DeviceRegistration }
  | {
      readonly kind: "registered";
      readonly registration: DeviceRegistration;
      readonly transcript: readonly TranscriptLine[];
    };

/** Throws a LedgerError or KeyError; nothing is kept unless every step went well. */
export async function registerPolicy(options: RegisterOptions): Promise<RegisterOutcome> {
  const { session, network, vault, role, registrations, now } = options;
  const own = vault.holders.find((holder) => holder.role === role);
  if (own === undefined || vault.network !== network) {
    throw new KeyError("unknown-account", `the vault has no key of the ${role} on ${network}`);
  }
  await checkOwn(session, own, network);
  const policy = walletPolicy(vault);
  const wallet = session.client.policyOf(policy);
  const asked: Registering = { ...options, policy, wallet };
  const of = { fingerprint: session.fingerprint, policy: hex(policy.id) };
  const known = options.again === true ? null : registrations.find(of);
  if (known !== null) {
    await firstAddress(asked, { hmac: known.hmac, display: false });
    return { kind: "known", registration: known };
  }
  const transcript = openTranscript(now, options.written ?? (() => undefined));
  try {
    const hmac = await ceremony(asked, transcript);
    const registration: DeviceRegistration = {
      ...{ ...of, vault: vault.id, hmac },
      appVersion: session.app.version,
      at: now(),
    };
    registrations.record(registration);
    transcript.write({ step: "registered" });
    return { kind: "registered", registration, transcript: transcript.lines() };
  } catch (error) {
    if (error instanceof KeyError) {
      const fault = error instanceof LedgerError ? error.fault : error.code;
      transcript.write({ step: "failed", fault, says: error.message });
    }
    throw error;
  }
}

/**
 * Whether the device knows this vault: its seal is here, and the device takes it and derives our first
 * address. Nobody is asked. Throws where the device no longer takes the seal.
 */
export async function recognises(
  options: Omit<RegisterOptions, "people" | "again" | "written">,
): Promise<boolean> {
  const { session, network, vault, role, registrations } = options;
  const own = vault.holders.find((holder) => holder.role === role);
  if (own === undefined) return false;
  await checkOwn(session, own, network);
  const policy = walletPolicy(vault);
  const known = registrations.find({
    fingerprint: session.fingerprint,
    policy: hex(policy.id),
  });
  if (known === null) return false;
  const asked = { ...options, policy, people: [], wallet: session.client.policyOf(policy) };
  await firstAddress(asked, { hmac: known.hmac, display: false });
  return true;
}

interface Registering extends RegisterOptions {
  readonly policy: WalletPolicy;
  readonly wallet: ClientPolicy;
}

async function ceremony(asked: Registering, { write }: LineWriter): Promise<Uint8Array> {
  const { session, network, vault, role, people, policy, wallet, look } = asked;
  const { name, template, keys } = policy;
  const id = hex(policy.id);
  write({
    ...{ step: "opened", format: "ballast/ledger-transcript@1", network, role, vault: vault.id },
    people: [...people],
    device: {
      fingerprint: session.fingerprint,
      app: session.app.name,
      version: session.app.version,
    },
    policy: { id, name, template, keys: [...keys] },
  });
  const preview = previewOf(vault, role);
  write({ step: "previewed", nano: [...preview.nano], flex: [...preview.flex] });
  look({ at: "registration", name, preview });
  const [deviceId, hmac] = await session.client.registerWallet(wallet);
  // Ours, the client's and the device's: three reckonings of one id.
  if (!equal(deviceId, policy.id) || !equal(wallet.getId(), policy.id)) {
    throw new KeyError("unverified", `the device has registered another policy than ${id}`);
  }
  write({ step: "sealed", policy_id: id, hmac_sha256: hex(sha256(hmac)) });
  write({ step: "address", ...(await firstAddress(asked, { hmac, display: true })) });
  return Uint8Array.from(hmac);
}

/** The vault's first address, by the device and by ourselves. The scripts must be the same. */
async function firstAddress(
  { session, network, vault, wallet, look }: Registering,
  { hmac, display }: { readonly hmac: Uint8Array; readonly display: boolean },
) {
  const { script } = vaultScripts(vault).at(RECEIVE, 0);
  // Ledger's app for test networks writes all of them as testnet does.
  const theirs = network === "bitcoin" ? "bitcoin" : "testnet";
  const expected = addressOf(script, theirs) ?? "";
  const address = addressOf(script, network) ?? "";
  if (display) look({ at: "address", shown: expected, address });
  const shown = await session.client.getWalletAddress(
    wallet,
    Buffer.from(hmac),
    RECEIVE,
    0,
    display,
  );
  const told = scriptOf(shown, theirs);
  if (told === null || !equal(told, script)) {
    throw new KeyError("unverified", "the device derives another first address for this vault");
  }
  return { branch: RECEIVE, index: 0, shown, address, script: hex(script) } as const;
}
