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
import type { Person, Review, Show } from "./review.ts";
import { openSeed } from "./seed.ts";
import { openSession, type Session } from "./session.ts";
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
  /** BIP39 words, without a passphrase. */
  readonly mnemonic: string;
  readonly person: Person;
  readonly appName?: keyof typeof NETWORKS;
  readonly version?: string;
  /** Called with each screen. */
  readonly onScreen?: Show;
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

interface State {
  /** All that commands work with, but for the client and the person. */
  readonly parts: Pick<Device, "seed" | "network" | "faults">;
  readonly person: Person;
  readonly show: Show;
  readonly version: string;
  session: Session | null;
  isPlugged: boolean;
  isBusy: boolean;
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

export function openApp({ mnemonic, person, onScreen, ...options }: AppOptions): LedgerApp {
  const network = NETWORKS[options.appName ?? "Bitcoin Test"];
  const screens: (readonly string[])[] = [];
  const show: Show = (lines) => {
    screens.push(lines);
    onScreen?.(lines);
  };
  const parts = { seed: openSeed(mnemonic, network.versions), network, faults: noFaults() };
  const version = options.version ?? "2.4.6";
  const state: State = {
    parts,
    person,
    show,
    version,
    session: null,
    isPlugged: true,
    isBusy: false,
  };
  show([network.home, "app is ready"]);
  return {
    faults: parts.faults,
    screens,
    exchange: (apdu) => exchange(state, apdu),
    unplug: () => unplug(state),
    plug: () => {
      state.isPlugged = true;
    },
  };
}

async function exchange(state: State, apdu: Uint8Array): Promise<Uint8Array> {
  if (!state.isPlugged) throw new UnpluggedError();
  if (state.isBusy) throw new Error("the device answers one command at a time");
  state.isBusy = true;
  try {
    return await respond(state, apdu);
  } catch (error) {
    if (error instanceof StatusError) return answerError(error);
    throw error;
  } finally {
    state.isBusy = false;
  }
}

function unplug(state: State): void {
  state.isPlugged = false;
  state.session?.fail(new UnpluggedError());
  state.session = null;
}

/** A reply to the command under way, or the first APDU of the next one. */
async function respond(state: State, apdu: Uint8Array): Promise<Uint8Array> {
  if (state.parts.faults.locked) refuse(STATUS.locked);
  const command = readCommand(apdu);
  const isContinue = command.cla === CLASS.framework && command.ins === CONTINUE;
  if (state.session?.isWaiting()) {
    if (isContinue) return state.session.proceed(command.data);
    // Any other command ends the one under way, and is not done itself.
    state.session = null;
    refuse(STATUS.incorrectData);
  }
  if (command.cla === CLASS.system) return system(state, command);
  if (command.p2 > PROTOCOL) refuse(STATUS.wrongParameters);
  if (isContinue) refuse(STATUS.badState);
  if (command.cla !== CLASS.app) refuse(STATUS.unknownClass);
  const run = COMMANDS.get(command.ins) ?? refuse(STATUS.unknownInstruction);
  return start(state, (device) => run(device, command.data));
}

function start(state: State, run: (device: Device) => Promise<Uint8Array>): Promise<Uint8Array> {
  const session: Session = openSession((ask) => {
    const confirm = (review: Review): Promise<void> =>
      confirmed(state, review, () => state.session === session);
    return run({ ...state.parts, ask, confirm, show: state.show });
  });
  state.session = session;
  return session.first;
}

/** Asks the person. Whoever never answers, or pulls the cable, leaves the command hanging. */
async function confirmed(state: State, review: Review, isCurrent: () => boolean): Promise<void> {
  const decision = await state.person(review, state.show);
  if (!isCurrent() || decision === "never") return forever();
  if (decision === "unplug") {
    unplug(state);
    return forever();
  }
  const after = decision === "approve" ? review.approved : review.rejected;
  if (after !== null) state.show(after.split("\n"));
  if (decision === "reject") refuse(STATUS.denied);
}

function forever(): Promise<never> {
  return new Promise(() => {});
}

function system({ parts, version }: State, { ins }: Command): Uint8Array {
  if (ins !== GET_APP_AND_VERSION) refuse(STATUS.unknownInstruction);
  const name = Buffer.from(parts.network.appName);
  const number = Buffer.from(version);
  const format = 1;
  const flags = [0];
  return answer(
    Uint8Array.from([format, name.length, ...name, number.length, ...number, 1, ...flags]),
    STATUS.ok,
  );
}

/** Class, instruction, two parameters, and data behind their length. */
function readCommand(apdu: Uint8Array): Command {
  const [cla = 0, ins = 0, , p2 = 0, length = 0] = apdu;
  const data = apdu.subarray(HEADER_BYTES + 1);
  if (apdu.length < HEADER_BYTES || data.length !== length) refuse(STATUS.wrongLength);
  return { cla, ins, p2, data };
}
