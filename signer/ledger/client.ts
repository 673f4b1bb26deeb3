/**
 * Ledger's own client code over our transport. Ledger's transports drop the error detail before the
 * status word; this one keeps it, and turns every status word into a typed error.
 */
import { LedgerError, ledgerError } from "./ledger-error.ts";
import { optionalModule } from "./optional-module.ts";
import { faultOfStatus, INTERRUPTED, OK, type Request, readStatus } from "./status-word.ts";
import type { Transport } from "./transport.ts";

/** As much of `ledger-bitcoin` 0.3.0 as is used. */
export interface LedgerClient {
  readonly getAppAndVersion: () => Promise<{ readonly name: string; readonly version: string }>;
  readonly getMasterFingerprint: () => Promise<string>;
  readonly getExtendedPubkey: (path: string, display?: boolean) => Promise<string>;
  readonly registerWallet: (policy: ClientPolicy) => Promise<readonly [Buffer, Buffer]>;
  readonly getWalletAddress: (
    policy: ClientPolicy,
    hmac: Buffer | null,
    change: number,
    index: number,
    display: boolean,
  ) => Promise<string>;
  readonly signPsbt: (
    psbt: Buffer,
    policy: ClientPolicy,
    hmac: Buffer | null,
    progress?: () => void,
  ) => Promise<readonly (readonly [number, ClientSignature])[]>;
  /** Base64 of 65 bytes. */
  readonly signMessage: (message: Buffer, path: string) => Promise<string>;
}

export interface ClientPolicy {
  readonly getId: () => Buffer;
}

export interface ClientSignature {
  readonly pubkey: Buffer;
  readonly signature: Buffer;
  readonly tapleafHash?: Buffer;
}

interface LedgerBitcoin {
  readonly AppClient: new (transport: unknown) => LedgerClient;
  readonly WalletPolicy: new (
    name: string,
    template: string,
    keys: readonly string[],
  ) => ClientPolicy;
}

export interface PolicyText {
  readonly name: string;
  readonly template: string;
  readonly keys: readonly string[];
}

export interface OpenClient extends LedgerClient {
  readonly policyOf: (policy: PolicyText) => ClientPolicy;
}

/** Throws a LedgerError where the optional package is missing. */
export function openClient(transport: Transport): OpenClient {
  const { AppClient, WalletPolicy } = optionalModule("ledger-bitcoin") as LedgerBitcoin;
  const client = new AppClient(adapter(transport));
  return {
    getAppAndVersion: () => inWords(client.getAppAndVersion()),
    getMasterFingerprint: () => inWords(client.getMasterFingerprint()),
    getExtendedPubkey: (path, display) => inWords(client.getExtendedPubkey(path, display)),
    registerWallet: (policy) => inWords(client.registerWallet(policy)),
    getWalletAddress: (...asked) => inWords(client.getWalletAddress(...asked)),
    signPsbt: (...asked) => inWords(client.signPsbt(...asked)),
    signMessage: (message, path) => inWords(client.signMessage(message, path)),
    policyOf: ({ name, template, keys }) => new WalletPolicy(name, template, keys),
  };
}

/** What Ledger's client throws by itself are plain errors. */
async function inWords<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof LedgerError) throw error;
    const detail = error instanceof Error ? error.message.slice(0, 200) : "";
    throw ledgerError("protocol", detail, error);
  }
}

/** What each instruction of the Bitcoin app is for; CONTINUE keeps what was asked before. */
const REQUESTS: Readonly<Record<number, Request>> = {
  0: "account",
  2: "register",
  3: "address",
  4: "sign",
  5: "account",
  16: "message",
};
const CLA_BITCOIN = 0xe1;
const CLA_CONTINUE = 0xf8;
/** One byte says how long the data is. */
const DATA_BYTES_MAX = 255;

/** The one method of Ledger's transports that the client calls. */
function adapter({ exchange }: Transport) {
  let asked: Request = "app";
  return {
    send: async (
      cla: number,
      ins: number,
      p1: number,
      p2: number,
      data: Uint8Array = new Uint8Array(0),
    ): Promise<Buffer> => {
      if (data.length > DATA_BYTES_MAX) throw ledgerError("protocol", `${data.length} bytes`);
      if (cla === CLA_BITCOIN) asked = REQUESTS[ins] ?? "app";
      else if (cla !== CLA_CONTINUE) asked = "app";
      const response = await exchange(Uint8Array.of(cla, ins, p1, p2, data.length, ...data));
      const status = readStatus(response);
      if (status === null) throw ledgerError("protocol", "an answer without a status word");
      if (status.sw === OK || (status.sw === INTERRUPTED && cla !== 0xb0)) {
        return Buffer.from(response);
      }
      throw faultOfStatus(status, asked);
    },
  };
}
