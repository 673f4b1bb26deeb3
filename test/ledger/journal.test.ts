/** A journal of the version before devices is brought to the present one, whole or not at all. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exportJournal, importJournal } from "../../signer/interchange.ts";
import { openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { openAsked } from "../../signer/ledger/asked.ts";
import { openDeviceRegistrations } from "../../signer/ledger/registrations.ts";

const AT = { network: "regtest", role: "user" } as const;
const SEALED = {
  ...{ fingerprint: "f5acc2fd", policy: "ab".repeat(32), vault: "cd".repeat(20) },
  ...{ hmac: new Uint8Array(32).fill(7), appVersion: "2.4.6", at: 1_800_000_000_000 },
};

let folder = "";
let file = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-ledger-journal-"));
  file = join(folder, "journal.db");
  createJournal({ file, ...AT });
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Writes to the closed journal as an older Ballast, or a crash, would have left it. */
function edit(...statements: readonly string[]): void {
  const db = new Database(file);
  for (const statement of statements) db.exec(statement);
  db.close();
}
function versionNow(): unknown {
  const db = new Database(file);
  const version = db.prepare("SELECT version FROM journal").pluck().get();
  db.close();
  return version;
}
const OLDER = [
  "DROP TABLE device_registrations",
  "DROP TABLE device_asked",
  "UPDATE journal SET version = 3",
  "UPDATE state SET pauses = 5",
];

describe("a journal of version 3", () => {
  it("is brought to version 4 at the next start, and keeps what it knew", () => {
    edit(...OLDER);
    const journal = openJournal({ file, ...AT });
    openDeviceRegistrations(journal.database).record(SEALED);
    expect(openAsked(journal.database).begin("aa")).toBe(false);
    expect(exportJournal(journal.database).pauses).toBe(5);
    journal.close();
    expect(versionNow()).toBe(4);
    const again = openJournal({ file, ...AT });
    expect(openDeviceRegistrations(again.database).all()).toEqual([SEALED]);
    again.close();
  });

  it("that cannot be brought there stays what it is", () => {
    edit(...OLDER, "CREATE TABLE device_asked (txid TEXT)");
    expect(() => openJournal({ file, ...AT })).toThrow("cannot be brought from version 3 to 4");
    expect(versionNow()).toBe(3);
    edit("DROP TABLE device_asked");
    openJournal({ file, ...AT }).close();
    expect(versionNow()).toBe(4);
  });

  it.each([2, 5])("is the only other one that is opened: %i is not", (version) => {
    edit(`UPDATE journal SET version = ${version}`);
    expect(() => openJournal({ file, ...AT })).toThrow("version of Ballast");
    expect(versionNow()).toBe(version);
  });
});

describe("what devices have left", () => {
  it("travels, and documents of before are taken", () => {
    const journal = openJournal({ file, ...AT });
    const { database } = journal;
    const document = exportJournal(database);
    const { device_asked: _, device_registrations: __, ...older } = document.tables;
    expect(importJournal(database, { ...document, tables: older })).toMatchObject({
      device_registrations: 0,
    });
    openDeviceRegistrations(database).record(SEALED);
    openAsked(database).begin("aa");
    const whole = exportJournal(database);
    forget(database);
    expect(importJournal(database, whole)).toMatchObject({
      device_registrations: 1,
      device_asked: 1,
    });
    expect(openDeviceRegistrations(database).all()).toEqual([SEALED]);
    journal.close();
  });

  it.each([
    ["a fingerprint", { fingerprint: "F5ACC2FD" }],
    ["a policy id", { policy: "ab" }],
    ["an HMAC", { hmac: new Uint8Array(31) }],
  ])("has %s of the right form", (_, part) => {
    const journal = openJournal({ file, ...AT });
    const registrations = openDeviceRegistrations(journal.database);
    expect(() => registrations.record({ ...SEALED, ...part })).toThrow();
    journal.close();
  });

  it("is one seal a device and policy: the last one", () => {
    const journal = openJournal({ file, ...AT });
    const registrations = openDeviceRegistrations(journal.database);
    registrations.record(SEALED);
    const next = { ...SEALED, hmac: new Uint8Array(32).fill(8) };
    registrations.record(next);
    expect(registrations.find(SEALED)).toEqual(next);
    expect(registrations.find({ ...SEALED, fingerprint: "00000000" })).toBeNull();
    expect(registrations.find({ ...SEALED, policy: "00".repeat(32) })).toBeNull();
    journal.close();
  });

  it("says of a transaction that was asked for, until the device has surely given nothing", () => {
    const journal = openJournal({ file, ...AT });
    const asked = openAsked(journal.database);
    expect(asked.begin("aa")).toBe(false);
    expect(asked.begin("aa")).toBe(true);
    asked.nothingGiven("aa");
    expect(asked.begin("aa")).toBe(false);
    journal.close();
  });
});

function forget(database: Database.Database): void {
  database.exec("DELETE FROM device_registrations; DELETE FROM device_asked");
}
