/** What a plan comes to, by the model's own reckoning: whose coins, whose outputs, how much. */
import {
  type Address,
  addressKey,
  type Input,
  type InputWord,
  isPlace,
  type Output,
  type OutputWord,
  type Paper,
  type Place,
  type Plan,
  type Purpose,
  VAULTS,
  type VaultInfo,
  type VaultName,
} from "./plan.ts";

export interface Objection {
  readonly rule: string;
  /** Whether it may pass by itself. */
  readonly later: boolean;
}

export const never = (rule: string, is: boolean): readonly Objection[] =>
  is ? [{ rule, later: false }] : [];
export const later = (rule: string, is: boolean): readonly Objection[] =>
  is ? [{ rule, later: true }] : [];

const SUPPLY = 2_100_000_000_000_000n;
export const VIRTUAL = "virtual";

export interface SeenInput {
  readonly input: Input;
  readonly key: string;
  /** Null for a coin of nobody that the intent names. */
  readonly place: Place | null;
  readonly sats: bigint;
}

export interface SeenOutput {
  readonly output: Output;
  readonly key: string;
  readonly place: Place | null;
  readonly sats: bigint;
}

export interface Flow {
  readonly vault: VaultName;
  readonly info: VaultInfo;
  readonly inputs: number;
  readonly inSats: bigint;
  readonly outSats: bigint;
}

export interface Seen {
  readonly plan: Plan;
  readonly paper: Paper;
  readonly inputs: readonly SeenInput[];
  readonly outputs: readonly SeenOutput[];
  readonly flows: readonly Flow[];
  /** Null where an amount is missing or impossible. */
  readonly fee: bigint | null;
  /** What leaves all vaults. */
  readonly external: bigint;
  /** What changes hands: paid outside, or gained by another vault. */
  readonly moved: bigint;
  readonly vbytes: bigint;
}

export const sum = (amounts: readonly bigint[]) => amounts.reduce((all, one) => all + one, 0n);
export const positive = (amount: bigint) => (amount > 0n ? amount : 0n);
const ascending = (amounts: readonly bigint[]) => [...amounts].sort((a, b) => (a < b ? -1 : 1));
/** The greatest and the smallest; 0 of none. */
export const most = (amounts: readonly bigint[]) => ascending(amounts).at(-1) ?? 0n;
export const least = (amounts: readonly bigint[]) => ascending(amounts)[0] ?? 0n;
export const loss = ({ inSats, outSats }: Flow) => positive(inSats - outSats);
export const gain = ({ inSats, outSats }: Flow) => positive(outSats - inSats);

/**
 * The vaults that the signer has registered and the intent names: all others are strangers. In what
 * comes as evidence those of its operations are known as well.
 */
function knownVaults({ intent, registered, evidence }: Plan, brought: boolean) {
  const operated = brought ? evidence.operations.map(({ vault }) => vault) : [];
  const named = [intent.vault, ...intent.parties, ...operated];
  return new Set(named.filter((vault) => registered.includes(vault)));
}

/** Words that leave no path to the place, or lead elsewhere. */
const NO_PATH: readonly string[] = ["no-derivations", "no-words", "path-index", "path-longer"];

/** Without a path the first twenty indices of both branches are searched, and no more. */
const SEARCHED = 20;

function placeOf(at: Address, hinted: boolean, known: ReadonlySet<VaultName>): Place | null {
  if (!isPlace(at) || !known.has(at.vault)) return null;
  return hinted || at.index < SEARCHED ? at : null;
}

export function seen(plan: Plan, paper: Paper = plan.paper): Seen {
  const known = knownVaults(plan, paper !== plan.paper);
  const silent = (words: readonly (InputWord | OutputWord)[]) =>
    words.some((word) => NO_PATH.includes(word));
  const inputs = paper.inputs.map((input): SeenInput => {
    const at = plan.coins.get(input.coin)?.at ?? { pay: "bare", n: 0 };
    const place = input.said === null ? null : placeOf(at, !silent(input.words), known);
    return { input, key: addressKey(at), place, sats: input.said ?? 0n };
  });
  const outputs = paper.outputs.map((output): SeenOutput => {
    const place = placeOf(output.to, !silent(output.words), known);
    return { output, key: addressKey(output.to), place, sats: output.sats };
  });
  const flows = flowsOf(inputs, outputs);
  const external = sum(outputs.filter(({ place }) => place === null).map(({ sats }) => sats));
  return {
    plan,
    paper,
    inputs,
    outputs,
    flows,
    fee: feeOf(paper),
    external,
    moved: external + sum(flows.map(gain)),
    vbytes: vbytesOf(inputs, outputs),
  };
}

