/** A line of text that a person signs on a device: what can be shown there, and how it is checked. */
import { type AccountKey, childOf } from "../policies/bitcoin/account-key.ts";
import { signsText } from "../policies/bitcoin/message.ts";
import { RECEIVE } from "../policies/vault.ts";
import { KeyError } from "./key-error.ts";

/** Six pages of a Nano. */
const BYTES_MAX = 300;

/** Throws where a device would not show the text as it is: only printable ASCII is one byte a sign. */
export function checkLine(text: string): void {
  if (/^[\x20-\x7e]+$/.test(text) && text.length <= BYTES_MAX) return;
  throw new KeyError(
    "unsupported",
    `a line to be signed has 1 to ${BYTES_MAX} printable ASCII characters and no line break`,
  );
}

/** Whether child 0/0 of the account has signed the line, in either way of message.ts. */
export function signsLine(
  account: Pick<AccountKey, "publicKey" | "chainCode">,
  text: string,
  signature: Uint8Array,
): boolean {
  return signsText(text, signature, childOf(childOf(account, RECEIVE), 0).publicKey);
}
