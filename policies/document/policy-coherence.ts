/**
 * What a policy document says that cannot be kept, or would never be asked for: a signer that starts
 * with it would refuse everything, or miss what its author meant (attacks.md 124).
 */
import * as ecc from "tiny-secp256k1";
import { fromHex } from "../bitcoin/hash.ts";
import type { Purpose } from "../intent.ts";
import type { ReadDocument } from "./policy-document.ts";

/** Purposes that rest on prices or statements. */
const PROVEN: readonly Purpose[] = [
  "collect",
  "top-up",
  "margin",
  "escrow-in",
  "escrow-out",
  "channel-open",
];
/** Purposes that touch the house's vaults. */
const HOUSED: readonly Purpose[] = ["collect", "top-up", "margin", "escrow-in", "escrow-out"];

/** Every reason, with its place. */
export function incoherent(document: ReadDocument): readonly string[] {
  const { fees, quorum, guardians } = document;
  const rates = fees.sat_per_vbyte;
  return [
    ...when(rates.min > rates.max, "fees.sat_per_vbyte: min is above max, nothing could be signed"),
    ...(quorum === undefined
      ? []
      : [
          ...namedTwice("quorum", quorum.people),
          ...quorum.people.flatMap(({ key }, i) =>
            when(!ecc.isPoint(fromHex(key)), `quorum.people.${i}: the key is no point`),
          ),
          ...tooFew("quorum.approvals", quorum.approvals, quorum.people.length),
        ]),
    ...(guardians === undefined
      ? []
      : [
          ...namedTwice("guardians", guardians.people),
          ...guardians.people.flatMap(({ key }, i) =>
            when(!ecc.isXOnlyPoint(fromHex(key)), `guardians.people.${i}: the key is no point`),
          ),
          ...guardians.own.flatMap((own) =>
            when(
              guardians.people.every(({ name }) => name !== own),
              `guardians.own: ${own} is none of the guardians`,
            ),
          ),
          ...tooFew("guardians.threshold", guardians.threshold, guardians.people.length),
        ]),
    ...badLifts(document),
    ...badTiers(document),
    ...missingParts(document),
    ...proofsOf(document),
  ];
}

function when(is: boolean, reason: string): readonly string[] {
  return is ? [reason] : [];
}

function tooFew(place: string, wanted: number, known: number): readonly string[] {
  return when(wanted > known, `${place}: ${wanted} of ${known} people cannot agree`);
}

/** Two people are each somebody else: another name and another x. */
function namedTwice(
  place: string,
  people: readonly { readonly name: string; readonly key: string }[],
): readonly string[] {
  return people.flatMap((person, i) =>
    people
      .slice(i + 1)
      .flatMap((other) => [
        ...when(other.name === person.name, `${place}.people: ${person.name} stands twice`),
        ...when(
          other.key.slice(-64) === person.key.slice(-64),
          `${place}.people: ${person.name} and ${other.name} have one key`,
        ),
      ]),
  );
}

/** A rule that more people than there are may lift is a mistake. */
function badLifts({ lifts, quorum }: ReadDocument): readonly string[] {
  return lifts.flatMap(({ rule, people }, i) => [
    ...tooFew(`lifts.${i}`, people, quorum?.people.length ?? 0),
    ...when(
      lifts.findIndex((other) => other.rule === rule) !== i,
      `lifts.${i}: ${rule} stands twice`,
    ),
  ]);
}

function badTiers({ purposes, quorum }: ReadDocument): readonly string[] {
  return Object.entries(purposes).flatMap(([purpose, limits]) => {
    const tiers = limits !== undefined && "approvals" in limits ? (limits.approvals ?? []) : [];
    const most = Math.max(0, ...tiers.map(({ people }) => people));
    return tooFew(`purposes.${purpose}.approvals`, most, quorum?.people.length ?? 0);
  });
}

function missingParts({ purposes, guardians, house }: ReadDocument): readonly string[] {
  const named = (purpose: Purpose) => purposes[purpose] !== undefined;
  return [
    ...PROVEN.filter(named).flatMap((purpose) =>
      when(guardians === undefined, `guardians: a ${purpose} is proven by guardians`),
    ),
    ...HOUSED.filter(named).flatMap((purpose) =>
      when(house === undefined, `house: a ${purpose} names the house's vaults`),
    ),
    ...when(
      (named("escrow-in") || named("escrow-out")) && house?.escrow === undefined,
      "house.escrow: an escrow's purposes name it",
    ),
    ...when(
      named("channel-open") && house?.node === undefined,
      "house.node: a channel-open names the LSP's node",
    ),
  ];
}

function proofsOf({ purposes: { withdrawal }, guardians }: ReadDocument): readonly string[] {
  if (withdrawal === undefined) return [];
  const limited = withdrawal.no_proof_sats !== undefined;
  return [
    ...when(
      guardians !== undefined && !limited,
      "purposes.withdrawal.no_proof_sats: is needed where guardians are named",
    ),
    ...when(
      guardians === undefined && limited,
      "guardians: withdrawals above no_proof_sats are proven by guardians",
    ),
    // Many small withdrawals are a large one that nobody has proven.
    ...when(
      (withdrawal.no_proof_sats ?? 0n) > 0n && withdrawal.vault_windows === undefined,
      "purposes.withdrawal.vault_windows: bound what one vault pays without a proof",
    ),
  ];
}
