/**
 * The law: every rule with its reason and its check. A rule looks at computed facts, never at a
 * label, and says in words what is wrong; all rules are asked, so that a person sees everything at
 * once. `answers` are the numbers of the attack catalogue that the rule is there for.
 */
import type { ChainView } from "./chain-view.ts";
import type { InputFacts, OutputFacts, SpendFacts } from "./facts.ts";
import { hex } from "./hash.ts";
import type { History } from "./history.ts";
import { type Purpose, type SpendIntent, sameOutputs } from "./intent.ts";
import type { Lie } from "./lies.ts";
import { feeCeil, isSats, rateFloor, shareFloor } from "./money.ts";
import type { Policy } from "./policy.ts";
import { SIGHASH_DEFAULT } from "./sighash.ts";
import { CHANGE, type Vault } from "./vault.ts";

/** Everything that a judgement rests on. */
export interface Case {
  readonly facts: SpendFacts;
  readonly intent: SpendIntent;
  readonly policy: Policy;
  /** The registered vault that the intent names; null when this signer does not know it. */
  readonly vault: Vault | null;
  readonly history: History;
  /** Null when the signer's node does not answer. */
  readonly chain: ChainView | null;
}

/** What a rule objects to. `retry` makes it temporary: the words say when to come back. */
export interface Objection {
  readonly detail: string;
  readonly retry?: string;
}

export interface Rule {
  readonly why: string;
  readonly answers: readonly number[];
  readonly check: (spend: Case) => readonly Objection[];
}

/**
 * The purpose that the facts show; null when they fit none. A withdrawal: all coins of one user
 * vault, and something leaves it.
 */
export function purposeOf(facts: SpendFacts): Purpose | null {
  const vaults = new Set(facts.inputs.map(({ coin }) => coin?.vault ?? null));
  const [vault] = vaults;
  if (vaults.size !== 1 || vault === null) return null;
  if (facts.inputs.some(({ coin }) => coin?.kind !== "user")) return null;
  return facts.outputs.some(({ coin }) => coin === null) ? "withdrawal" : null;
}

/** Script types that a withdrawal may pay. */
const PAYABLE = new Set(["p2tr", "p2wpkh", "p2wsh", "p2pkh", "p2sh"]);

/** Below these amounts nodes do not relay an output: three times what spending it costs. */
const DUST_SATS: Readonly<Record<string, bigint>> = {
  p2tr: 330n,
  p2wsh: 330n,
  p2wpkh: 294n,
  p2pkh: 546n,
  p2sh: 540n,
};

/** Opts into replacement, and no relative lock can delay the spend (BIP68, BIP125). */
const SEQUENCE = 0xfffffffd;
const TX_VERSION = 2;
/** From here on a locktime is a time (BIP65). */
const LOCKTIME_THRESHOLD = 500_000_000;
/** Consensus: a coinbase output may be spent 100 blocks later. */
const COINBASE_DEPTH = 100;

