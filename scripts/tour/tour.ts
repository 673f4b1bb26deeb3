/**
 * The tour: the main jobs once, on real parts. A person registers a vault, deposits, withdraws and
 * signs first on a Ledger; the LSP's signer decides and signs on its token; the node confirms. Then
 * the LSP is gone, and user and trustee spend without it. Each step may be repeated, so an
 * interrupted tour goes on where it stopped.
 */
import { readPolicy } from "../../policies/document/policy.ts";
import { descriptorOf, readVault } from "../../policies/vault.ts";
import { readDocument } from "../../signer/config.ts";
import { openMiner } from "../miner.ts";
import type { PersonName, Provisioned } from "../provision.ts";
import type { Regtest } from "../regtest.ts";
import { type AccountView, openClient, type StatusView } from "./client.ts";
import { fund, openAccount, payee, payOut } from "./payout.ts";
import { join, register, sitDown, type TourPerson } from "./people.ts";
import { recover } from "./recovery.ts";

/** What the tour did; `--json` prints it. Amounts are sats in decimal. */
export interface Tour {
  /** When it was played, ISO 8601. */
  readonly played: string;
  readonly network: "regtest";
  readonly custody: string;
  readonly vault: {
    readonly id: string;
    readonly descriptor: string;
    readonly address: string;
  };
  readonly deposit: { readonly txid: string; readonly sats: string; readonly height: number };
  readonly withdrawal: Spent;
  readonly recovery: Spent & {
    readonly ceremony: string;
    readonly events: number;
    readonly attested: readonly string[];
  };
  readonly signers: readonly {
    readonly role: string;
    readonly custody: string;
    readonly policy: string;
    /** How many agreed; null where it had signed before this start. */
    readonly rules: number | null;
  }[];
  readonly balances: { readonly availableSats: string; readonly reservedSats: string };
  readonly statusPage: string;
}

interface Spent {
  readonly intent: string;
  readonly address: string;
  readonly sats: string;
  readonly feeSats: string;
  readonly feeRate: string;
  readonly txid: string;
  readonly height: number;
  readonly confirmed: true;
  /** What the device showed to the person who signed on it. */
  readonly screens: readonly string[];
}

export interface TourParts {
  readonly node: Regtest;
  readonly system: Provisioned;
  /** Base URL of the orchestrator. */
  readonly api: string;
  /** Ports of the emulated devices. */
  readonly devices: Readonly<Record<PersonName, number>>;
  /** Stops the LSP's signer for as long as the work takes. */
  readonly withoutLsp: <Value>(work: () => Promise<Value>) => Promise<Value>;
  readonly say: (line: string) => void;
}

export async function playTour(parts: TourParts): Promise<Tour> {
  const { node, system, say, devices } = parts;
  const api = openClient(parts.api, system.apiToken);
  const miner = await openMiner(node.rpc);
  const { people } = system;
  const at = (name: PersonName) => ({ device: devices[name], node });
  const open: TourPerson[] = [];
  const seated = (person: TourPerson) => {
    open.push(person);
    return person;
  };
  try {
    say("two people sit down at their stations, each with an emulated Ledger");
    const alone = {
      user: seated(await sitDown(people.user, at("user"))),
      trustee: seated(await sitDown(people.trustee, at("trustee"))),
    };
    say("registering a user: three keys, one vault, each holder proves possession");
    const account = await openAccount(api, alone);
    const vault = readVault(account.document);
    open.length = 0;
    const joining = { api, url: parts.api };
    const user = seated(
      await join(alone.user, { ...joining, places: at("user"), account: account.id }),
    );
    const trustee = seated(
      await join(alone.trustee, { ...joining, places: at("trustee"), account: null }),
    );
    say("the user's Ledger registers the vault, page by page, and shows its first address");
    await register(user, { vault: account.document, proofs: account.proofs ?? {} });

    say("depositing into the vault");
    const deposit = await fund(api, account, miner);
    say(`confirmed in block ${deposit.height} and booked`);
    const address = await payee(node);
    const paying = { api, user, miner, account: account.id, address, say };
    const payout = await payOut(paying);
    const status = await api.get<StatusView>("/v1/status");

    const home = await payee(node, "tour-recovery");
    const recovering = { ...{ api, user, trustee, miner, account, say }, address: home };
    const delayBlocks =
      readPolicy(readDocument(people.trustee.policy)).purposes["recovery-lsp-gone"]?.delayBlocks ??
      0;
    const recovery = await parts.withoutLsp(() => recover({ ...recovering, delayBlocks }));
    const after = await api.get<AccountView>(`/v1/accounts/${account.id}`);
    const signer = ({ station }: TourPerson, rules: number | null) => ({
      role: station.room.role,
      custody: station.room.key.custody,
      policy: station.room.status().policy.name,
      rules,
    });
    return {
      played: new Date().toISOString(),
      network: "regtest",
      custody: status.signer.custody,
      vault: { id: vault.id, descriptor: descriptorOf(vault), address: deposit.address },
      deposit: { txid: deposit.txid, sats: deposit.sats, height: deposit.height },
      withdrawal: { ...spent(payout.done, address), screens: payout.screens },
      recovery: {
        ...{ ...spent(recovery.done, home), screens: recovery.screens },
        ceremony: recovery.ceremony,
        events: recovery.events,
        attested: recovery.attested,
      },
      signers: [
        signer(user, payout.userRules),
        {
          role: "lsp",
          custody: status.signer.custody,
          policy: status.signer.policy.name,
          rules: payout.done.rules.length,
        },
        signer(trustee, recovery.trusteeRules),
      ],
      balances: after.balances,
      statusPage: `${parts.api}/`,
    };
  } finally {
    for (const { station } of open) await station.close();
  }
}

function spent(
  done: Awaited<ReturnType<typeof payOut>>["done"],
  address: string,
): Omit<Spent, "screens"> {
  return {
    intent: done.id,
    address,
    sats: done.sats,
    feeSats: done.feeSats ?? "",
    feeRate: done.feeRate,
    txid: done.txid ?? "",
    height: done.height ?? 0,
    confirmed: true,
  };
}
