/**
 * Why an operation or a vote is refused. The names are the seed's; those below the line are answers
 * to what the seed let pass or panicked on.
 */
export const REFUSALS = [
  "InvalidWithdrawalAmount",
  "InsufficientBalance",
  "MultiSigNotAllowed",
  "TemporaryError",
  "DuplicateUnlockRequest",
  "UnknownInputVariant",
  "PreviousIntentionNotFullyProcessed",
  "CannotSeek",
  "CannotProvide",
  "InvalidAccountTypeForOperation",
  "AutoRenewalCancellationAlreadyStaged",
  "AmountTooLow",
  "FeeRateTooHigh",
  "CannotCancelAutoRenewal",
  "InvalidBPSForCancelAutoRenewal",
  "CannotUndoAutoRenewalCancellation",
  "InvalidTransferRequest",
  "UnknownOutputVariant",
  "NoCycle",
  // ---- not the seed's
  "AmountTooHigh",
  "FeeRateTooLow",
  "BalanceOverflow",
  "InvalidAccount",
  "InvalidAuthority",
] as const;

export type RefusalName = (typeof REFUSALS)[number];

export interface Refusal {
  readonly kind: "refused";
  readonly error: RefusalName;
  /** In words, for a person. */
  readonly detail: string;
}

export function refuse(error: RefusalName, detail: string): Refusal {
  return { kind: "refused", error, detail };
}

export function unknownInput(kind: string): Refusal {
  return refuse("UnknownInputVariant", `the pool's rules know no ${kind} like this`);
}

export function unknownOutput(kind: string): Refusal {
  return refuse("UnknownOutputVariant", `the pool's rules know no ${kind}`);
}