const table = {
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
  "inputs-of-the-vault": {
    why: "Only coins of the one vault named: a foreign input hides who pays what.",
    answers: [28, 29, 32],
    check: ({ facts, intent }) =>
      each(facts.inputs, ({ coin, script }, i) => {
        if (coin === null) {
          return script === null ? [] : no(`input ${i} is no address of a registered vault`);
        }
        return coin.vault === intent.vault ? [] : no(`input ${i} belongs to vault ${coin.vault}`);
      }),
  },
  "inputs-distinct": {
    why: "A coin counted twice makes the fee a fiction.",
    answers: [31],
    check: ({ facts }) => {
      const seen = new Set<string>();
      return each(facts.inputs, ({ outpoint }, i) => {
        if (seen.has(outpoint)) return no(`input ${i} spends ${outpoint} again`);
        seen.add(outpoint);
        return [];
      });
    },
  },
  "utxo-present": {
    why: "A Taproot signature commits to every amount and script; without them nothing can be judged.",
    answers: [24],
    check: ({ facts }) =>
      each(facts.inputs, ({ sats }, i) =>
        sats === null ? no(`input ${i} has no WITNESS_UTXO`) : [],
      ),
  },
  "utxo-consistent": {
    why: "Two stories about one coin: at least one is a lie.",
    answers: [25, 26],
    check: lies("utxo"),
  },
  "amounts-in-range": {
    why: "No amount, and no sum of amounts, exceeds 21 million bitcoin.",
    answers: [18],
    check: ({ facts }) => [
      ...each(facts.inputs, ({ sats }, i) =>
        sats === null || isSats(sats) ? [] : no(`input ${i} has ${sats} sat`),
      ),
      ...each(facts.outputs, ({ sats }, i) =>
        isSats(sats) ? [] : no(`output ${i} has ${sats} sat`),
      ),
      ...tooMuch("inputs", facts.inputs, facts.inputSats),
      ...tooMuch("outputs", facts.outputs, facts.outputSats),
    ],
  },
  "fee-not-negative": {
    why: "Outputs above the inputs are impossible on chain; who asks for it tests the parser.",
    answers: [19],
    check: ({ facts: { feeSats } }) =>
      feeSats !== null && feeSats < 0n
        ? no(`the outputs exceed the inputs by ${-feeSats} sat`)
        : [],
  },
  "chain-view-present": {
    why: "Without its own view of the chain a signer cannot tell a coin from a story about one.",
    answers: [35],
    check: ({ chain }) =>
      chain === null
        ? [{ detail: "the signer's own node does not answer", retry: "when the node is back" }]
        : [],
  },
  "coins-confirmed": {
    why: "An unconfirmed or replaced coin can vanish after the signature has left.",
    answers: [35, 37],
    check: ({ facts, policy, chain }) =>
      chain === null ? [] : each(facts.inputs, (input, i) => coinDepth(input, i, policy, chain)),
  },
  "coins-as-declared": {
    why: "The signer's node has the last word on amounts and scripts.",
    answers: [27],
    check: ({ facts, chain }) =>
      each(facts.inputs, ({ outpoint, sats, script }, i) => {
        const coin = chain?.coins.get(outpoint);
        if (coin === undefined || coin.kind === "missing" || sats === null || script === null) {
          return [];
        }
        const agrees = coin.sats === sats && coin.script === hex(script);
        return agrees ? [] : no(`input ${i}: the node has ${coin.sats} sat, or another script`);
      }),
  },
  "internal-key": {
    why: "Another internal key is another owner, who could spend alone.",
    answers: [4, 41],
    check: lies("internal-key"),
  },
  "merkle-root": {
    why: "Another root commits to other leaves.",
    answers: [46],
    check: lies("merkle-root"),
  },
  "leaf-bytes": {
    why: "A leaf that reads alike may ask for less; only the derived bytes will do.",
    answers: [47, 51, 52, 53, 54],
    check: lies("leaf"),
  },
  "leaf-version": {
    why: "Other leaf versions are not encumbered today: anyone could spend.",
    answers: [49],
    check: lies("leaf-version"),
  },
  "control-block": {
    why: "A control block that does not commit to the leaf proves nothing.",
    answers: [47, 48],
    check: lies("control-block"),
  },
  "derivation-honest": {
    why: "Fingerprints are trivial to spoof: each key must be the vault's, with its whole path.",
    answers: [1, 9, 32, 34],
    check: lies("derivation"),
  },
  "tap-tree-honest": {
    why: "A tree shown for an output must be the tree that the output commits to.",
    answers: [6],
    check: lies("tap-tree"),
  },
  "sighash-default": {
    why: "Any other type signs less than the whole transaction, or grows the signature.",
    answers: [58, 59, 60, 62],
    check: ({ facts }) =>
      each(facts.inputs, ({ sighashType }, i) =>
        sighashType === null || sighashType === SIGHASH_DEFAULT
          ? []
          : no(`input ${i} asks for sighash type 0x${sighashType.toString(16)}`),
      ),
  },
  "nothing-but-cosigning": {
    why: "Finished inputs, key-path signatures, scripts of other kinds and MuSig2 have no place here.",
    answers: [38, 45, 66],
    check: ({ facts }) =>
      each(facts.inputs, ({ burdens }, i) =>
        burdens.flatMap((burden) => no(`input ${i} carries ${BURDEN_WORDS[burden]}`)),
      ),
  },
  "signatures-valid": {
    why: "A signature that does not verify is damage or an attack; none is added beside it.",
    answers: [39, 63],
    check: ({ facts }) =>
      each(facts.inputs, ({ signatures }, i) =>
        signatures.flatMap(({ valid, detail }) => (valid ? [] : no(`input ${i}: ${detail}`))),
      ),
  },
  "user-signs-first": {
    why: "Any two keys finish the leaf: LSP and trustee sign a user's coins only after the user.",
    answers: [],
    check: ({ facts, policy }) =>
      policy.role === "user"
        ? []
        : each(facts.inputs, ({ coin, signatures }, i) => {
            if (coin === null || coin.kind !== "user") return [];
            const signed = signatures.some(({ role, valid }) => role === "user" && valid);
            return signed ? [] : no(`input ${i} has no valid signature of the user`);
          }),
  },
  "outputs-as-intended": {
    why: "Exactly the payments of the intent leave the vault, to the sat, no more and no fewer.",
    answers: [1, 12, 13, 15, 75],
    check: ({ facts, intent }) => {
      const external = facts.outputs.filter(({ coin }) => coin === null);
      if (sameOutputs(external, intent.outputs)) return [];
      return no(`pays ${words(external)}; the intent says ${words(intent.outputs)}`);
    },
  },
  "destination-allowed": {
    why: "Money goes only where the policy lets this purpose pay.",
    answers: [14],
    check: ({ facts, policy: { withdrawal } }) =>
      externals(facts, ({ script, address }, i) =>
        withdrawal.destinations === null || withdrawal.destinations.has(hex(script))
          ? []
          : no(`output ${i} pays ${address ?? hex(script)}, which is not on the list`),
      ),
  },
  "destination-known": {
    why: "Data outputs, bare scripts, anchors and future witness versions may be anyone's to take.",
    answers: [15, 16],
    check: ({ facts }) =>
      externals(facts, ({ scriptType }, i) =>
        PAYABLE.has(scriptType) ? [] : no(`output ${i} is of type ${scriptType}`),
      ),
  },
  "no-address-reuse": {
    why: "Paying back to the address just spent from ties a person's coins together.",
    answers: [11],
    check: ({ facts }) => {
      const spent = new Set(
        facts.inputs.flatMap(({ script }) => (script === null ? [] : hex(script))),
      );
      return each(facts.outputs, ({ script }, i) =>
        spent.has(hex(script)) ? no(`output ${i} pays an address that is being spent from`) : [],
      );
    },
  },
  "change-to-change": {
    why: "Change goes to the change branch of the same vault, where its owner will look for it.",
    answers: [2, 3, 8],
    check: ({ facts, intent }) =>
      each(facts.outputs, ({ coin }, i) => {
        if (coin === null) return [];
        if (coin.vault !== intent.vault) return no(`output ${i} pays another vault`);
        return coin.branch === CHANGE ? [] : no(`output ${i} pays the vault off its change branch`);
      }),
  },
  "change-once": {
    why: "One change output is all a spend needs; more only scatter coins.",
    answers: [8],
    check: ({ facts }) => {
      const changes = facts.outputs.filter(({ coin }) => coin !== null).length;
      return changes <= 1 ? [] : no(`${changes} outputs return to the vault`);
    },
  },
  "change-findable": {
    why: "Change on a far index is lost to its owner until a ransom is paid.",
    answers: [8, 36],
    check: ({ facts, history, policy }) => {
      const highest = history.changeIndex + policy.changeGap;
      return each(facts.outputs, ({ coin }, i) =>
        coin === null || coin.branch !== CHANGE || coin.index <= highest
          ? []
          : no(`output ${i} is change at index ${coin.index}, at most ${highest} is findable`),
      );
    },
  },
  "no-dust": {
    why: "Nodes do not relay dust, and change that costs more than it holds is a gift to nobody.",
    answers: [],
    check: ({ facts }) =>
      each(facts.outputs, ({ scriptType, sats }, i) => {
        const least = DUST_SATS[scriptType];
        return least === undefined || sats >= least
          ? []
          : no(`output ${i} holds ${sats} sat, less than ${least} is dust`);
      }),
  },
  "fee-absolute": {
    why: "Funds can be burnt as fees, or paid to a colluding miner.",
    answers: [20],
    check: ({ facts: { feeSats }, policy }) =>
      feeSats !== null && feeSats > policy.feeSatsMax
        ? no(`fee is ${feeSats} sat, at most ${policy.feeSatsMax}`)
        : [],
  },
  "fee-rate": {
    why: "Too low is stuck, too high is waste; the size is our own figure, not the PSBT's.",
    answers: [20, 21],
    check: ({ facts: { feeSats, vbytes }, policy }) => {
      if (feeSats === null || feeSats < 0n) return [];
      const least = feeCeil(vbytes, policy.feeRateMin);
      const rate = rateFloor(feeSats, vbytes);
      if (feeSats < least) return no(`fee is ${feeSats} sat, ${vbytes} vB need ${least}`);
      return rate > policy.feeRateMax
        ? no(`fee rate is ${shownRate(rate)} sat/vB, at most ${shownRate(policy.feeRateMax)}`)
        : [];
    },
  },
  "fee-share": {
    why: "A fee out of proportion to the payment is a mistake or a theft.",
    answers: [20],
    check: ({ facts: { feeSats, externalSats }, policy }) => {
      const most = shareFloor(externalSats, policy.feeShareMax);
      return feeSats !== null && feeSats > most
        ? no(`fee is ${feeSats} sat, ${policy.feeShareMax} bps of the payment are ${most}`)
        : [];
    },
  },
  "spend-limit": {
    why: "No single spend takes more than a bad day may cost; all outputs count together.",
    answers: [12],
    check: ({ facts, policy: { withdrawal } }) =>
      facts.externalSats > withdrawal.satsPerSpend
        ? no(
            `${facts.externalSats} sat leave the vault, at most ${withdrawal.satsPerSpend} a spend`,
          )
        : [],
  },
  "window-limit": {
    why: "Many small spends are one big one; the window slides, and no clock reopens it.",
    answers: [12, 100, 101, 102, 104],
    check: ({ facts, policy: { withdrawal }, history }) =>
      withdrawal.windows.flatMap(({ hours, sats: most }, i): readonly Objection[] => {
        const charged = history.charged[i];
        if (charged === undefined) throw new Error(`BUG: window ${i} was not counted`);
        const total = charged + chargeOf(facts);
        if (total <= most) return [];
        const detail = `${total} sat within ${hours} h, at most ${most}`;
        // What is over the limit by itself will not fit later either.
        return chargeOf(facts) > most ? no(detail) : [{ detail, retry: `within ${hours} h` }];
      }),
  },
  "tx-version": {
    why: "Version 2 is what relative locks and the node's relay rules are known for.",
    answers: [77],
    check: ({ facts }) =>
      facts.version === TX_VERSION
        ? []
        : no(`transaction version is ${facts.version}, not ${TX_VERSION}`),
  },
  "sequence-replaceable": {
    why: "A relative lock would delay the spend; a final sequence would forbid a fee bump.",
    answers: [71],
    check: ({ facts }) =>
      each(facts.inputs, ({ sequence }, i) =>
        sequence === SEQUENCE ? [] : no(`input ${i} has sequence 0x${sequence.toString(16)}`),
      ),
  },
  "locktime-recent": {
    why: "nLockTime dates the spend without a clock: a stale or postponed PSBT is not signed.",
    answers: [69, 101],
    check: ({ facts: { locktime, locktimeDetermined }, policy, history, chain }) => {
      if (!locktimeDetermined) return no("the inputs ask for locktimes that exclude each other");
      if (locktime >= LOCKTIME_THRESHOLD) return no(`locktime ${locktime} is a time, not a height`);
      const height = Math.max(history.height, chain?.height ?? 0);
      if (height === 0) return [];
      const least = height - policy.locktimePastBlocks;
      const most = height + policy.locktimeFutureBlocks;
      if (locktime < least) return no(`locktime ${locktime} is older than block ${least}`);
      return locktime > most ? no(`locktime ${locktime} is after block ${most}`) : [];
    },
  },
  "coins-unclaimed": {
    why: "A coin signed away for one intent is not signed away for another.",
    answers: [74, 76],
    check: ({ facts, intent, history }) => {
      const coins = new Set(facts.inputs.map(({ outpoint }) => outpoint));
      return history.related
        .filter((claim) => claim.intent !== intent.id)
        .flatMap((claim) =>
          claim.outpoints
            .filter((outpoint) => coins.has(outpoint))
            .flatMap((outpoint) => no(`${outpoint} was signed away in ${claim.txid}`)),
        );
    },
  },
  "one-transaction-an-intent": {
    why: "Two transactions of one payment without a common coin would pay twice.",
    answers: [72, 75],
    check: ({ facts, intent, history }) =>
      history.related
        .filter((claim) => claim.intent === intent.id && claim.txid !== facts.txid)
        .flatMap((claim) => no(`this intent was signed as ${claim.txid} already`)),
  },
} satisfies Record<string, Rule>;

