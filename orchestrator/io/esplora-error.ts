/** What can go wrong with an Esplora server, in words. */

/**
 * - `unreachable`: nobody answers at that address, or the answer broke off
 * - `timeout`: no full answer in time; the server may still have done what was asked
 * - `busy`: the server is overloaded or broken (HTTP 429 or 5xx), also after some tries
 * - `missing`: the server has no such block or transaction
 * - `refused`: the server's node does not take the transaction
 * - `protocol`: what came back has not the form of its documentation
 * - `untrue`: what came back is well formed and not what its hash or its work says
 * - `wrong-network`: the server's first block is not that of the configured network
 */
export type EsploraErrorCode =
  | "unreachable"
  | "timeout"
  | "busy"
  | "missing"
  | "refused"
  | "protocol"
  | "untrue"
  | "wrong-network";

export class EsploraError extends Error {
  override readonly name = "EsploraError";
  readonly code: EsploraErrorCode;
  /** Whether the same question may be answered later with nothing changed but time. */
  readonly passing: boolean;
  /** How long the server wants to be left alone, in milliseconds. */
  readonly restMs: number;

  constructor(
    code: EsploraErrorCode,
    message: string,
    detail: { readonly cause?: unknown; readonly restMs?: number } = {},
  ) {
    super(message, "cause" in detail ? { cause: detail.cause } : {});
    this.code = code;
    this.restMs = detail.restMs ?? 0;
    this.passing = code === "unreachable" || code === "timeout" || code === "busy";
  }
}
