/** What happened to an account's deposits, one line a deposit: the seed's v2 history. */
export type HistoryKind =
  | "DepositToStaged"
  | "DepositToBtcBalance"
  | "StagedToLocked"
  | "LockedToStaged"
  | "StagedToIdle"
  | "LockedToIdle"
  | "StagedTransferIn"
  | "LockedTransferIn"
  | "StagedTransferOut"
  | "LockedTransferOut";

export interface HistoryItem {
  readonly account: string;
  /** Null before the first cycle. */
  readonly cycle: number | null;
  readonly kind: HistoryKind;
  /** What it belongs to; empty where the deposit's own sequence says it. */
  readonly reference: string;
  readonly sequence: number;
  readonly msats: bigint;
  /** Of a transfer: the account at the other end. */
  readonly other?: string;
  /** Of a transfer or a depositor's deposit: opaque bytes in hex. */
  readonly meta?: string;
}
