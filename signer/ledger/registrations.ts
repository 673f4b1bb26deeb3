/**
 * What devices have sealed: one HMAC a device and wallet policy, by which the device knows a vault
 * again. Not secret enough to steal by, and not harmless either: with it a host may show addresses
 * and ask for signatures, each of which the person still confirms. The table lies in the journal's
 * file, this file alone writes it; it travels with the journal's export (interchange.ts).
 */
import type Database from "better-sqlite3";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";

export interface DeviceRegistration {
  /** Of the device's master key: eight hex digits. */
  readonly fingerprint: string;
  /** Id of the wallet policy: 64 hex digits. The HMAC is for this device and this policy alone. */
  readonly policy: string;
  /** Id of the vault. */
  readonly vault: string;
  /** 32 bytes. */
  readonly hmac: Uint8Array;
  /** The app that made it; the HMAC is good in every other, too. */
  readonly appVersion: string;
  /** Milliseconds since 1970, by the machine's clock. */
  readonly at: number;
}

export type DeviceAndPolicy = Pick<DeviceRegistration, "fingerprint" | "policy">;

export interface DeviceRegistrations {
  readonly find: (of: DeviceAndPolicy) => DeviceRegistration | null;
  /** Replaces one that the device no longer takes; durable when it returns. */
  readonly record: (registration: DeviceRegistration) => void;
  readonly all: () => readonly DeviceRegistration[];
}

interface Row {
  readonly fingerprint: string;
  readonly policy: string;
  readonly vault: string;
  readonly hmac: string;
  readonly app_version: string;
  readonly at: bigint;
}

export function openDeviceRegistrations(db: Database.Database): DeviceRegistrations {
  const select = db.prepare<[string, string], Row>(
    "SELECT * FROM device_registrations WHERE fingerprint = ? AND policy = ?",
  );
  const list = db.prepare<[], Row>(
    "SELECT * FROM device_registrations ORDER BY fingerprint, policy",
  );
  const upsert = db.prepare(
    `INSERT INTO device_registrations (fingerprint, policy, vault, hmac, app_version, at)
     VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (fingerprint, policy) DO UPDATE SET vault = excluded.vault,
       hmac = excluded.hmac, app_version = excluded.app_version, at = excluded.at`,
  );
  return {
    find: ({ fingerprint, policy }) => {
      const row = select.get(fingerprint, policy);
      return row === undefined ? null : registrationOf(row);
    },
    record: ({ fingerprint, policy, vault, hmac, appVersion, at }) => {
      upsert.run(fingerprint, policy, vault, hex(hmac), appVersion, at);
    },
    all: () => list.all().map(registrationOf),
  };
}

function registrationOf(row: Row): DeviceRegistration {
  const { app_version: appVersion, hmac, at, ...rest } = row;
  return { ...rest, hmac: fromHex(hmac), appVersion, at: Number(at) };
}
