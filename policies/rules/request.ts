/** What is asked, before any coin is looked at. */
import { purposeOf } from "../purpose.ts";
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
    check: ({ intent, vault, policy }) => {
      if (vault === null) return no(`vault ${intent.vault} is not registered here`);
      if (vault.id !== intent.vault) return no(`the intent names vault ${intent.vault}`);
      const own = vault.holders.some(({ role }) => role === policy.role);
      return own ? [] : no(`the vault has no key of the ${policy.role}`);
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
    check: ({ facts, intent }) => {
      const purpose = purposeOf(facts);
      if (purpose === null) return no("the transaction fits no purpose that this signer knows");
      return purpose === intent.purpose
        ? []
        : no(`the intent says ${intent.purpose}, the transaction is a ${purpose}`);
    },
  },
} satisfies Record<string, Rule>;
