/**
 * `station check`: whether this station could sign now, asked without troubling anybody. Before and
 * after every upgrade of a device or its app, so that nobody is locked out unawares.
 */
import type { Role, Vault } from "../../policies/vault.ts";
import { isLedgerKey, type LedgerKey } from "../../signer/ledger/key.ts";
import { LedgerError } from "../../signer/ledger/ledger-error.ts";
import type { At } from "./room.ts";

interface VaultCheck {
  readonly vault: string;
  readonly name: string;
  /** `unknown`: it must be registered on the device; `refused`: the device no longer takes its seal. */
  readonly device: "known" | "unknown" | "refused";
}

export async function check({ open, terminal, print }: At): Promise<number> {
  const { room } = open;
  const unready = await room.unready();
  const { key, role } = room;
  const device = isLedgerKey(key) ? await key.describe() : null;
  const vaults = isLedgerKey(key) ? await checkVaults(key, room.registered(), role) : [];
  const ready = unready.length === 0 && vaults.every(({ device: is }) => is === "known");
  if (print !== null) print({ ready, unready, key: key.custody, device, vaults });
  else {
    terminal.show([
      `Key: ${key.custody}`,
      ...(device === null
        ? []
        : [`Device: ${device.app} ${device.version}, fingerprint ${device.fingerprint}`]),
      ...vaults.map(({ vault, name, device: is }) => `Vault "${name}" (${vault}): ${TOLD[is]}`),
      ...unready.map((reason) => `Not ready: ${reason}`),
      ready ? "This station could sign now." : "This station could not sign all of it now.",
    ]);
  }
  return ready ? 0 : 4;
}

async function checkVaults(
  key: LedgerKey,
  registered: readonly Vault[],
  role: Role,
): Promise<readonly VaultCheck[]> {
  const checks: VaultCheck[] = [];
  for (const vault of registered) {
    const { name } = vault.document.policy;
    checks.push({ vault: vault.id, name, device: await knownTo(key, vault, role) });
  }
  return checks;
}

async function knownTo(key: LedgerKey, vault: Vault, role: Role): Promise<VaultCheck["device"]> {
  try {
    return (await key.recognises(vault, role)) ? "known" : "unknown";
  } catch (error) {
    if (error instanceof LedgerError && error.fault === "registration-wrong") return "refused";
    throw error;
  }
}

const TOLD: Readonly<Record<VaultCheck["device"], string>> = {
  known: "the device knows it",
  unknown: "not registered on this device yet: npx ballast station register",
  refused: "the device no longer takes its seal: npx ballast station register --again",
};
