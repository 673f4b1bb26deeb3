/** Whether a key of a vault is the connected device's own, and which of its accounts. */
import type { AccountKey } from "../../policies/bitcoin/account-key.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import type { Holder } from "../../policies/vault.ts";
import { KeyError } from "../key-error.ts";
import { accountPath, type LedgerSession } from "./device.ts";
import { ledgerError } from "./ledger-error.ts";

/**
 * The account that the device derives is the one in the policy, letter by letter: a device takes a key
 * that differs in anything for a stranger's.
 */
export async function checkOwn(
  session: LedgerSession,
  { role, key }: Holder,
  network: Network,
): Promise<void> {
  const { origin } = key;
  if (origin?.fingerprint !== session.fingerprint) {
    const words = `its master is ${session.fingerprint}, the ${role}'s key has ${origin?.fingerprint}`;
    throw ledgerError("wrong-seed", words);
  }
  const number = accountNumber(key, network);
  if (number === null) {
    throw unknownAccount(session, `tells no account at the path of the ${role}'s key`);
  }
  if ((await session.accountKey(number)) !== key.text) {
    throw ledgerError("wrong-seed", `its account ${number} is not the ${role}'s key in the vault`);
  }
}

/** The same, asked. A device of the same fingerprint with other keys is a fault all the same. */
export async function isOwn(
  session: LedgerSession,
  key: AccountKey,
  network: Network,
): Promise<boolean> {
  const number = accountNumber(key, network);
  if (key.origin?.fingerprint !== session.fingerprint || number === null) return false;
  return (await session.accountKey(number)) === key.text;
}

/** The number of `48'/coin'/N'/2'`; null for any other path. */
function accountNumber({ origin, text }: AccountKey, network: Network): number | null {
  const digits = /^\[[0-9a-f]{8}\/48'\/[01]'\/(0|[1-9][0-9]{0,8})'\/2'\]/.exec(text)?.[1];
  if (digits === undefined || origin === null) return null;
  const path = accountPath(Number(digits), network);
  return text.startsWith(`[${origin.fingerprint}/${path}]`) ? Number(digits) : null;
}

export function unknownAccount({ fingerprint }: LedgerSession, words: string): KeyError {
  return new KeyError(
    "unknown-account",
    `the Ledger with master fingerprint ${fingerprint} ${words}: connect the right device`,
  );
}
