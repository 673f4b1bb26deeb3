/**
 * People at stations of their own with an emulated Ledger before them, in one process: each has a
 * journal, a law, an identity, and a device that can be lost, replaced and updated.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import type { NoticeKind } from "../../policies/evidence/notice.ts";
import { readNotice } from "../../policies/evidence/notice.ts";
import { type Standing, standingOf } from "../../policies/evidence/standing.ts";
import { readVault, type Vault } from "../../policies/vault.ts";
import { type Client, poll } from "../../scripts/tour/client.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { isLedgerKey } from "../../signer/ledger/key.ts";
import type { VaultRegistration } from "../../signer/signer.ts";
import { type OpenStation, openStation } from "../../signer/station/open.ts";
import type { StationRequest } from "../../signer/station/requests.ts";
import { type Handled, handle } from "../../signer/station/session.ts";
import { compose, say } from "../../signer/station/speech.ts";
import { speculosApi } from "../support/ledger-app/speculos-api.ts";
import type { TestNode } from "../support/node.ts";

export interface Device {
  readonly port: number;
  /** What it has shown since the last look. */
  readonly screens: () => Promise<readonly string[]>;
  readonly stop: () => Promise<void>;
}

export type DeviceOptions = Omit<Parameters<typeof speculosApi>[0], "person">;

/** Its person says yes to everything. On a port where another was, it is on that one's cable. */
export async function plugIn(options: DeviceOptions, on = 0): Promise<Device> {
  const server = speculosApi({ ...options, person: "auto" });
  await new Promise<void>((listening) => {
    server.listen(on, "127.0.0.1", () => listening());
  });
  const { port } = server.address() as AddressInfo;
  const events = `http://127.0.0.1:${port}/events`;
  return {
    port,
    screens: async () => {
      const answer = await fetch(events);
      const shown = (await answer.json()) as { events: readonly { text: string }[] };
      await fetch(events, { method: "DELETE" });
      return shown.events.map(({ text }) => text);
    },
    stop: () => stopped(server),
  };
}

function stopped(server: Server): Promise<void> {
  return new Promise((ended) => {
    server.close(() => ended());
    server.closeAllConnections();
  });
}

/** Where a person sits: what stays when station or device are opened anew. */
export interface Seat {
  readonly name: string;
  readonly role: "user" | "trustee";
  readonly home: string;
  readonly journal: string;
  readonly device: Device;
  /** Further words of the key's URI. */
  readonly uri?: string;
  readonly node: Pick<TestNode, "url" | "cookieFile">;
  /** Null before the operator knows the station. */
  readonly orchestrator: { readonly url: string; readonly token: string } | null;
}

export interface Seated extends Seat {
  readonly station: OpenStation;
  /** What the station has told its person. */
  readonly told: string[];
}

export type Arrival = Pick<Seat, "name" | "role" | "device" | "node"> & { readonly folder: string };

/** A new station with an empty journal. */
export async function sitDown({ folder, ...arrival }: Arrival): Promise<Seated> {
  const home = join(folder, arrival.name);
  mkdirSync(home);
  const journal = join(home, "journal.db");
  createJournal({ file: journal, network: "regtest", role: arrival.role });
  const secret = hex(sha256(new TextEncoder().encode(`identity of ${arrival.name}`)));
  writeFileSync(join(home, "identity"), secret, { mode: 0o600 });
  return await open({ ...arrival, home, journal, orchestrator: null });
}

async function open(seat: Seat): Promise<Seated> {
  const { name, role, home, journal, device, uri = "", node, orchestrator } = seat;
  const told: string[] = [];
  const station = await openStation(
    {
      format: "ballast/station@1",
      ...{ name, journal, identity: join(home, "identity") },
      policy: join(import.meta.dirname, `../../policies/${role}.regtest.yaml`),
      key: `ledger:emulator?port=${device.port}${uri}`,
      node: { url: node.url, cookie: node.cookieFile },
      ...(orchestrator !== null && { orchestrator }),
    },
    { log: () => undefined, show: (lines) => void told.push(...lines), ask: async () => "" },
  );
  return { ...seat, station, told };
}

