/** A `ledger:` URI opened as a key. The device itself is asked for only when it is used. */
import type Database from "better-sqlite3";
import type { Network } from "../../policies/bitcoin/network.ts";
import type { Vault } from "../../policies/vault.ts";
import { KeyError } from "../key-error.ts";
import { readLedgerApps } from "./app-versions.ts";
import { openAsked } from "./asked.ts";
import { openLedgerDevice } from "./device.ts";
import { openHid } from "./hid.ts";
import { type LedgerKey, ledgerKey } from "./key.ts";
import type { LookNotice } from "./look.ts";
import { openDeviceRegistrations } from "./registrations.ts";
import { openSpeculos } from "./speculos.ts";
import type { Transport } from "./transport.ts";
import { type LedgerPlace, parseLedgerUri } from "./uri.ts";

/** What a Ledger needs of its signer. */
export interface LedgerParts {
  /** The journal's file: it keeps what devices have sealed. */
  readonly database: Database.Database;
  /** A registered vault; null for any other. */
  readonly vaultOf: (id: string) => Vault | null;
  /** Tells the person to look at the device, and what they will see. */
  readonly look: (notice: LookNotice) => void;
}

export interface OpenLedgerOptions extends LedgerParts {
  readonly network: Network;
  readonly log: (event: string, fields: Record<string, unknown>) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** The wire, where it is another than the URI's own: tests count on it. */
  readonly connect?: (place: LedgerPlace) => Promise<Transport>;
  readonly answerMsMax?: number;
}

const CUSTODY: Readonly<Record<LedgerPlace["kind"], string>> = {
  hid: "Ledger: the device signs, and a person approves each spend on it",
  speculos: "Ledger's app in an emulator, keys in software: for tests only",
  emulator: "emulated Ledger app, keys in software: for tests only",
};

export function openLedgerKey(text: string, options: OpenLedgerOptions): LedgerKey {
  const uri = parseLedgerUri(text);
  const { network, database, vaultOf, look, log, connect = openTransport } = options;
  if (network === "bitcoin" && uri.kind !== "hid") {
    throw new KeyError("mainnet", `ledger:${uri.kind} refuses mainnet: its keys are in software`);
  }
  const apps = readLedgerApps();
  const { fingerprint, allowNewer } = uri;
  const device = openLedgerDevice({
    ...{ network, apps, allowNewer, fingerprint },
    connect: () => connect(uri),
    ...(options.answerMsMax !== undefined && { answerMsMax: options.answerMsMax }),
  });
  return ledgerKey({
    ...{ device, apps, network, vaultOf, look, log },
    name: `ledger:${fingerprint ?? uri.kind}`,
    custody: CUSTODY[uri.kind],
    registrations: openDeviceRegistrations(database),
    asked: openAsked(database),
    now: options.now ?? (() => Date.now()),
  });
}

async function openTransport(place: LedgerPlace): Promise<Transport> {
  return place.kind === "hid" ? await openHid(place) : openSpeculos(place);
}
