/** A sight in words, as a tired person reads it: who gets what first, the machinery last. */
import type { Purpose } from "../../policies/intent.ts";
import type { LimitReport } from "../../policies/report.ts";
import { plain } from "./plain.ts";
import type { Change, Payee, Sight } from "./sight.ts";

const PURPOSES: Readonly<Record<Purpose, string>> = {
  withdrawal: "a withdrawal: coins leave the vault for somebody outside",
  migration: "a migration: all coins go to a newer vault of the same user",
  collect: "a true-up: the vault's surplus goes to the treasury",
  "top-up": "a true-up: the treasury covers what the vault lacks",
  refresh: "a refresh: coins return to their vault, so that their timelock starts anew",
  consolidation: "a consolidation: many coins of the vault become one",
  margin: "a margin top-up: the treasury pays an exchange",
  "escrow-in": "coins go into the pool's escrow",
  "escrow-out": "coins leave the pool's escrow",
  "channel-open": "a Lightning channel is opened",
  cancel: "a cancel: every coin returns to its own vault",
  "recovery-lsp-gone": "a recovery without the LSP: user and trustee spend together",
  "recovery-user-lost": "a recovery of a lost user: all coins go to the vault of the recovery key",
  "proof-of-reserves": "a proof of reserves: it can never be mined",
};

const HOUSE = { outside: "", user: "a user's vault", treasury: "the treasury", escrow: "escrow" };

export interface Around {
  /** Until when it must be signed, in words; null where nobody waits. */
  readonly deadline: string | null;
  /** Whether a device asks again, on its own screen. */
  readonly device: boolean;
}

export function tellSight(sight: Sight, around: Around): readonly string[] {
  return linesOf(sight, around).map(plain);
}

function linesOf(sight: Sight, { deadline, device }: Around): readonly string[] {
  const { vault, price, voted, reference, fee } = sight;
  return [
    sight.purpose === null
      ? "This transaction is NOT what it is said to be."
      : `This is ${PURPOSES[sight.purpose]}.`,
    "",
    ...sight.payees.flatMap(payee),
    ...(sight.payees.length === 0 ? ["  Nobody outside the vault is paid."] : []),
    ...sight.change.map((part) => change(part, vault?.id ?? null)),
    `  Fee      ${btc(fee.sats)}${dollars(fee.cents)}, ${rate(fee.rate)}`,
    `  From     ${vault === null ? "a vault that this station does not know" : `"${vault.name}", ${sight.inputs.count} ${sight.inputs.count === 1 ? "coin" : "coins"}, ${btc(sight.inputs.sats)}`}`,
    `  For      "${reference}" (so they say)`,
    `  Price    ${price === null ? "this station has no price of its own: no dollars are shown" : `${usd(price.cents)} a bitcoin, by ${price.source}`}`,
    ...(voted.length === 0 ? [] : [`           the guardians voted ${voted.map(usd).join(", ")}`]),
    `  Signed   ${sight.signedBy.length === 0 ? "by nobody yet" : `by the ${sight.signedBy.join(" and the ")}`}`,
    ...(deadline === null ? [] : [`  Until    ${deadline}`]),
    "",
    ...verdict(sight),
    ...sight.limits.map(limit),
    "",
    `  Transaction ${sight.txid}`,
    `  You agree to ${sight.spendHash}`,
    ...(device ? ["", ...onDevice(sight)] : []),
  ];
}

/** What a Ledger's screen must say; anything else is rejected there. */
function onDevice({ vault, payees, fee, network }: Sight): readonly string[] {
  const coin = network === "bitcoin" ? "BTC" : "TEST";
  const amount = (sats: string | null) => `${bitcoins(sats ?? "0")} ${coin}`;
  return [
    "  The device must show exactly this; reject anything else, and every warning:",
    `    From    ${vault?.name ?? "?"}`,
    ...payees.flatMap(({ shownOnDevice, sats }) => [
      `    Amount  ${amount(sats)}`,
      `    To      ${shownOnDevice}`,
    ]),
    ...(payees.length === 0 ? [`    Amount  0 ${coin} (self-transfer)`] : []),
    `    Fees    ${amount(fee.sats)}`,
  ];
}

function payee({ address, shownOnDevice, sats, cents, whose }: Payee): readonly string[] {
  return [
    `  Pays     ${btc(sats)}${dollars(cents)}${whose === "outside" ? "" : ` to ${HOUSE[whose]}`}`,
    `           ${grouped(address)}`,
    ...(shownOnDevice === address ? [] : [`           on the device: ${grouped(shownOnDevice)}`]),
  ];
}

/** Of several vaults that are spent at once each is named: it may be another's coin that comes here. */
function change({ sats, vault, branch, index }: Change, spent: string | null): string {
  const where = vault === spent ? "the same vault" : `vault ${vault}`;
  return `  Returns  ${btc(sats)} to ${where}, at ${branch}/${index}`;
}

function verdict({ verdict: said, violations, rules }: Sight): readonly string[] {
  const agreed = rules.filter(({ says }) => says === "yes").length;
  if (said === "approved") return [`  Your law agrees: ${agreed} rules of ${rules.length}.`];
  return [
    said === "held"
      ? "  Your law says NOT YET, and would sign nothing now:"
      : "  Your law says NO, and will sign nothing:",
    ...violations.map(
      ({ rule, detail, retry }) =>
        `    ${rule}: ${detail}${retry === undefined ? "" : ` (again ${retry})`}`,
    ),
  ];
}

function limit({ whose, about, hours, left, most }: LimitReport): string {
  const what = about === "fees" ? "fees" : "spends";
  return `  After it ${btc(left)} of ${btc(most)} are left for ${what} of ${whose} within ${hours} h`;
}

/** In groups of four, as people compare them. */
function grouped(address: string): string {
  return address.match(/.{1,4}/g)?.join(" ") ?? address;
}

function btc(sats: string | null): string {
  return sats === null ? "an unknown amount" : `${thousands(sats)} sat`;
}

function bitcoins(sats: string): string {
  const padded = sats.padStart(9, "0");
  const fraction = padded.slice(-8).replace(/0+$/, "");
  return `${padded.slice(0, -8)}${fraction === "" ? "" : `.${fraction}`}`;
}

function dollars(cents: string | null): string {
  return cents === null ? "" : ` (about ${usd(cents)})`;
}

function usd(cents: string): string {
  const padded = cents.padStart(3, "0");
  return `$${thousands(padded.slice(0, -2))}.${padded.slice(-2)}`;
}

function rate(millisats: string | null): string {
  if (millisats === null) return "an impossible rate";
  const padded = millisats.padStart(4, "0");
  return `${padded.slice(0, -3)}.${padded.slice(-3)} sat/vB`;
}

function thousands(digits: string): string {
  return digits.replace(/\B(?=(?:\d{3})+$)/g, ",");
}