/** The same person after a change: another device, another journal, a newer app. */
export async function moved(
  { station, told: _told, ...seat }: Seated,
  change: Partial<Pick<Seat, "device" | "journal" | "uri" | "orchestrator">>,
): Promise<Seated> {
  await station.close();
  return await open({ ...seat, ...change });
}

export interface Joining {
  readonly api: Client;
  readonly url: string;
  /** A user's; left out for others. */
  readonly account?: string;
}

/** Registered with the operator, the station asks for what waits for it. */
export async function joined(seat: Seated, { api, url, account }: Joining): Promise<Seated> {
  const { name, role, station, home } = seat;
  const wish = { name, role, key: station.identity.publicKey, account };
  const { token } = await api.post<{ readonly token: string }>("/v1/stations", wish);
  const file = join(home, "token");
  writeFileSync(file, token, { mode: 0o600 });
  return await moved(seat, { orchestrator: { url, token: file } });
}

/** Possession in a line on the device, in hex. */
export async function proofOf({ station, role }: Seated, vault: Vault, text: string) {
  const own = vault.holders.find((holder) => holder.role === role);
  if (own === undefined) throw new Error(`the vault has no ${role}`);
  return hex(await station.room.key.provePossession(hex(own.key.publicKey), text));
}

/** The vault is checked by the person's law; says what came of it. */
export async function meet({ station }: Seated, registration: VaultRegistration) {
  const outcome = await station.room.registerVault(registration);
  if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
}

/** Registered on the device, page by page; `known` where the journal has the seal already. */
export async function register({ station, role }: Seated, registration: VaultRegistration) {
  const { key } = station.room;
  if (!isLedgerKey(key)) throw new Error("the person's key is no Ledger");
  const vault = readVault(registration.vault);
  return (await key.registerPolicy({ vault, role, people: [role] })).kind;
}

/** Waits for the request, and goes through it with a person who wants to sign. */
export async function goThrough(seat: Seated, intent: string): Promise<Handled & Told> {
  const request = await requestOf(seat, intent);
  const told: string[] = [];
  const person = {
    show: (lines: readonly string[]) => void told.push(...lines),
    ask: async () => "sign",
  };
  const handled = await handle({ station: seat.station, person, device: true }, request);
  return { ...handled, told: told.join("\n") };
}

export interface Told {
  readonly told: string;
}

export function requestOf({ station }: Seated, intent: string): Promise<StationRequest> {
  return poll(
    async () => (await station.list()).find(({ id }) => id === intent) ?? null,
    "the request did not reach the station",
  );
}

export interface Saying {
  readonly kind: NoticeKind;
  readonly vault: string;
  readonly number: number;
  readonly fields?: Readonly<Record<string, string>>;
}

/** Composed, signed on the device, handed to the orchestrator. `speaker`: whose user's key signs. */
export async function speak({ station }: Seated, speaker: Vault, saying: Saying): Promise<string> {
  const { kind, vault, number, fields = {} } = saying;
  const speech = compose({ kind, network: "regtest", vault, number, fields });
  if (Array.isArray(speech)) throw new Error(speech.join("; "));
  const words = await say(station.room.key, speech, speaker);
  await station.requests?.say(words);
  return words.text;
}

/** What a signer has heard of a vault comes to, by its own journal. */
export function standingIn(journal: string, vault: string): Standing {
  const db = new Sqlite(journal, { readonly: true });
  const rows = db
    .prepare<[string], { text: string; height: number }>(
      "SELECT text, height FROM notices WHERE vault = ? ORDER BY rowid",
    )
    .all(vault);
  db.close();
  return standingOf(
    rows.flatMap(({ text, height }) => {
      const notice = readNotice(text);
      return notice === null ? [] : [{ notice, height }];
    }),
  );
}
