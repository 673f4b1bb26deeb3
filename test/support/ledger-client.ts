/** Ledger's own client `ledger-bitcoin`, talking to whatever answers APDUs. */
import { createRequire } from "node:module";
import type { RealPart } from "./real-part.ts";

type Package = typeof import("ledger-bitcoin");
export type LedgerClient = InstanceType<Package["AppClient"]>;

/** Sends one APDU and gives the whole answer, the status word included. */
export type Exchange = (apdu: Uint8Array) => Promise<Uint8Array>;

/** A status word that the client did not expect, as Ledger's transports throw it. */
export class TransportStatus extends Error {
  readonly statusCode: number;
  constructor(statusCode: number) {
    super(`status ${statusCode.toString(16)}`);
    this.name = "TransportStatus";
    this.statusCode = statusCode;
  }
}

const STATUS_OK = 0x9000;
const PACKAGE = "ledger-bitcoin";

const loaded = load();

/** The package is optional: whoever installs without optional packages does not have it. */
export const ledgerBitcoin: RealPart = {
  name: PACKAGE,
  missing: loaded === null ? "the optional package is not installed" : null,
};

/** Only where `ledgerBitcoin` is present. */
export function ledgerPackage(): Package {
  if (loaded === null) throw new Error(`${PACKAGE} is not installed`);
  return loaded;
}

export function ledgerClient(exchange: Exchange): LedgerClient {
  const { AppClient } = ledgerPackage();
  const transport = {
    send: async (
      ...[cla, ins, p1, p2, data = Buffer.alloc(0), expected = [STATUS_OK]]: SendArguments
    ): Promise<Buffer> => {
      const answer = Buffer.from(
        await exchange(Buffer.concat([Buffer.from([cla, ins, p1, p2, data.length]), data])),
      );
      const status = answer.readUInt16BE(answer.length - 2);
      if (!expected.includes(status)) throw new TransportStatus(status);
      return answer;
    },
  };
  // The client calls `send` alone; the class of Ledger's transports brings USB with it.
  return new AppClient(transport as never);
}

type SendArguments = [
  cla: number,
  ins: number,
  p1: number,
  p2: number,
  data?: Buffer,
  expected?: readonly number[],
];

function load(): Package | null {
  try {
    return createRequire(import.meta.url)(PACKAGE);
  } catch {
    return null;
  }
}
