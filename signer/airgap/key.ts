/**
 * A key in a device without a cable: the PSBT goes out by file or QR, comes back the same way, and
 * of what comes back only this key's signatures over the approved leaves are taken.
 */
import { readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { type Psbt, PsbtFault, readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { IN, type PsbtMap } from "../../policies/bitcoin/psbt-fields.ts";
import { shown, txidOf } from "../../policies/bitcoin/transaction.ts";
import { type Approval, isApproval } from "../../policies/decide.ts";
import { KeyError } from "../key-error.ts";
import type { Key } from "../signer.ts";
import { AirgapError } from "./airgap-error.ts";
import { returnedSignature } from "./returned-signature.ts";

/** An account of the device, as it was registered. */
export interface AirgapRegistration {
  readonly label: string;
  /** Key information with origin: `[fingerprint/path]xpub`. */
  readonly key: string;
}

export interface AirgapKeyOptions {
  /** Which device, in words; it becomes part of the key's name. */
  readonly name: string;
  readonly network: Network;
  readonly registrations: readonly AirgapRegistration[];
  /** The approved transaction as a PSBT with all that the device needs. */
  readonly makePsbt: (approval: Approval) => Uint8Array;
  /** Gives the PSBT to the person, as a file or as codes. */
  readonly show: (psbt: Uint8Array) => Promise<void>;
  /** The PSBT that came back. */
  readonly collect: () => Promise<Uint8Array>;
  /** Asks the person for a proof of possession made on the device; see policies/possession.ts. */
  readonly prove?: (request: {
    readonly account: string;
    readonly text: string;
  }) => Promise<Uint8Array>;
}

/** A wrong answer of the device is a passing KeyError: the person may bring the right one. */
export function airgapKey(options: AirgapKeyOptions): Key {
  const { name, network, registrations } = options;
  const accounts = registrations.map(({ label, key }) => {
    const { publicKey, text } = readAccountKey(key, network);
    return { label, text, id: hex(publicKey) };
  });
  let closed = false;
  /** One person holds one device: the next PSBT is shown when the last has come back. */
  let turn: Promise<unknown> = Promise.resolve();

  function known(id: string): void {
    if (accounts.some((account) => account.id === id)) return;
    throw new KeyError("unknown-account", `device ${name} has no account with key ${id}`);
  }

  async function signed(approval: Approval) {
    if (closed) throw new KeyError("unavailable", `device ${name} is no longer in use`);
    const asked = readPsbt(options.makePsbt(approval));
    if (shown(txidOf(asked.tx)) !== approval.txid)
      throw new Error("BUG: the PSBT is not the approved one");
    const back = await carried(options, asked);
    if (shown(txidOf(back.tx)) !== approval.txid) {
      throw refused(
        "the PSBT that came back is of another transaction: take the one of this request",
      );
    }
    return approval.inputs.map((approved) => ({
      input: approved.input,
      signature: returnedSignature(back.inputs[approved.input] ?? [], approved),
    }));
  }

  return {
    name: `airgap:${name}`,
    custody: "air-gapped device, reached by PSBT files and QR codes",
    sign: async (approval) => {
      if (!isApproval(approval)) {
        throw new KeyError("not-approved", "no decision stands behind this");
      }
      for (const { account } of approval.inputs) known(account);
      const answer = turn.then(() => signed(approval));
      turn = answer.catch(() => undefined);
      return answer;
    },
    provePossession: async (account, text) => {
      known(account);
      if (options.prove === undefined) {
        throw new KeyError(
          "unsupported",
          `device ${name} cannot be asked for a proof of possession here`,
        );
      }
      return options.prove({ account, text });
    },
    accountKey: async (label) => {
      const account = accounts.find((candidate) => candidate.label === label);
      if (account === undefined) {
        throw new KeyError("unknown-account", `device ${name} has no account "${label}"`);
      }
      return account.text;
    },
    close: async () => {
      closed = true;
    },
  };
}

/** Out to the device and back. */
async function carried({ show, collect }: AirgapKeyOptions, asked: Psbt): Promise<Psbt> {
  try {
    await show(writePsbt(unsigned(asked)));
    return readPsbt(await collect());
  } catch (error) {
    if (error instanceof AirgapError) throw refused(error.message);
    // The gate's words may quote a key of the PSBT.
    if (error instanceof PsbtFault) {
      throw refused(`what came back is no PSBT that can be read (${error.code})`);
    }
    throw error;
  }
}

/**
 * Without the signatures of others: a device that finds enough of them finishes the transaction and
 * gives back no PSBT (Coldcard's firmware does), and none needs them to sign.
 */
function unsigned({ global, inputs, outputs }: Psbt): Pick<Psbt, "global" | "inputs" | "outputs"> {
  const foreign = (map: PsbtMap) => map.filter(({ type }) => type !== IN.TAP_SCRIPT_SIG);
  return { global, inputs: inputs.map(foreign), outputs };
}

function refused(detail: string): KeyError {
  return new KeyError("unavailable", detail, { passing: true });
}