function flowsOf(inputs: readonly SeenInput[], outputs: readonly SeenOutput[]): readonly Flow[] {
  const names = [...inputs, ...outputs].flatMap(({ place }) => place?.vault ?? []);
  return [...new Set(names)].map((vault) => {
    const of = <One extends { place: Place | null; sats: bigint }>(all: readonly One[]) =>
      all.filter(({ place }) => place?.vault === vault).map(({ sats }) => sats);
    return {
      vault,
      info: VAULTS[vault],
      inputs: of(inputs).length,
      inSats: sum(of(inputs)),
      outSats: sum(of(outputs)),
    };
  });
}

function feeOf({ inputs, outputs }: Paper): bigint | null {
  const spent = inputs.map(({ said }) => said);
  const paid = outputs.map(({ sats }) => sats);
  const all = [...spent, ...paid];
  if (!all.every((amount) => amount !== null && amount >= 0n && amount <= SUPPLY)) return null;
  const [into, out] = [sum(spent.map((amount) => amount ?? 0n)), sum(paid)];
  return into > SUPPLY || out > SUPPLY ? null : into - out;
}

/** Bytes of each payee's script. */
const LENGTHS: Readonly<Record<string, number>> = {
  p2wpkh: 22,
  p2wsh: 34,
  p2pkh: 25,
  p2sh: 23,
  p2tr: 34,
  funding: 34,
  "op-return": 3,
  future: 34,
  anchor: 4,
  bare: 35,
  "no-point": 34,
};

/** BIP141: a fourth of base bytes by four and witness bytes by one, rounded up. */
function vbytesOf(inputs: readonly SeenInput[], outputs: readonly SeenOutput[]): bigint {
  const length = ({ output: { to } }: SeenOutput) => (isPlace(to) ? 34 : (LENGTHS[to.pay] ?? 0));
  const base =
    10 + 41 * inputs.length + outputs.reduce((all, output) => all + 9 + length(output), 0);
  // Five items: two signatures, an empty one, the leaf of 104 bytes, the control block of 33 or,
  // beside an exit, 65.
  const each = 1 + 65 + 65 + 1 + 105 + 34;
  const exits = inputs.filter(({ place }) => place !== null && VAULTS[place.vault].exitBlocks);
  return BigInt(Math.ceil((base * 4 + 2 + inputs.length * each + exits.length * 32) / 4));
}

/** The signer's height: the node's, never below what it has seen. */
export function heightOf({ history, chain }: Plan): number {
  return Math.max(history.height, chain?.height ?? 0);
}

export function goodBy(input: Input, role: string): boolean {
  return input.signatures.some(({ by, how }) => by === role && how === "good");
}

/** Whether the user has signed for every coin of a user, over this very transaction. */
export function userSigned({ inputs, paper }: Seen): boolean {
  const own = inputs.filter(({ place }) => place !== null && VAULTS[place.vault].kind === "user");
  const complete = paper.inputs.every(({ said }) => said !== null);
  return complete && own.length > 0 && own.every(({ input }) => goodBy(input, "user"));
}

const ALONE: ReadonlySet<Purpose> = new Set<Purpose>([
  "collect",
  "top-up",
  "refresh",
  "consolidation",
  "margin",
  "escrow-out",
  "cancel",
  "recovery-user-lost",
  "proof-of-reserves",
]);

/** Architecture section 3: who goes without the user goes on evidence. */
export function needsUser(purpose: Purpose): boolean {
  return !ALONE.has(purpose);
}

const PAYING_OF_CLAIM: ReadonlySet<Purpose> = new Set<Purpose>([
  "withdrawal",
  "migration",
  "escrow-in",
  "channel-open",
  "recovery-lsp-gone",
]);

/** What the spend takes out of each user's claim: what its vault loses, less what the treasury gets. */
export function drawn({ plan, flows }: Seen): readonly { vault: VaultName; sats: bigint }[] {
  if (!PAYING_OF_CLAIM.has(plan.intent.purpose)) return [];
  const back = sum(flows.filter(({ info }) => info.kind === "treasury").map(gain));
  return flows
    .filter(({ info, inputs }) => info.kind === "user" && inputs > 0)
    .map((flow) => ({ vault: flow.vault, sats: loss(flow) - back }));
}

/** People whose approval counts. */
export function approvers({ evidence, intent, ...plan }: Plan) {
  const height = heightOf({ evidence, intent, ...plan });
  const heard = new Set<string>();
  return evidence.approvals.filter(({ person, until, for: what }) => {
    const twice = heard.has(person);
    if (what === "this") heard.add(person);
    return what === "this" && !twice && person !== intent.proposer && until >= height;
  });
}

export const fits = (amount: bigint) => amount >= 0n && amount <= SUPPLY;
