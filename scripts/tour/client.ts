/** The orchestrator's API as the tour asks it, and what it answers. */
import type { VaultDocument } from "../../policies/vault.ts";

/** The tour cannot go on; says at which step and what was answered. */
export class TourError extends Error {
  override readonly name = "TourError";
}

export interface AccountView {
  readonly id: string;
  readonly state: string;
  readonly document: VaultDocument;
  readonly possession: { readonly user: string; readonly trustee: string };
  /** By role, in hex; present once the account is open. */
  readonly proofs: Readonly<Record<"user" | "trustee" | "lsp", string>> | null;
  readonly address: string | null;
  readonly balances: { readonly availableSats: string; readonly reservedSats: string };
  readonly deposits: readonly {
    readonly outpoint: string;
    readonly sats: string;
    readonly state: string;
    readonly height: number | null;
  }[];
}

export interface IntentView {
  readonly id: string;
  readonly state: string;
  readonly sats: string;
  readonly feeSats: string | null;
  readonly feeRate: string;
  readonly txid: string | null;
  readonly height: number | null;
  readonly violations: readonly { readonly rule: string; readonly detail: string }[];
  readonly rules: readonly string[];
}

export interface StatusView {
  readonly signer: { readonly custody: string; readonly policy: { readonly name: string } };
}

export interface Client {
  readonly get: <Answer>(path: string) => Promise<Answer>;
  readonly post: <Answer>(path: string, body: unknown) => Promise<Answer>;
}

export function openClient(url: string, token: string): Client {
  async function ask<Answer>(path: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    });
    const body: unknown = await response.json();
    if (!response.ok) throw new TourError(`${path}: ${JSON.stringify(body)}`);
    return body as Answer;
  }
  return {
    get: (path) => ask(path, {}),
    post: (path, body) => ask(path, { method: "POST", body: JSON.stringify(body) }),
  };
}

/** States from which a spend does not come back by itself. */
const DEAD_ENDS = new Set(["refused", "cancelled", "conflicted"]);

export function waitFor(api: Client, id: string, states: readonly string[]): Promise<IntentView> {
  return poll(
    async () => {
      const intent = await api.get<IntentView>(`/v1/intents/${id}`);
      if (states.includes(intent.state)) return intent;
      if (!DEAD_ENDS.has(intent.state)) return null;
      const said = intent.violations.map(({ rule, detail }) => `${rule}: ${detail}`);
      throw new TourError(`the spend is ${intent.state}: ${said.join("; ")}`);
    },
    `the spend did not become ${states.join(" or ")}`,
  );
}

/** On a quiet machine each wait takes about a second. */
const WAIT_MS = 60_000;
const POLL_MS = 100;

export async function poll<Value>(look: () => Promise<Value | null>, late: string): Promise<Value> {
  const until = Date.now() + WAIT_MS;
  while (Date.now() < until) {
    const value = await look();
    if (value !== null) return value;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new TourError(`${late} within ${WAIT_MS / 1000} s`);
}
