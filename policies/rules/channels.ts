/** Opening a Lightning channel out of a vault: the funding output is the one that both nodes named. */
import { equal } from "../bitcoin/wire.ts";
import { no, type Rule } from "./rule.ts";

export const channelRules = {
  "funding-output": {
    why: "A key swapped in the funding output is a channel with a thief.",
    answers: [],
    check: ({ facts, intent, evidence, history, policy }) => {
      if (intent.purpose !== "channel-open") return [];
      const { funding } = evidence;
      if (funding === null) return no("no funding keys came with the request");
      const external = facts.outputs.filter(({ coin }) => coin === null);
      const [output] = external;
      const paid =
        external.length === 1 &&
        output !== undefined &&
        equal(output.script, funding.script) &&
        output.sats === funding.sats;
      const node = history.standings.get(intent.vault)?.node ?? null;
      return [
        ...funding.faults.flatMap(no),
        ...(paid ? [] : no("the payment is not the funding output of these two keys")),
        ...(policy.role === "user" || funding.user === node
          ? []
          : no("the user has not named this node under the vault's key")),
        ...(funding.lsp === (policy.house?.node ?? null)
          ? []
          : no("the LSP's node is not the one that the policy names")),
      ];
    },
  },
  "channel-not-bumped": {
    why: "Once a commitment exists over a funding transaction, another one would strand the channel.",
    answers: [72],
    check: ({ facts, intent, history }) =>
      intent.purpose === "channel-open"
        ? history.related
            .filter((claim) => claim.intent === intent.id && claim.txid !== facts.txid)
            .flatMap(({ txid }) =>
              no(`the channel was funded by ${txid}; only its child can pay more`),
            )
        : [],
  },
} satisfies Record<string, Rule>;