export type RuleId = keyof typeof table;

/** All rules, in the order in which a person would read them. */
export const rules: Readonly<Record<RuleId, Rule>> = Object.freeze(table);

/** What a spend takes out of a window: everything that does not come back, the fee too. */
export function chargeOf(facts: SpendFacts): bigint {
  return facts.externalSats + (facts.feeSats !== null && facts.feeSats > 0n ? facts.feeSats : 0n);
}

const BURDEN_WORDS: Readonly<Record<InputFacts["burdens"][number], string>> = {
  final: "a final script or witness already",
  "key-path-signature": "a key-path signature, which no vault has",
  legacy: "fields of another script type",
  musig: "MuSig2 fields",
  "hash-preimage": "a hash preimage",
};

function coinDepth(
  { outpoint }: InputFacts,
  i: number,
  policy: Policy,
  chain: ChainView,
): readonly Objection[] {
  const coin = chain.coins.get(outpoint) ?? { kind: "missing" };
  if (coin.kind === "missing") {
    return [
      {
        detail: `input ${i}: ${outpoint} is not among the unspent coins of the signer's node`,
        retry: "when the node has seen it, unless it is spent",
      },
    ];
  }
  const depth = coin.height === 0 ? 0 : chain.height - coin.height + 1;
  const wanted = coin.coinbase
    ? Math.max(policy.confirmations, COINBASE_DEPTH)
    : policy.confirmations;
  if (depth >= wanted) return [];
  return [
    {
      detail: `input ${i} has ${depth} confirmations, ${wanted} are needed`,
      retry: `in ${wanted - depth} blocks`,
    },
  ];
}

