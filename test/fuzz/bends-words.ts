/** Bends of what the PSBT says and who has signed it, of its fields, and of what the node says. */
import { anyOf, type Bend, payeeOutputs, spentCoins, userInputs, vaultOutputs } from "./bend.ts";
import type { Draft } from "./honest-parts.ts";
import type { Input, InputWord, OutputWord, SignatureHow } from "./plan.ts";

const SILENT: readonly InputWord[] = [
  "no-derivations",
  "no-internal-key",
  "no-merkle-root",
  "no-leaf",
  "no-leaf-hashes",
  "unknown-field",
  "proprietary-field",
];
const LYING: readonly InputWord[] = [
  "internal-key",
  "merkle-root",
  "leaf-threshold",
  "leaf-nop",
  "leaf-version",
  "control-parity",
  "control-path",
  "second-leaf",
  "fingerprint",
  "path-index",
  "path-longer",
  "stranger-key",
  "strange-leaf-hash",
];
const BURDENS: readonly InputWord[] = [
  "final-witness",
  "key-path-signature",
  "redeem-script",
  "musig-nonce",
  "preimage",
];
const OWN_LIES: readonly OutputWord[] = [
  "internal-key",
  "other-tree",
  "fingerprint",
  "path-index",
  "stranger-key",
];
const PAYEE_WORDS: readonly OutputWord[] = [
  "claims-our-key",
  "stranger-derivation",
  "tree-alone",
  "key-alone",
  "unknown-field",
];

/** Inputs that lie in a vault: a stranger's map says nothing to us. */
function own({ plan }: Draft): readonly Input[] {
  return plan.paper.inputs.filter(({ coin }) => {
    const at = plan.coins.get(coin)?.at;
    return at !== undefined && "vault" in at;
  });
}

const saying =
  (words: readonly InputWord[], several = 1): Bend =>
  (draft) => {
    const input = anyOf(draft, own(draft));
    if (input === null) return false;
    input.words = [...draft.draw.some(words, 1 + draft.draw.below(several))];
    return true;
  };

const signing =
  (how: SignatureHow): Bend =>
  (draft) => {
    const input = anyOf(draft, userInputs(draft.plan));
    if (input === null) return false;
    input.signatures = [{ by: "user", how }];
    return true;
  };

const onCoin =
  (change: (draft: Draft, coin: ReturnType<typeof spentCoins>[number]) => void): Bend =>
  (draft) => {
    const coin = anyOf(draft, spentCoins(draft.plan));
    if (coin === null || coin.node === null) return false;
    change(draft, coin);
    return true;
  };

