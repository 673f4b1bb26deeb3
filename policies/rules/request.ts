/** What is asked, before any coin is looked at. */
import { flowsOf } from "../flows.ts";
import { purposesOf, SIGNERS } from "../purpose.ts";
import type { VaultKind } from "../vault.ts";
import { no, type Rule } from "./rule.ts";

export const requestRules = {
  "not-paused": {
    why: "Somebody pulled the kill switch; only the quorum may release it.",
    answers: [123],
    check: ({ history }) =>
      history.paused
        ? [{ detail: "this signer is paused", retry: "after the quorum resumes it" }]
        : [],
  },
  "network-agrees": {
    why: "Keys of a test network must not be led to sign for mainnet, or the other way round.",
    answers: [14],
    check: ({ intent, policy, vault }) => [
      ...(intent.network === policy.network
        ? []
        : no(`the intent is for ${intent.network}, the policy for ${policy.network}`)),
      ...(vault === null || vault.network === policy.network
        ? []
        : no(`the vault is on ${vault.network}, the policy on ${policy.network}`)),
    ],
  },
  "vault-registered": {
    why: "A signer signs only for vaults that it has checked and registered, with its own key in it.",
    answers: [2, 3, 41],
    check: ({ intent, vault, parties, policy }) => {
      if (vault === null) return no(`vault ${intent.vault} is not registered here`);
      if (vault.id !== intent.vault) return no(`the intent names vault ${intent.vault}`);
      const own = ({ holders }: typeof vault) => holders.some(({ role }) => role === policy.role);
      const missing = intent.parties.filter((id) => parties.every((party) => party.id !== id));
      return [
        ...(own(vault) ? [] : no(`the vault has no key of the ${policy.role}`)),
        ...missing.flatMap((id) => no(`vault ${id} is not registered here`)),
        ...parties
          .filter((party) => !own(party))
          .flatMap(({ id }) => no(`vault ${id} has no key of the ${policy.role}`)),
      ];
    },
  },
  "has-inputs-and-outputs": {
    why: "A transaction without coins or without a payee is no spend.",
    answers: [],
    check: ({ facts }) => [
      ...(facts.inputs.length > 0 ? [] : no("the transaction has no inputs")),
      ...(facts.outputs.length > 0 ? [] : no("the transaction has no outputs")),
    ],
  },
  "size-within-caps": {
    why: "What a person or a device cannot review in one sitting is split.",
    answers: [78, 93],
    check: ({ facts, policy }) => [
      ...(facts.inputs.length <= policy.inputsMax
        ? []
        : no(`${facts.inputs.length} inputs, at most ${policy.inputsMax}`)),
      ...(facts.outputs.length <= policy.outputsMax
        ? []
        : no(`${facts.outputs.length} outputs, at most ${policy.outputsMax}`)),
    ],
  },
  "one-policy-a-device": {
    why: "A Ledger signs under one wallet policy a call, and shows a stranger's coin as a risk to get used to.",
    answers: [],
    check: ({ facts, policy }) => {
      if (!policy.onePolicy) return [];
      const vaults = flowsOf(facts).vaults.filter(({ inputs }) => inputs > 0).length;
      return [
        ...(vaults <= 1 ? [] : no(`coins of ${vaults} vaults, a device signs for one at a time`)),
        ...(facts.outputs.length <= DEVICE_OUTPUTS_MAX
          ? []
          : no(`${facts.outputs.length} outputs, a device shows ${DEVICE_OUTPUTS_MAX}`)),
      ];
    },
  },
  "purpose-allowed": {
    why: "What the policy says nothing about is not signed.",
    answers: [124],
    check: ({ intent, policy }) =>
      policy.purposes[intent.purpose] === undefined
        ? no(`the policy of this signer has no limits for a ${intent.purpose}`)
        : [],
  },
  "purpose-fits": {
    why: "A label may lie; what the transaction does decides which limits apply.",
    answers: [80],
    check: ({ facts, intent, evidence }) => {
      const purposes = purposesOf({ facts, evidence });
      if (purposes.length === 0) {
        return no("the transaction fits no purpose that this signer knows");
      }
      return purposes.includes(intent.purpose)
        ? []
        : no(`the intent says ${intent.purpose}, the transaction is a ${purposes.join(" or a ")}`);
    },
  },
  "purpose-signers": {
    why: "Any two keys finish the leaf, so each purpose has its signers: the others refuse.",
    answers: [],
    check: ({ intent, policy, facts }) => {
      const { purpose } = intent;
      const { role } = policy;
      // What a user locks is drawn on the claim, which the LSP's journal keeps.
      const locked =
        purpose === "escrow-in" && facts.inputs.some(({ coin }) => coin?.kind === "user");
      return SIGNERS[purpose].includes(role) && !(locked && role === "trustee")
        ? []
        : no(`a ${role} does not sign a ${purpose}${locked ? " of a user's coins" : ""}`);
    },
  },
  "house-vaults-known": {
    why: "Coins for the house go to the house that the policy names, not to one that looks alike.",
    answers: [],
    check: ({ facts, policy }) => {
      const named: Readonly<Partial<Record<VaultKind, string | null>>> = {
        treasury: policy.house?.treasury ?? null,
        escrow: policy.house?.escrow ?? null,
      };
      return flowsOf(facts).vaults.flatMap(({ vault, kind }) =>
        kind === "user" || named[kind] === vault
          ? []
          : no(`vault ${vault} is not the ${kind} that the policy names`),
      );
    },
  },
} satisfies Record<string, Rule>;

/** More do not fit the device's memory, nor a person's patience (architecture section 3). */
const DEVICE_OUTPUTS_MAX = 8;