/** Each amount alone is possible, their sum is not. */
function tooMuch(
  what: string,
  items: readonly { readonly sats: bigint | null }[],
  sum: bigint | null,
): readonly Objection[] {
  const possible = items.every(({ sats }) => sats !== null && isSats(sats));
  return sum === null && possible ? no(`the ${what} together exceed 21 million bitcoin`) : [];
}

function no(detail: string): readonly Objection[] {
  return [{ detail }];
}

function each<Item>(
  items: readonly Item[],
  check: (item: Item, index: number) => readonly Objection[],
): readonly Objection[] {
  return items.flatMap(check);
}

function externals(
  facts: SpendFacts,
  check: (output: OutputFacts, index: number) => readonly Objection[],
): readonly Objection[] {
  return facts.outputs.flatMap((output, i) => (output.coin === null ? check(output, i) : []));
}

function lies(about: Lie["about"]): Rule["check"] {
  const found = (what: string, items: readonly { readonly lies: readonly Lie[] }[]) =>
    items.flatMap((item, i) =>
      item.lies
        .filter((lie) => lie.about === about)
        .flatMap(({ detail }) => no(`${what} ${i}: ${detail}`)),
    );
  return ({ facts }) => [...found("input", facts.inputs), ...found("output", facts.outputs)];
}

function words(outputs: readonly { readonly script: Uint8Array; readonly sats: bigint }[]): string {
  if (outputs.length === 0) return "nobody";
  return outputs.map(({ script, sats }) => `${sats} sat to ${hex(script)}`).join(", ");
}

function shownRate(millisats: bigint): string {
  return `${millisats / 1000n}.${String(millisats % 1000n).padStart(3, "0")}`;
}
