/** What can go wrong with a node, in words. */

/**
 * - `unreachable`: nobody answers at that address, or the node is too busy to take the call
 * - `unauthorized`: the node does not accept the credentials, or refuses this machine
 * - `rpc`: the node answered with an error; `rpcCode` is its number (RPC_* in protocol.h)
 * - `timeout`: no full answer in time; the node may still have done what was asked
 * - `protocol`: what came back is not a JSON-RPC answer to what was asked
 */
export type BitcoindErrorCode = "unreachable" | "unauthorized" | "rpc" | "timeout" | "protocol";

export class BitcoindError extends Error {
  override readonly name = "BitcoindError";
  readonly code: BitcoindErrorCode;
  readonly rpcCode: number | undefined;
  /** Whether the same call may succeed later with nothing changed but time. */
  readonly passing: boolean;

  constructor(
    code: BitcoindErrorCode,
    message: string,
    detail: { readonly rpcCode?: number; readonly cause?: unknown } = {},
  ) {
    super(message, "cause" in detail ? { cause: detail.cause } : {});
    this.code = code;
    this.rpcCode = detail.rpcCode;
    this.passing = code === "unreachable" || code === "timeout" || detail.rpcCode === RPC_IN_WARMUP;
  }
}

/** RPC_IN_WARMUP of Bitcoin's protocol.h: the node has started and still loads its index. */
const RPC_IN_WARMUP = -28;

/** Enough to recognise an error page, and never a dump. */
const EXCERPT_CHARACTERS = 80;

export function excerpt(text: string): string {
  const start = text.slice(0, EXCERPT_CHARACTERS);
  return JSON.stringify(start) + (text.length > start.length ? "…" : "");
}
