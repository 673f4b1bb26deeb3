/** Those who take part, each with a key: the registered station's, or the one that is given. */
import { hex } from "../../policies/bitcoin/hash.ts";
import type { Part, Participant } from "../../policies/ceremony.ts";
import { possessionKey } from "../../policies/possession.ts";
import { readVault } from "../../policies/vault.ts";
import type { Db } from "../io/store.ts";
import { registrationsOf } from "./requests.ts";
import { stationNamed, stationOfKey } from "./stations.ts";

export interface Invited {
  readonly name: string;
  readonly role: Part;
  /** Left out: that of the station of this name. */
  readonly key?: string | undefined;
}

export interface Company {
  readonly participants: readonly Participant[];
  /** Why they cannot take part; empty: they can. */
  readonly reasons: readonly string[];
}

export async function participantsOf(
  db: Db,
  invited: readonly Invited[],
  vault: string,
): Promise<Company> {
  const participants: Participant[] = [];
  const reasons: string[] = [];
  for (const one of invited) {
    const station = await stationNamed(db, one.name);
    reasons.push(
      ...(station === null ? await strangerReasons(db, one) : stationReasons(one, station)),
    );
    participants.push({ name: one.name, role: one.role, key: station?.key ?? one.key ?? "" });
  }
  reasons.push(...(await vaultKeyReasons(db, participants, vault)));
  return { participants, reasons: reasons.map((reason) => `participants: ${reason}`) };
}

function stationReasons(
  { name, role, key }: Invited,
  station: { readonly role: string; readonly key: string },
): readonly string[] {
  return [
    ...(station.role === role ? [] : [`the station ${name} is that of a ${station.role}`]),
    ...(key === undefined || station.key === key ? [] : [`the station ${name} has another key`]),
  ];
}

async function strangerReasons(db: Db, { name, key }: Invited): Promise<readonly string[]> {
  if (key === undefined) return [`there is no station ${name}, and no key is given`];
  const other = await stationOfKey(db, key);
  return other === null ? [] : [`the key of ${name} is that of the station ${other.name}`];
}

/** A key that opens the vault is no key of a station: one signs spends, the other words. */
async function vaultKeyReasons(
  db: Db,
  participants: readonly Participant[],
  vault: string,
): Promise<readonly string[]> {
  const [registration] = await registrationsOf(db, [vault]);
  const { holders } = readVault(registration?.vault);
  const keys = holders.flatMap(({ key }) => [key.publicKey.slice(1), possessionKey(key).xOnly]);
  const used = new Set(keys.map(hex));
  return participants
    .filter(({ key }) => used.has(key))
    .map(({ name }) => `the key of ${name} is a key of the vault`);
}
