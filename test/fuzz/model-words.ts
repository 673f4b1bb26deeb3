/** What the PSBT says of keys and paths, who has signed it, and what a signature would commit to. */
import { mandateOf } from "./model-notices.ts";
import { fitting } from "./model-purposes.ts";
import {
  goodBy,
  heightOf,
  needsUser,
  never,
  type Objection,
  type Seen,
  seen,
  userSigned,
} from "./model-spend.ts";
import {
  type InputWord,
  isPlace,
  type OutputWord,
  type Plan,
  VAULTS,
  type VaultName,
} from "./plan.ts";

/** BIP371 fields are hints: silence is no lie, nor are fields that nobody knows. */
const SILENT: readonly (InputWord | OutputWord)[] = [
  "no-derivations",
  "no-internal-key",
  "no-merkle-root",
  "no-leaf",
  "no-leaf-hashes",
  "no-words",
  "unknown-field",
  "proprietary-field",
];

/** Fields that no co-signing needs, on whoever's coin. */
const BURDENS: readonly InputWord[] = [
  "final-witness",
  "key-path-signature",
  "redeem-script",
  "musig-nonce",
  "preimage",
];

export function wordObjections(spend: Seen): readonly Objection[] {
  const { plan, paper, inputs } = spend;
  const { law, intent } = plan;
  const height = heightOf(plan);
  const { locktime } = paper;
  const late =
    locktime >= 500_000_000 ||
    (height === 0
      ? locktime > 5_000_000
      : locktime < height - law.past || locktime > height + law.future);
  // A label that does not fit frees nobody from asking the user.
  const misnamed = !fitting(spend).includes(intent.purpose);
  const asksUser =
    law.role !== "user" && (misnamed || (needsUser(intent.purpose) && !bumpedWithoutUser(spend)));
  const users = inputs.filter(({ place }) => place !== null && VAULTS[place.vault].kind === "user");
  const complete = paper.inputs.every(({ said }) => said !== null);
  return [
    ...never(
      "words",
      inputs.some(({ input, place }) =>
        input.words.some(
          (word) => BURDENS.includes(word) || (place !== null && !SILENT.includes(word)),
        ),
      ) || spend.outputs.some((output) => lies(spend, output)),
    ),
    ...never(
      "sighash-default",
      paper.inputs.some(({ sighash }) => sighash !== null && sighash !== 0),
    ),
    ...never(
      "signatures-valid",
      inputs.some(
        ({ input, place }) =>
          place !== null && input.signatures.some(({ how }) => how !== "good" || !complete),
      ),
    ),
    ...never(
      "user-signs-first",
      asksUser && users.some(({ input }) => !complete || !goodBy(input, "user")),
    ),
    ...never("tx-version", paper.version !== 2),
    ...never(
      "sequence-replaceable",
      paper.inputs.some(({ sequence }) => sequence !== 0xfffffffd),
    ),
    ...never("locktime-recent", late),
  ];
}

/** What an output's words say that is not so. */
function lies({ plan }: Seen, { output: { words, to }, place }: Seen["outputs"][number]): boolean {
  const named = [plan.intent.vault, ...plan.intent.parties];
  const registered = named.filter((name) => plan.registered.includes(name));
  const known = isPlace(to) && sharesKey(to.vault, registered);
  const pathless = words.some((word) =>
    ["no-derivations", "no-words", "fingerprint"].includes(word),
  );
  if (isPlace(to) && place === null && known && !pathless) return true;
  return words.some((word) => {
    if (SILENT.includes(word) || word === "stranger-derivation") return false;
    // A key that the payee shows is the payee's own business, if there can be one.
    if (word === "key-alone") return !isPlace(to) && to.pay !== "p2tr" && to.pay !== "no-point";
    // A vault that nobody knows is a stranger: its path says nothing to us, its tree must be true.
    if (isPlace(to) && place === null) return word === "internal-key" || word === "other-tree";
    return true;
  });
}

/** A path to a key of a vault that is known claims that vault, though another may have the key too. */
function sharesKey(vault: VaultName, named: readonly VaultName[]): boolean {
  const keys = named.flatMap((name) => Object.values(VAULTS[name].holders));
  return Object.values(VAULTS[vault].holders).some((key) => keys.includes(key));
}

/** The bump cap of the mandate, with the user's signature on the original as evidence. */
function bumpedWithoutUser(spend: Seen): boolean {
  const { plan, paper, fee } = spend;
  const { original } = plan.evidence;
  const { law, intent, history } = plan;
  const mandate = mandateOf(plan, intent.vault);
  const height = heightOf(plan);
  if (original === null || intent.purpose !== "withdrawal" || law.bumps === 0) return false;
  if (mandate === null || !mandate.live) return false;
  const before = seen(plan, original);
  const recent = original.locktime >= height - law.past && original.locktime <= height + law.future;
  const signed = history.claims.some(({ intent: own, tx }) => own === "own" && tx === "original");
  const coins = (one: Plan["paper"]) => String(one.inputs.map(({ coin }) => coin).sort());
  const scripts = (one: Seen) => String(one.outputs.map(({ key }) => key).sort());
  const raise = fee === null || before.fee === null ? 0n : fee - before.fee;
  return (
    userSigned(before) &&
    (recent || signed) &&
    coins(original) === coins(paper) &&
    scripts(before) === scripts(spend) &&
    fixedOutputs(before) === fixedOutputs(spend) &&
    raise > 0n &&
    raise <= mandate.notice.bump
  );
}

/** All outputs but the change of who pays the higher fee. */
function fixedOutputs({ flows, outputs }: Seen): string {
  const treasury = flows.find(({ info }) => info.kind === "treasury");
  const payer = treasury ?? flows.find(({ inputs }) => inputs > 0);
  return String(
    outputs
      .filter(({ place }) => place === null || place.vault !== payer?.vault)
      .map(({ key, sats }) => `${key}:${sats}`)
      .sort(),
  );
}
