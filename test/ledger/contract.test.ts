/** The contract of every key, by a Ledger: over the emulated app, and over Ledger's own where it is. */
import { afterAll, beforeAll, describe, vi } from "vitest";
import { type KeyAtHand, keyContract } from "../contract/key.ts";
import { speculosApi } from "../support/ledger-app/speculos-api.ts";
import { type PersonAtDevice, personAt } from "../support/ledger-person.ts";
import { ledgerStand, SEEDS, type StandOptions } from "../support/ledger-stand.ts";

/** `host:port` of a Speculos with "Bitcoin Test" in it, or of the emulator behind its API. */
const SPECULOS = process.env["BALLAST_SPECULOS"] ?? "";
// A person turns the pages of each review, and a real app needs seconds for many inputs.
if (SPECULOS !== "") vi.setConfig({ testTimeout: 1_800_000, hookTimeout: 600_000 });
const LABELS = Array.from({ length: 16 }, (_, n) => String(n));

async function keyAtStand(options: StandOptions): Promise<KeyAtHand> {
  const stand = ledgerStand(options);
  return { key: stand.key, labels: LABELS, register: stand.register, close: stand.close };
}

describe("ledger: over the emulated app", () => {
  keyContract(() => keyAtStand({}));
});

describe("ledger: over the emulated app, by HTTP", () => {
  keyContract(async () => {
    const server = speculosApi({ mnemonic: SEEDS.user, person: "auto" });
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        resolve(typeof address === "object" ? (address?.port ?? 0) : 0);
      });
    });
    const at = await keyAtStand({ uri: `ledger:emulator?port=${port}`, real: true });
    const close = async () => {
      await at.close();
      server.closeAllConnections();
      server.close();
    };
    return { ...at, close };
  });
});

describe.skipIf(SPECULOS === "")("ledger: over the app at BALLAST_SPECULOS", () => {
  const [host = "", port = ""] = SPECULOS.split(":");
  let person: PersonAtDevice;
  beforeAll(() => {
    person = personAt(`http://${SPECULOS}`, () => "approve");
  });
  afterAll(() => person.leave());
  keyContract(() => keyAtStand({ uri: `ledger:speculos?host=${host}&port=${port}`, real: true }));
});
