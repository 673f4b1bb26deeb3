/** A Ledger on USB, through Ledger's `hw-transport-node-hid`. One program at a time holds it. */
import { accessSync, constants } from "node:fs";
import { type LedgerError, ledgerError } from "./ledger-error.ts";
import { optionalModule } from "./optional-module.ts";
import type { Transport } from "./transport.ts";

/** As much of Ledger's package as is used. */
export interface HidPackage {
  readonly list: () => Promise<readonly string[]>;
  readonly open: (path: string) => Promise<{
    readonly exchange: (apdu: Buffer) => Promise<Buffer>;
    readonly close: () => Promise<void>;
  }>;
}

export interface HidOptions {
  /** Null takes the only one. */
  readonly path: string | null;
  /** Ledger's package, unless another is given. */
  readonly load?: () => HidPackage;
}

export async function openHid({ path, load = ledgerHid }: HidOptions): Promise<Transport> {
  const hid = load();
  const found = await listed(hid);
  const chosen = choose(found, path);
  const device = await hid.open(chosen).catch((error: unknown) => {
    throw cannotOpen(chosen, error);
  });
  return {
    exchange: async (apdu) => {
      try {
        return Uint8Array.from(await device.exchange(Buffer.from(apdu)));
      } catch (error) {
        throw ledgerError("disconnected", messageOf(error), error);
      }
    },
    // A device that is gone cannot be closed, and is closed.
    close: () => device.close().catch(() => undefined),
  };
}

function ledgerHid(): HidPackage {
  const loaded = optionalModule("@ledgerhq/hw-transport-node-hid") as { default: HidPackage };
  return loaded.default;
}

/** The package loads its native part here, which wants libraries of the system. */
async function listed({ list }: HidPackage): Promise<readonly string[]> {
  try {
    return await list();
  } catch (error) {
    throw ledgerError("not-installed", messageOf(error), error);
  }
}

function choose(found: readonly string[], path: string | null): string {
  const [first] = found;
  if (path !== null && !found.includes(path)) throw ledgerError("not-plugged-in", `no ${path}`);
  if (path !== null) return path;
  if (first === undefined) throw ledgerError("not-plugged-in");
  if (found.length > 1) throw ledgerError("several-devices", found.join(", "));
  return first;
}

/** node-hid says the same for all that can be wrong; the file of the device says more. */
function cannotOpen(path: string, error: unknown): LedgerError {
  const said = messageOf(error);
  const forbidden = /permission|denied|access/i.test(said) || (isFile(path) && !mayUse(path));
  return ledgerError(forbidden ? "no-permission" : "held", said, error);
}

function isFile(path: string): boolean {
  return path.startsWith("/dev/");
}

function mayUse(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "EACCES");
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, 200) : "no reason given";
}
