/** The tour as a story. */
import type { Tour } from "./tour.ts";

export function tellTour(tour: Tour): string {
  const { vault, deposit, withdrawal, recovery, signers, balances } = tour;
  return [
    "",
    "A first spend, and one without the LSP, start to end",
    "",
    `1. A vault.   ${vault.id}, any two of user, LSP and trustee; nobody can spend alone.`,
    `   ${vault.descriptor}`,
    `2. A deposit. ${deposit.sats} sat to ${vault.address}`,
    `   ${deposit.txid}, block ${deposit.height}`,
    `3. A payout.  ${withdrawal.sats} sat to ${withdrawal.address}`,
    `   fee ${withdrawal.feeSats} sat, asked for ${withdrawal.feeRate} sat/vB`,
    ...screens("user", withdrawal.screens),
    `   Confirmed. ${withdrawal.txid}, block ${withdrawal.height}`,
    `4. A recovery, announced and delayed, with the LSP's signer stopped:`,
    `   ${recovery.sats} sat to ${recovery.address}, fee ${recovery.feeSats} sat`,
    ...screens("trustee", recovery.screens),
    `   Confirmed. ${recovery.txid}, block ${recovery.height}`,
    `   Ceremony ${recovery.ceremony}:`,
    `   a transcript of ${recovery.events} events, attested by the ${recovery.attested.join(", ")}.`,
    "5. The signers, each by its own law:",
    ...signers.map(
      ({ role, custody, policy, rules }) =>
        `   ${role} (${custody}), policy ${policy}: ${rules === null ? "signed before this start" : `${rules} rules agreed`}`,
    ),
    `   The book has ${balances.availableSats} sat available, ${balances.reservedSats} reserved.`,
    "",
  ].join("\n");
}

function screens(whose: string, shown: readonly string[]): readonly string[] {
  if (shown.length === 0) return [];
  return [`   The ${whose}'s Ledger showed:`, ...wrapped(shown, 92).map((line) => `      ${line}`)];
}

function wrapped(words: readonly string[], width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length + 3 <= width) {
      lines[lines.length - 1] = `${last} | ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}
