/** The reviews of the app, in its words (2.4.6, Nano). */
import type { Page, Review } from "./review.ts";

export interface KeyLine {
  readonly kind: "Dummy" | "Our" | "Their";
  readonly text: string;
}

export function registerReview(policy: {
  readonly name: string;
  readonly template: string;
  readonly keys: readonly KeyLine[];
}): Review {
  return {
    kind: "register",
    pages: [
      { title: "Review account", text: "to register" },
      { title: "Account name", text: policy.name },
      { title: "Wallet policy", text: policy.template },
      { title: "Review co-signer", text: "public keys" },
      ...policy.keys.map(({ kind, text }, i) => ({ title: `${kind} key@${i}`, text })),
    ],
    approve: "Register account",
    reject: "Reject operation",
    approved: "Account registered",
    rejected: "Account rejected",
  };
}

export function xpubReview({
  path,
  xpub,
}: {
  readonly path: string;
  readonly xpub: string;
}): Review {
  return {
    kind: "xpub",
    pages: [
      { title: "Confirm public key", text: "" },
      { title: "Path", text: path },
      { title: "Public key", text: xpub },
    ],
    approve: "Approve public key",
    reject: "Reject public key",
    approved: "Public key\napproved",
    rejected: "Public key rejected",
  };
}

/** `account` is null for a default policy, which has no name. */
export function addressReview(shown: {
  readonly address: string;
  readonly account: string | null;
}): Review {
  return {
    kind: "address",
    pages: [
      { title: "Verify bitcoin", text: "address" },
      { title: "Address", text: shown.address },
      ...(shown.account === null ? [] : [{ title: "Account name", text: shown.account }]),
    ],
    approve: "Confirm",
    reject: "Cancel",
    approved: "Address verified",
    rejected: "Address verification cancelled",
  };
}

export function messageReview(shown: {
  readonly path: string;
  readonly title: "Message" | "Message hash";
  readonly text: string;
}): Review {
  return {
    kind: "message",
    pages: [
      { title: "Review message", text: "" },
      { title: "Path", text: shown.path },
      { title: shown.title, text: shown.text },
    ],
    approve: "Sign message",
    reject: "Reject message",
    approved: "Message signed",
    rejected: "Message rejected",
  };
}

export interface Payment {
  readonly sats: bigint;
  readonly to: string;
}

export function transactionReview(spend: {
  readonly account: string | null;
  readonly payments: readonly Payment[];
  readonly feeSats: bigint;
  readonly highFee: boolean;
  readonly ticker: string;
}): Review {
  const amount = (sats: bigint): string => `${decimal(sats)} ${spend.ticker}`;
  const several = spend.payments.length > 1;
  return {
    kind: "transaction",
    pages: [
      { title: "Review transaction", text: "to send bitcoin" },
      ...(spend.account === null ? [] : [{ title: "From", text: spend.account }]),
      ...spend.payments.flatMap(({ sats, to }, i): Page[] => [
        ...(several
          ? [{ title: "Transaction output", text: `${i + 1} of ${spend.payments.length}` }]
          : []),
        { title: "Amount", text: amount(sats) },
        { title: "To", text: to },
      ]),
      ...(spend.payments.length === 0
        ? [{ title: "Amount", text: `${amount(0n)} (self-transfer)` }]
        : []),
      ...(spend.highFee
        ? [{ title: "High fees warning", text: "Fees are above 10%\n of total amount" }]
        : []),
      { title: "Fees", text: amount(spend.feeSats) },
    ],
    approve: "Sign transaction",
    reject: "Reject transaction",
    approved: "Signing transaction",
    rejected: "Transaction rejected",
  };
}

export const WARNINGS = {
  sighash: "Non-default sighash",
  externalInputs: "There are external inputs\nReject if not sure",
} as const;

/** Comes before the review; whoever goes on is asked again. */
export function warningReview(warning: keyof typeof WARNINGS): Review {
  return {
    kind: "warning",
    pages: [
      { title: "Security risk", text: "" },
      { title: "Security risk", text: WARNINGS[warning] },
    ],
    approve: "Continue anyway",
    reject: "Back to safety",
    approved: null,
    rejected: "Transaction rejected",
  };
}

/** Sats in whole coins, without zeros at the end. */
function decimal(sats: bigint): string {
  const fraction = String(sats % 100_000_000n)
    .padStart(8, "0")
    .replace(/0+$/, "");
  return fraction === "" ? `${sats / 100_000_000n}` : `${sats / 100_000_000n}.${fraction}`;
}
