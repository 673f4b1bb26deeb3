/**
 * What a person is shown before they say yes: computed by this station from the bytes, its own vaults
 * and its own node. Nothing that whoever asks has said about the spend is in it, but the reference.
 */
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import type { Violation } from "../../policies/decide.ts";
import { flowsOf } from "../../policies/flows.ts";
import type { Purpose } from "../../policies/intent.ts";
import { centsOfSatsFloor, type Price } from "../../policies/money.ts";
import { purposesOf } from "../../policies/purpose.ts";
import {
  type LimitReport,
  limitReports,
  type RuleReport,
  ruleReports,
} from "../../policies/report.ts";
import type { Role, VaultKind } from "../../policies/vault.ts";
import type { Review } from "../guard.ts";

/** A price that the station asked for itself. */
export interface Quote {
  readonly price: Price;
  readonly source: string;
}

/** Who gets it: somebody outside all vaults, or a vault other than the one that is spent. */
export interface Payee {
  readonly address: string;
  /** As a device of a test network writes it; the same where it writes it the same. */
  readonly shownOnDevice: string;
  readonly sats: string;
  readonly cents: string | null;
  readonly whose: "outside" | VaultKind;
}

export interface Change {
  readonly address: string;
  readonly sats: string;
  readonly vault: string;
  readonly branch: number;
  readonly index: number;
}

export interface Sight {
  readonly intent: string;
  readonly txid: string;
  /** What the yes is bound to: the transaction with all that it spends. */
  readonly spendHash: string;
  readonly network: string;
  /** As the intent says and the facts confirm; null where they do not. */
  readonly purpose: Purpose | null;
  readonly reference: string;
  readonly vault: { readonly id: string; readonly name: string } | null;
  readonly inputs: { readonly count: number; readonly sats: string | null };
  readonly payees: readonly Payee[];
  readonly change: readonly Change[];
  readonly fee: {
    readonly sats: string | null;
    readonly cents: string | null;
    /** Millisats per virtual byte. */
    readonly rate: string | null;
  };
  readonly price: { readonly cents: string; readonly source: string } | null;
  /** What guardians voted, where the request carries votes. */
  readonly voted: readonly string[];
  readonly verdict: "approved" | "held" | "refused";
  readonly violations: readonly Violation[];
  readonly rules: readonly RuleReport[];
  readonly limits: readonly LimitReport[];
  /** Whose valid signature stands on every input. */
  readonly signedBy: readonly Role[];
}

export function sightOf({ verdict, spend }: Review, quote: Quote | null): Sight {
  const { facts, intent, vault, policy, evidence } = spend;
  const purposes = purposesOf({ facts, evidence });
  const worth = (sats: bigint) =>
    quote === null ? null : String(centsOfSatsFloor(sats, quote.price));
  const own = new Set(flowsOf(facts).vaults.flatMap((flow) => (flow.inputs > 0 ? flow.vault : [])));
  const outputs = facts.outputs.map((output) => ({
    ...output,
    address: output.address ?? "a script without an address",
    shownOnDevice: deviceAddress(output.script, policy.network) ?? "a script without an address",
  }));
  const { feeSats, vbytes } = facts;
  return {
    intent: intent.id,
    txid: facts.txid,
    spendHash: facts.spendHash,
    network: policy.network,
    purpose: purposes.includes(intent.purpose) ? intent.purpose : null,
    reference: intent.reference,
    vault: vault && { id: vault.id, name: vault.document.policy.name },
    inputs: {
      count: facts.inputs.length,
      sats: facts.inputSats === null ? null : String(facts.inputSats),
    },
    payees: outputs.flatMap(({ coin, sats, address, shownOnDevice }): Payee[] =>
      coin !== null && own.has(coin.vault)
        ? []
        : [
            {
              ...{ address, shownOnDevice, sats: String(sats), cents: worth(sats) },
              whose: coin === null ? "outside" : coin.kind,
            },
          ],
    ),
    change: outputs.flatMap(({ coin, sats, address }): Change[] => {
      if (coin === null || !own.has(coin.vault)) return [];
      const { vault: id, branch, index } = coin;
      return [{ address, sats: String(sats), vault: id, branch, index }];
    }),
    fee: {
      sats: feeSats === null ? null : String(feeSats),
      cents: feeSats === null ? null : worth(feeSats),
      rate: feeSats === null || feeSats < 0n ? null : String((feeSats * 1000n) / BigInt(vbytes)),
    },
    price: quote && { cents: String(quote.price), source: quote.source },
    voted: evidence.votes.flatMap(({ price, fault }) => (fault === null ? String(price) : [])),
    verdict: verdict.verdict,
    violations: verdict.violations,
    rules: ruleReports(verdict.violations),
    limits: limitReports(spend),
    signedBy: signedBy(facts.inputs),
  };
}

/** Regtest's own prefix is unknown to devices: they write testnet's. */
function deviceAddress(script: Uint8Array, network: Review["spend"]["policy"]["network"]) {
  return addressOf(script, network === "regtest" ? "testnet" : network);
}

function signedBy(inputs: Review["spend"]["facts"]["inputs"]): readonly Role[] {
  const each = inputs.map(
    ({ signatures }) =>
      new Set(signatures.flatMap(({ role, valid }) => (valid && role !== null ? [role] : []))),
  );
  const [first, ...others] = each;
  return [...(first ?? [])].filter((role) => others.every((roles) => roles.has(role)));
}
