/**
 * The people of the tour: each sits at a station of their own, with a Ledger before them. Here the
 * Ledger is an emulator, and the person at it presses yes; what its screen showed is kept, and held
 * against what the station said it must show.
 */
import { existsSync, writeFileSync } from "node:fs";
import type { VaultDocument } from "../../policies/vault.ts";
import { readVault } from "../../policies/vault.ts";
import { isLedgerKey } from "../../signer/ledger/key.ts";
import type { VaultRegistration } from "../../signer/signer.ts";
import { readStationConfig } from "../../signer/station/config.ts";
import { type OpenStation, openStation } from "../../signer/station/open.ts";
import type { StationRequest } from "../../signer/station/requests.ts";
import { handle } from "../../signer/station/session.ts";
import { type PersonFiles, provisionStation, type StationPlaces } from "../provision.ts";
import { type Client, poll, TourError } from "./client.ts";

export interface TourPerson {
  readonly files: PersonFiles;
  readonly station: OpenStation;
  /** Every screen of the device since the last look, one text each. */
  readonly screens: () => Promise<readonly string[]>;
}

export type Places = Omit<StationPlaces, "api">;

/** The station as it is before the operator knows it: it has a key, and hears of no request. */
export function sitDown(files: PersonFiles, places: Places): Promise<TourPerson> {
  return open(files, { ...places, api: null });
}

/** Registered with the operator, the station asks for what waits for it. */
export async function join(
  person: TourPerson,
  { api, url, places, account }: Joining,
): Promise<TourPerson> {
  const { files, station } = person;
  if (!existsSync(files.token)) {
    const wish = {
      ...{ name: files.name, role: files.name, key: station.identity.publicKey },
      ...(account !== null && { account }),
    };
    const answer = await api.post<Registered>("/v1/stations", wish);
    // Given out once; whoever lost it gets a new one.
    const { token } =
      answer.token === null
        ? await api.post<Registered>(`/v1/stations/${answer.id}/token`, {})
        : answer;
    writeFileSync(files.token, `${token}\n`, { mode: 0o600, flag: "wx" });
  }
  await station.close();
  return await open(files, { ...places, api: url });
}

export interface Joining {
  readonly api: Client;
  readonly url: string;
  readonly places: Places;
  /** A user's; null for anybody else. */
  readonly account: string | null;
}

interface Registered {
  readonly id: string;
  readonly token: string | null;
}

async function open(files: PersonFiles, places: StationPlaces): Promise<TourPerson> {
  const config = readStationConfig(provisionStation(files, places));
  const station = await openStation(config, {
    log: () => undefined,
    show: () => undefined,
    ask: async () => "",
  });
  const url = `http://127.0.0.1:${places.device}/events`;
  return {
    ...{ files, station },
    screens: async () => {
      const answer = await fetch(url);
      const { events } = (await answer.json()) as { events: readonly { text: string }[] };
      await fetch(url, { method: "DELETE" });
      return events.map(({ text }) => text);
    },
  };
}

/** The vault is checked by the person's law, and registered on their device, page by page. */
export async function register(
  { station, screens }: TourPerson,
  registration: VaultRegistration,
): Promise<void> {
  const outcome = await station.room.registerVault(registration);
  if (outcome.kind === "refused") {
    throw new TourError(`a station refuses the vault: ${outcome.reasons.join("; ")}`);
  }
  const { key, role } = station.room;
  if (!isLedgerKey(key)) throw new TourError("the person's key is no Ledger");
  const vault = readVault(registration.vault as VaultDocument);
  await screens();
  const device = await key.registerPolicy({ vault, role, people: [role] });
  if (device.kind === "registered") {
    mustShow(await screens(), [vault.document.policy.name, "Register account"]);
  }
}

export interface Signed {
  readonly rules: number;
  /** What the device showed. */
  readonly screens: readonly string[];
}

/** The person waits for a request, reads it, says sign, and compares the device's screen. */
export async function sign(person: TourPerson, intent: string): Promise<Signed> {
  const { station, screens } = person;
  const request = await poll(
    async () => (await station.list()).find(({ id }) => id === intent) ?? null,
    "the request did not reach the station",
  );
  const sight = await seen(station, request);
  await screens();
  const told: string[] = [];
  const handled = await handle(
    {
      station,
      person: { show: (lines) => void told.push(...lines), ask: async () => "sign" },
      device: true,
    },
    request,
  );
  if (handled.kind !== "signed") throw new TourError(told.join("\n"));
  const shown = await screens();
  const { vault, payees } = sight;
  mustShow(shown, [vault?.name ?? "?", ...payees.map(({ shownOnDevice }) => shownOnDevice)]);
  return {
    rules: sight.rules.filter(({ says }) => says === "yes").length,
    screens: shown,
  };
}

async function seen(station: OpenStation, request: StationRequest) {
  await station.meet(request);
  return await station.look(request);
}

/** A long text goes over several screens, each under the same title with a number in brackets. */
function mustShow(screens: readonly string[], wanted: readonly string[]): void {
  const all = screens.filter((line) => !/ \(\d+\/\d+\)$/.test(line)).join("");
  const missing = wanted.filter((text) => !all.includes(text));
  if (missing.length > 0) {
    throw new TourError(
      `the device did not show: ${missing.join(", ")} but ${screens.join(" | ")}`,
    );
  }
}
