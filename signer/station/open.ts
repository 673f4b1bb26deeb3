/** Puts a station together: the person's signing room, where requests come from, a price of its own. */
import { appendFileSync } from "node:fs";
import type { Vault } from "../../policies/vault.ts";
import { isLedgerKey } from "../ledger/key.ts";
import type { LookNotice } from "../ledger/look.ts";
import type { TranscriptLine } from "../ledger/transcript.ts";
import { openSigningRoom, type RoomLog, type SigningRoom } from "../room.ts";
import { readIdentity, readSecret, type StationConfig } from "./config.ts";
import { type Identity, identityOf } from "./identity.ts";
import { httpRequests } from "./orchestrator.ts";
import { askPrice } from "./price.ts";
import type { Requests } from "./requests.ts";
import type { Person } from "./session.ts";
import { type Station, station } from "./station.ts";

export interface OpenStation extends Station {
  readonly room: SigningRoom;
  readonly identity: Identity;
  /** Null without an orchestrator. */
  readonly requests: Requests | null;
  /** Whether a device asks again, on its own screen. */
  readonly device: boolean;
  readonly close: () => Promise<void>;
}

export interface StationOptions extends Person {
  readonly log: RoomLog;
}

/** Throws what openSigningRoom throws: a ConfigError, JournalError or KeyError in plain words. */
export async function openStation(
  config: StationConfig,
  { log, show, ask }: StationOptions,
): Promise<OpenStation> {
  const { name, policy, journal, key, node, price } = config;
  const identity = identityOf(readIdentity(config.identity));
  const { orchestrator } = config;
  const requests =
    orchestrator === undefined
      ? null
      : httpRequests({
          ...{ url: orchestrator.url, token: readSecret(orchestrator.token), identity },
        });
  const room = await openSigningRoom(
    {
      ...{ name, policy, journal, key, node, token_environment: {} },
      ...(config.mirror !== undefined && { mirror: config.mirror }),
      ...(config.audit_key !== undefined && { audit_key: config.audit_key }),
    },
    log,
    { look: (notice) => show(before(notice)), person: { show, ask } },
  );
  const quote = async () => (price === undefined ? null : await askPrice(price));
  return {
    ...station({ room, requests, quote, log, enrol: enrolment(room, config) }),
    ...{ room, identity, requests },
    device: key.startsWith("ledger:") || key.startsWith("airgap:"),
    close: () => room.close(),
  };
}

/** A vault shown on a Ledger, page by page; the transcript is kept beside the journal. */
function enrolment(
  { key, role }: SigningRoom,
  { name, journal }: StationConfig,
): ((vault: Vault) => Promise<void>) | null {
  if (!isLedgerKey(key)) return null;
  const written = (line: TranscriptLine) =>
    appendFileSync(`${journal}.devices`, `${JSON.stringify(line)}\n`, { mode: 0o600 });
  return async (vault) => {
    await key.registerPolicy({ vault, role, people: [name], written });
  };
}

/** What the device is about to show, told before it shows it. */
function before(notice: LookNotice): readonly string[] {
  switch (notice.at) {
    case "spend":
      return [`The device asks about account "${notice.name}": compare every line.`];
    case "registration":
      return [
        `The device is about to show the vault "${notice.name}", page by page:`,
        ...notice.preview.nano.map(({ title, text }) => `  ${title}: ${text}`),
        ...notice.preview.checks.map((check) => `- ${check}`),
        "Reject it there if a single page differs.",
      ];
    case "account":
      return [
        `The device shows the key at ${notice.path}. It must be:`,
        `  ${notice.xpub}`,
        "Compare it with what the others have of you, by another way than this screen.",
      ];
    case "address":
      return [`The device shows the first address. It must be ${notice.shown}`];
    case "message":
      return ["The device shows these words, and nothing else:", `  ${notice.text}`];
  }
}
