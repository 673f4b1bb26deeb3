/**
 * One Ledger, used by one caller at a time, and checked before each use: the right app in a version
 * that was tried, and the right seed. A lost connection is opened anew by the next caller; whatever
 * was asked when it was lost is never asked again by itself.
 */
import {
  AccountKeyError,
  HARDENED,
  readAccountKey,
  writePath,
} from "../../policies/bitcoin/account-key.ts";
import { type Network, PARAMETERS } from "../../policies/bitcoin/network.ts";
import { KeyError } from "../key-error.ts";
import { type LedgerApps, objectionTo, type RunningApp } from "./app-versions.ts";
import { type OpenClient, openClient } from "./client.ts";
import { LedgerError, ledgerError } from "./ledger-error.ts";
import type { Transport } from "./transport.ts";

export interface LedgerDeviceOptions {
  readonly network: Network;
  readonly apps: LedgerApps;
  readonly allowNewer: boolean;
  /** The only seed that is taken; null takes any, and the vault's own key decides. */
  readonly fingerprint: string | null;
  readonly connect: () => Promise<Transport>;
  /** How long a person may take for one answer, in milliseconds. */
  readonly answerMsMax?: number;
}

export interface LedgerDevice {
  /** Runs the work with the checked device, after all who came before. */
  readonly use: <Value>(work: (session: LedgerSession) => Promise<Value>) => Promise<Value>;
  readonly close: () => Promise<void>;
}

/** The device as long as it stays plugged in. */
export interface LedgerSession {
  readonly app: RunningApp;
  /** Of the master key: eight hex digits. */
  readonly fingerprint: string;
  readonly client: OpenClient;
  /** `[fingerprint/48'/coin'/N'/2']xpub`, told by the device without asking anybody. */
  readonly accountKey: (number: number) => Promise<string>;
}

/** A person reads twenty pages, is called away and comes back: after that it is no answer. */
const ANSWER_MS_MAX = 15 * 60_000;

export function openLedgerDevice(options: LedgerDeviceOptions): LedgerDevice {
  let connection: Connection | null = null;
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;

  async function drop(): Promise<void> {
    const dropped = connection;
    connection = null;
    await dropped?.transport.close();
  }

  async function connected(): Promise<Connection> {
    connection ??= await openConnection(options);
    return connection;
  }

  /**
   * Nothing was asked yet, so it may be asked twice: a connection kept from before may be dead, and an
   * app that waits for the rest of a broken exchange says once that it does not understand.
   */
  async function checked(): Promise<LedgerSession> {
    const kept = connection !== null;
    try {
      return await check(await connected(), options);
    } catch (error) {
      if (!(error instanceof LedgerError) || !isBroken(error)) throw error;
      await drop();
      if (!kept && error.fault !== "protocol") throw error;
      return await check(await connected(), options);
    }
  }

  async function once<Value>(work: (session: LedgerSession) => Promise<Value>): Promise<Value> {
    if (closed) throw new KeyError("unavailable", "this Ledger was closed");
    try {
      return await work(await checked());
    } catch (error) {
      // A fault that is none of the device's leaves it as it was.
      if (!(error instanceof KeyError) || (error instanceof LedgerError && isBroken(error))) {
        await drop();
      }
      throw error;
    }
  }

  return {
    use: (work) => {
      const turn = last.then(() => once(work));
      last = turn.catch(() => undefined);
      return turn;
    },
    close: async () => {
      closed = true;
      await drop();
    },
  };
}

interface Connection {
  readonly transport: Transport;
  readonly client: OpenClient;
  /** Told once a connection: the seed may be another after each unplugging. */
  readonly accounts: Map<number, string>;
}

async function openConnection(options: LedgerDeviceOptions): Promise<Connection> {
  const transport = await options.connect();
  try {
    const client = openClient(bounded(transport, options.answerMsMax ?? ANSWER_MS_MAX));
    return { transport, client, accounts: new Map() };
  } catch (error) {
    await transport.close();
    throw error;
  }
}

async function check(connection: Connection, options: LedgerDeviceOptions): Promise<LedgerSession> {
  const { client, accounts } = connection;
  const { name, version } = await client.getAppAndVersion();
  const objection = objectionTo({ name, version }, options);
  if (objection !== null) throw objection;
  const fingerprint = await client.getMasterFingerprint();
  if (!/^[0-9a-f]{8}$/.test(fingerprint)) throw ledgerError("protocol", "no fingerprint");
  const { network, fingerprint: wanted } = options;
  if (wanted !== null && fingerprint !== wanted) {
    throw ledgerError("wrong-seed", `its master fingerprint is ${fingerprint}, not ${wanted}`);
  }
  const accountKey = async (number: number) => {
    const known = accounts.get(number);
    if (known?.startsWith(`[${fingerprint}/`) === true) return known;
    const path = accountPath(number, network);
    const text = `[${fingerprint}/${path}]${await client.getExtendedPubkey(`m/${path}`)}`;
    checkAccount(text, network);
    accounts.set(number, text);
    return text;
  };
  return { app: { name, version }, fingerprint, client, accountKey };
}

/** A device that tells junk, or a key of another depth or network, is found out here. */
function checkAccount(text: string, network: Network): void {
  try {
    readAccountKey(text, network);
  } catch (error) {
    if (error instanceof AccountKeyError) throw ledgerError("protocol", error.message, error);
    throw error;
  }
}

/** BIP48's path of script type 2, which Ledger tells silently; Taproot has none of its own. */
export function accountPath(number: number, network: Network): string {
  return writePath([48, PARAMETERS[network].coinType, number, 2].map((step) => step + HARDENED));
}

/** Faults after which the connection itself is in doubt. */
function isBroken({ fault }: LedgerError): boolean {
  return fault === "disconnected" || fault === "protocol" || fault === "unanswered";
}

/** A signing with 500 inputs asks fewer questions of the client. */
const QUESTIONS_MAX = 100_000;
/** ISO 7816's short answer: 256 bytes and the status word. */
const ANSWER_BYTES_MAX = 258;
/** One command may want several answers of the person, and the device's own time for many inputs. */
const COMMAND_ANSWERS = 4;
const CLA_CONTINUE = 0xf8;

/**
 * Every wait has an end, and every command; what the person says later is not heard any more. A device
 * that asks for ever, or answers with more than one can, would keep the signer busy.
 */
function bounded(transport: Transport, answerMsMax: number): Transport {
  let questions = 0;
  let until = 0;
  return {
    exchange: async (apdu) => {
      if (apdu[0] !== CLA_CONTINUE) {
        questions = 0;
        until = performance.now() + COMMAND_ANSWERS * answerMsMax;
      }
      questions += 1;
      if (questions > QUESTIONS_MAX) throw ledgerError("protocol", `${questions} questions in one`);
      const left = Math.max(0, Math.min(answerMsMax, until - performance.now()));
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(ledgerError("unanswered")), left);
      });
      const work = transport.exchange(apdu);
      const answer = await Promise.race([work, late]).finally(() => clearTimeout(timer));
      if (answer.length <= ANSWER_BYTES_MAX) return answer;
      throw ledgerError("protocol", `an answer of ${answer.length} bytes`);
    },
    close: () => transport.close(),
  };
}
