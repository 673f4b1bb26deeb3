/**
 * Ledger's app "Bitcoin Test" 2.4.6 as its client sees it: APDUs in, APDUs out. A command is an
 * async function that asks its client for what it needs; each question ends an answer with E000,
 * and the client's CONTINUE brings the reply.
 */
import { extendedPublicKey, masterFingerprint, registerWallet, walletAddress } from "./commands.ts";
import type { Device } from "./device.ts";
import { type Faults, noFaults } from "./faults.ts";
import { signMessage } from "./message.ts";
import { NETWORKS } from "./network.ts";
import type { Person, Review } from "./review.ts";
import { openSeed } from "./seed.ts";
import { signPsbt } from "./sign-psbt.ts";
import { answer, answerError, refuse, STATUS, StatusError } from "./status.ts";

export interface LedgerApp {
  /** One command at a time. @throws UnpluggedError when the cable is or gets pulled. */
  exchange(apdu: Uint8Array): Promise<Uint8Array>;
  /** What a test makes the device do wrong, from the next command on. */
  readonly faults: Faults;
  /** Every screen that was shown, a list of lines each. */
  readonly screens: readonly (readonly string[])[];
  /** Pulls the cable: an open exchange breaks, a command begun is forgotten. */
  unplug(): void;
  /** Puts the cable in again. */
  plug(): void;
}

export interface AppOptions {
  readonly mnemonic: string;
  readonly person: Person;
  readonly appName?: keyof typeof NETWORKS;
  readonly version?: string;
  /** Called with each screen. */
  readonly onScreen?: (lines: readonly string[]) => void;
}

/** The device is not there. */
export class UnpluggedError extends Error {
  constructor() {
    super("the device is unplugged");
    this.name = "UnpluggedError";
  }
}

interface Command {
  readonly cla: number;
  readonly ins: number;
  readonly p2: number;
  readonly data: Uint8Array;
}

const CLASS = { app: 0xe1, framework: 0xf8, system: 0xb0 } as const;
const CONTINUE = 0x01;
const GET_APP_AND_VERSION = 0x01;
/** The protocol's version, in P2; 0 is still accepted. */
const PROTOCOL = 1;
const HEADER_BYTES = 4;

const COMMANDS = new Map([
  [0x00, extendedPublicKey],
  [0x02, registerWallet],
  [0x03, walletAddress],
  [0x04, signPsbt],
  [0x05, masterFingerprint],
  [0x10, signMessage],
]);

/** A command that waits for its client's reply. */
interface Session {
  resume: ((reply: Uint8Array) => void) | null;
  deliver: (answer: Uint8Array) => void;
  fail: (error: unknown) => void;
}

export function openApp({ mnemonic, person, onScreen, ...options }: AppOptions): LedgerApp {
  const network = NETWORKS[options.appName ?? "Bitcoin Test"];
  const version = options.version ?? "2.4.6";
  const seed = openSeed(mnemonic, network.versions);
  const faults = noFaults();
  const screens: (readonly string[])[] = [];
  let session: Session | null = null;
  let isPlugged = true;
  let isBusy = false;

  const show = (lines: readonly string[]): void => {
    screens.push(lines);
    onScreen?.(lines);
  };

  const unplug = (): void => {
    isPlugged = false;
    session?.fail(new UnpluggedError());
    session = null;
  };

  /** Starts a command; the promise is of its first answer. */
  const start = (
    command: (device: Device, data: Uint8Array) => Promise<Uint8Array>,
    data: Uint8Array,
  ): Promise<Uint8Array> =>
    new Promise((deliver, fail) => {
      const own: Session = { resume: null, deliver, fail };
      session = own;
      const ask = (question: Uint8Array): Promise<Uint8Array> =>
        new Promise((resume) => {
          own.resume = resume;
          own.deliver(answer(question, STATUS.interrupted));
        });
      const confirm = async (review: Review): Promise<void> => {
        const decision = await person(review, show);
        if (session !== own) return new Promise(() => {});
        if (decision === "never") await new Promise(() => {});
        if (decision === "unplug") {
          unplug();
          await new Promise(() => {});
        }
        const isApproved = decision === "approve";
        const after = isApproved ? review.approved : review.rejected;
        if (after !== null) show([after]);
        if (!isApproved) refuse(STATUS.denied);
      };
      command({ seed, network, faults, ask, confirm, show }, data).then(
        (result) => own.deliver(answer(result, STATUS.ok)),
        (error: unknown) =>
          error instanceof StatusError ? own.deliver(answerError(error)) : own.fail(error),
      );
    });

  const proceed = (waiting: Session, reply: Uint8Array): Promise<Uint8Array> =>
    new Promise((deliver, fail) => {
      const { resume } = waiting;
      Object.assign(waiting, { resume: null, deliver, fail });
      resume?.(reply);
    });

  const respond = (apdu: Uint8Array): Uint8Array | Promise<Uint8Array> => {
    if (faults.locked) return refuse(STATUS.locked);
    const { cla, ins, p2, data } = readCommand(apdu);
    const waiting: Session | null = session?.resume ? session : null;
    session = waiting;
    if (waiting !== null) {
      if (cla === CLASS.framework && ins === CONTINUE) return proceed(waiting, data);
      session = null;
      return refuse(STATUS.incorrectData);
    }
    if (cla === CLASS.system) {
      if (ins !== GET_APP_AND_VERSION) refuse(STATUS.unknownInstruction);
      return answer(nameAndVersion(network.appName, version), STATUS.ok);
    }
    if (p2 > PROTOCOL) refuse(STATUS.wrongParameters);
    if (cla === CLASS.framework && ins === CONTINUE) refuse(STATUS.badState);
    if (cla !== CLASS.app) refuse(STATUS.unknownClass);
    return start(COMMANDS.get(ins) ?? refuse(STATUS.unknownInstruction), data);
  };

  show([network.home, "app is ready"]);
  return {
    faults,
    screens,
    unplug,
    plug: () => {
      isPlugged = true;
    },
    exchange: async (apdu) => {
      if (!isPlugged) throw new UnpluggedError();
      if (isBusy) throw new Error("the device answers one command at a time");
      isBusy = true;
      try {
        return await respond(apdu);
      } catch (error) {
        if (error instanceof StatusError) return answerError(error);
        throw error;
      } finally {
        isBusy = false;
      }
    },
  };
}

/** Class, instruction, two parameters, and data behind their length. */
function readCommand(apdu: Uint8Array): Command {
  const [cla = 0, ins = 0, , p2 = 0, length = 0] = apdu;
  if (apdu.length < HEADER_BYTES || apdu.length > HEADER_BYTES + 1 + length) {
    refuse(STATUS.wrongLength);
  }
  const data = apdu.subarray(HEADER_BYTES + 1);
  return data.length === length ? { cla, ins, p2, data } : refuse(STATUS.wrongLength);
}

/** Format 1; name, version and flags, each behind its length. */
function nameAndVersion(name: string, version: string): Uint8Array {
  return Buffer.from([
    1,
    name.length,
    ...Buffer.from(name),
    version.length,
    ...Buffer.from(version),
    1,
    0,
  ]);
}
