/**
 * Operations: what an account asks for by its own signature, a line under the vault's message key or
 * under an operating key that the vault key has delegated (architecture section 3).
 */
import { z } from "zod";
import { fromHex, hex, taggedHash } from "../bitcoin/hash.ts";
import { signsText } from "../bitcoin/message.ts";
import type { Network } from "../bitcoin/network.ts";
import { type Sats, sats } from "../money.ts";
import type { Vault } from "../vault.ts";
import { writeLine } from "./line.ts";
import { messageKey } from "./notice.ts";
import { amountSats, bytes, publicKey, vaultId, whole } from "./scalar.ts";

export const operationSchema = z.strictObject({
  vault: vaultId,
  /** Tells two equal operations apart; each number is used for one spend. */
  number: whole,
  /** `lock` moves coins into the escrow of a pool, `unlock` out of it, to the account's own vault. */
  do: z.enum(["lock", "unlock"]),
  sats: amountSats,
  /** The operating key that signed; left out it was the vault's own. */
  key: publicKey.optional(),
  signature: bytes(64, 65),
});

export type OperationDocument = z.output<typeof operationSchema>;

export interface OperationFacts {
  readonly vault: string;
  readonly number: number;
  readonly do: "lock" | "unlock";
  readonly sats: Sats;
  /** The operating key in hex, null for the vault's own. */
  readonly key: string | null;
  readonly fault: string | null;
}

type OperationContent = Pick<OperationDocument, "vault" | "number" | "do" | "sats">;

/** The line that the account signs. */
export function operationText(network: Network, operation: OperationContent): string {
  const fields = {
    vault: operation.vault,
    no: String(operation.number),
    do: operation.do,
    sats: String(operation.sats),
  };
  return writeLine({ kind: "operation", network, fields });
}

/** How an account's log names an operation. */
export function operationId(network: Network, operation: OperationContent): string {
  const text = operationText(network, operation);
  return hex(taggedHash("ballast/operation@1", new TextEncoder().encode(text)));
}

export function operationFacts(
  operation: OperationDocument,
  { network, vaults }: { readonly network: Network; readonly vaults: readonly Vault[] },
): OperationFacts {
  const { number, do: what, key = null, signature } = operation;
  const vault = vaults.find(({ id }) => id === operation.vault);
  const own = vault === undefined ? null : messageKey(vault);
  const signer = key === null ? own : fromHex(key);
  const text = operationText(network, operation);
  const fault =
    signer !== null && own !== null && signsText(text, signature, signer)
      ? null
      : `operation ${number} of vault ${operation.vault} is not signed by its account`;
  return { vault: operation.vault, number, do: what, sats: sats(operation.sats), key, fault };
}