export const WORD_BENDS: Readonly<Record<string, Bend>> = {
  "silence about a coin": saying(SILENT, 4),
  "silence again": saying(SILENT, 2),
  "lie about a coin": saying(LYING),
  "burden on a coin": saying(BURDENS),
  "silence about an own output": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    if (output === null) return false;
    output.words = [draft.draw.pick<OutputWord>(["no-derivations", "no-words", "unknown-field"])];
    return true;
  },
  "lie about an own output": (draft) => {
    const output = anyOf(draft, vaultOutputs(draft.plan));
    if (output === null) return false;
    output.words = [draft.draw.pick(OWN_LIES)];
    return true;
  },
  "words about a payment": (draft) => {
    const output = anyOf(draft, payeeOutputs(draft.plan));
    if (output === null) return false;
    output.words = [draft.draw.pick(PAYEE_WORDS)];
    return true;
  },
  "declared a sat off": (draft) => {
    const input = anyOf(draft, draft.plan.paper.inputs);
    if (input === null || input.said === null || input.said === 0n) return false;
    input.said += draft.draw.pick([1n, -1n]);
    return true;
  },
  "nothing declared": (draft) => {
    const input = anyOf(draft, draft.plan.paper.inputs);
    if (input === null) return false;
    input.said = null;
    return true;
  },
  "previous transaction shown": (draft) => {
    const input = anyOf(
      draft,
      draft.plan.paper.inputs.filter(({ coin }) => coin !== "virtual"),
    );
    if (input === null) return false;
    input.previous = draft.draw.pick(["same", "same", "none", "another"]);
    return true;
  },
  "signature missing": (draft) => {
    const input = anyOf(draft, userInputs(draft.plan));
    if (input === null) return false;
    input.signatures = [];
    return true;
  },
  "signature broken": signing("broken"),
  "signature over another transaction": signing("other-tx"),
  "signature of 65 bytes": signing("sighash-all"),
  "signature for another leaf": signing("other-leaf"),
  "signature of a stranger": signing("stranger"),
  "signature of a cosigner alone": (draft) => {
    const input = anyOf(draft, userInputs(draft.plan));
    if (input === null) return false;
    input.signatures = [{ by: draft.draw.pick(["lsp", "trustee"]), how: "good" }];
    return true;
  },
  "signature of a cosigner beside": (draft) => {
    const input = anyOf(draft, own(draft));
    if (input === null) return false;
    input.signatures = input.signatures.filter(({ by }) => by === "user");
    const how = draft.draw.pick<SignatureHow>(["good", "good", "good", "broken"]);
    input.signatures.push({ by: draft.draw.pick(["lsp", "trustee"]), how });
    return true;
  },
  "user signs all": ({ plan }) => {
    for (const input of userInputs(plan)) input.signatures = [{ by: "user", how: "good" }];
    return true;
  },
  "sighash asked for": (draft) => {
    const input = anyOf(draft, draft.plan.paper.inputs);
    if (input === null) return false;
    input.sighash = draft.draw.pick([0, 0, 1, 2, 3, 0x81, 0x83]);
    return true;
  },
  sequence: (draft) => {
    const input = anyOf(draft, draft.plan.paper.inputs);
    if (input === null) return false;
    input.sequence = draft.draw.pick([0xfffffffe, 0xffffffff, 0xfffffffc, 0, 26_280]);
    return true;
  },
  version: ({ draw, plan }) => {
    plan.paper.version = draw.pick([1, 3, 2]);
    return true;
  },
  "locktime at the bounds": ({ draw, plan }) => {
    const height = Math.max(plan.history.height, plan.chain?.height ?? 0);
    const { past, future } = plan.law;
    plan.paper.locktime = Math.max(
      0,
      draw.pick([height - past, height + future, height, height - past - 1, height + future + 1]),
    );
    return true;
  },
  "locktime of another kind": ({ draw, plan }) => {
    plan.paper.locktime = draw.pick([0, 499_999_999, 500_000_000, 1_700_000_000]);
    return true;
  },
  "other PSBT version": ({ plan }) => {
    plan.paper.psbt = plan.paper.psbt === 0 ? 2 : 0;
    return true;
  },
  "coin unknown to the node": onCoin((_, coin) => {
    coin.node = null;
  }),
  "coin in the mempool": onCoin((_, coin) => {
    if (coin.node !== null) coin.node.height = 0;
  }),
  "coin as deep as wanted": onCoin(({ draw, plan }, { node }) => {
    const height = plan.chain?.height ?? 0;
    if (node !== null) node.height = height + 1 - plan.law.confirmations + draw.pick([0, 0, -1, 1]);
  }),
  "coin as old as a refresh wants": (draft) => {
    const coin = anyOf(draft, spentCoins(draft.plan));
    if (draft.plan.intent.purpose !== "refresh" || coin === null || coin.node === null)
      return false;
    // 60 % of 26,280 blocks.
    coin.node.height = (draft.plan.chain?.height ?? 0) + 1 - 15_768 + draft.draw.pick([0, 1, -1]);
    return true;
  },
  "coin of a miner": onCoin(({ draw, plan }, { node }) => {
    if (node === null) return;
    node.coinbase = true;
    node.height = (plan.chain?.height ?? 0) + 1 - 100 + draw.pick([0, 0, -5, 1]);
  }),
  "node has another amount": onCoin(({ draw }, { node }) => {
    if (node !== null) node.sats += draw.pick([1n, -1n]);
  }),
  "node has another script": onCoin((_, { node }) => {
    if (node !== null) node.otherScript = true;
  }),
  "coin of a lesser amount, as all say": onCoin(({ plan }, coin) => {
    coin.sats -= 1n;
    if (coin.node !== null) coin.node.sats -= 1n;
    for (const input of plan.paper.inputs) {
      if (plan.coins.get(input.coin) === coin && input.said !== null) input.said -= 1n;
    }
  }),
};
