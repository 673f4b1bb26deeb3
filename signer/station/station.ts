/**
 * A station: one person's own signer. It fetches what waits, judges by its own law, shows what it
 * computed itself, and signs only after the person has agreed to that very transaction.
 */
import { readIntent } from "../../policies/intent.ts";
import { readVault, type Vault, VaultError } from "../../policies/vault.ts";
import { KeyError } from "../key-error.ts";
import type { SigningRoom } from "../room.ts";
import type { SignOutcome, VaultRegistration } from "../signer.ts";
import { type Requests, StationError, type StationRequest } from "./requests.ts";
import { type Quote, type Sight, sightOf } from "./sight.ts";

export interface StationParts {
  readonly room: Pick<SigningRoom, "review" | "sign" | "registerVault" | "vault" | "tell">;
  /** Lets a person register a vault on their device; null where the key is no such device. */
  readonly enrol: ((vault: Vault) => Promise<void>) | null;
  /** Null where requests come as files. */
  readonly requests: Requests | null;
  readonly quote: () => Promise<Quote | null>;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** A vault that this station did not know: what came of its registration. */
export interface Acquaintance {
  readonly vault: Vault;
  readonly reasons: readonly string[];
}

export interface Station {
  readonly list: () => Promise<readonly StationRequest[]>;
  /** Registers the request's vaults that are unknown here, each checked by the station's own law. */
  readonly meet: (request: StationRequest) => Promise<readonly Acquaintance[]>;
  readonly look: (request: StationRequest) => Promise<Sight>;
  /**
   * Signs what the person has seen: `spendHash` is of the sight. Throws a StationError `changed` where
   * the request is another by now, and a KeyError where the device is in the way.
   */
  readonly approve: (request: StationRequest, spendHash: string) => Promise<SignOutcome>;
  readonly decline: (request: StationRequest, reason: string) => Promise<void>;
  /** Registers the request's vault on the device, with the full review; false: no device needs it. */
  readonly enrol: (request: StationRequest) => Promise<boolean>;
  /** Attests ceremonies that have ended; says which. */
  readonly attest: () => Promise<readonly string[]>;
  /** Hears what users have said since; says how many words were new or refused. */
  readonly hear: () => Promise<{ readonly heard: number; readonly refused: readonly string[] }>;
}

/** What a person's refusal on the device is called where a reason is asked for. */
const ON_DEVICE = "rejected on the device";

export function station({ room, requests, quote, log, enrol }: StationParts): Station {
  async function look(request: StationRequest): Promise<Sight> {
    const [review, price] = await Promise.all([room.review(request.request), quote()]);
    return sightOf(review, price);
  }

  async function approve(request: StationRequest, spendHash: string): Promise<SignOutcome> {
    const { spend } = await room.review(request.request);
    const { ceremony } = request;
    if (ceremony !== null && ceremony.document.spend.hash !== spendHash) {
      throw new StationError("changed", "the ceremony is about another transaction than this one");
    }
    if (spend.facts.spendHash !== spendHash) {
      throw new StationError(
        "changed",
        "the request is not the one that was shown: look at it again before you agree",
      );
    }
    let outcome: SignOutcome;
    try {
      outcome = await room.sign(request.request);
    } catch (error) {
      if (error instanceof KeyError && error.code === "rejected") {
        await requests?.decline(request, ON_DEVICE);
      }
      throw error;
    }
    if (outcome.kind === "signed") {
      await handOver(request, { psbt: outcome.psbt, spendHash });
    }
    return outcome;
  }

  async function handOver(...[request, answer]: Parameters<Requests["signed"]>): Promise<void> {
    try {
      await requests?.signed(request, answer);
    } catch (error) {
      if (!(error instanceof StationError)) throw error;
      // The same answer waits in the journal, and asking again brings it.
      const detail = `it is signed here, and not handed over yet: ${error.message}`;
      throw new StationError(error.code, detail, { cause: error });
    }
  }

  async function meet(vaults: readonly VaultRegistration[]): Promise<readonly Acquaintance[]> {
    const met: Acquaintance[] = [];
    for (const registration of vaults) {
      const vault = vaultOf(registration);
      if (room.vault(vault.id) !== null) continue;
      const outcome = await room.registerVault(registration);
      const reasons = outcome.kind === "refused" ? outcome.reasons : [];
      log("vault met", { vault: vault.id, reasons });
      met.push({ vault, reasons });
    }
    return met;
  }

  return {
    list: async () => {
      if (requests !== null) return await requests.list();
      throw new StationError(
        "unknown",
        "no orchestrator is configured: give the request as a file",
      );
    },
    meet: ({ vaults }) => meet(vaults),
    look,
    approve,
    decline: async (request, reason) => {
      log("spend declined", { intent: request.id, reason });
      await requests?.decline(request, reason);
    },
    enrol: async ({ request }) => {
      const vault = room.vault(readIntent(request.intent).vault);
      if (vault === null || enrol === null) return false;
      await enrol(vault);
      return true;
    },
    attest: async () => (await requests?.attest()) ?? [],
    hear: async () => {
      let heard = 0;
      const refused: string[] = [];
      for (const { words, vaults } of (await requests?.notices()) ?? []) {
        try {
          // Words about a vault are heard by those alone who have registered it.
          await meet(vaults);
          const outcome = await room.tell(words);
          if (outcome.kind === "heard") heard += 1;
          else refused.push(...outcome.reasons);
        } catch (error) {
          // One who says junk, or names a vault that the device does not vouch for, keeps nobody else
          // from being heard.
          if (!(error instanceof StationError || error instanceof KeyError)) throw error;
          refused.push(error.message);
        }
      }
      return { heard, refused };
    },
  };
}

function vaultOf({ vault }: VaultRegistration): Vault {
  try {
    return readVault(vault);
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    throw new StationError("malformed", error.message, { cause: error });
  }
}
