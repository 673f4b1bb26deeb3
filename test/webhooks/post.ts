/** A store with events, a receiver on a real socket, and a role that is stepped by hand. */

import type { EventData, EventKind } from "../../orchestrator/accounts/events.ts";
import { tell } from "../../orchestrator/accounts/events.ts";
import { openStore, type Store } from "../../orchestrator/io/store.ts";
import { silentLog } from "../../orchestrator/log.ts";
import { type WebhookParts, webhooksRole } from "../../orchestrator/webhooks/deliver.ts";
import { addEndpoint, type EndpointWish } from "../../orchestrator/webhooks/endpoints.ts";
import { openSender } from "../../orchestrator/webhooks/send.ts";
import type { Allowances } from "../../orchestrator/webhooks/target.ts";

export const PRIVATE: Allowances = { allowPrivate: true, hosts: [], ports: [] };
/** Receivers that are well answer long before, on any machine. */
const TIMEOUT_MS = 20_000;
export const START = 1_800_000_000_000n;

export interface Post {
  readonly store: Store;
  readonly parts: WebhookParts & { readonly allowed: Allowances };
  readonly pass: (ms: bigint) => void;
  /** One event; told once for each key. */
  readonly happen: (key: string, event?: Happening) => Promise<void>;
  /** The secret, and the endpoint's id. */
  readonly add: (url: string, wish?: Partial<EndpointWish>) => Promise<Added>;
}

export interface Happening {
  readonly kind?: EventKind;
  readonly account?: string | null;
  readonly data?: EventData;
}

export interface Added {
  readonly id: string;
  readonly secret: string;
}

export async function openPost(bend: Partial<WebhookParts> = {}): Promise<Post> {
  const store = openStore({ path: ":memory:", network: "regtest" });
  await store.db.insertInto("accounts").values(["ann", "ben"].map(accountRow)).execute();
  let now = START;
  const clock = () => now;
  const parts = {
    ...{ store, clock, log: silentLog, allowed: PRIVATE },
    sender: openSender({ allowed: PRIVATE, clock, timeoutMs: TIMEOUT_MS }),
    patience: { attemptsMax: 4, totalMs: 3_600_000n },
    ...{ perMinute: 1_000, draw: () => 0 },
    ...bend,
  };
  return {
    store,
    parts,
    pass: (ms) => {
      now += ms;
    },
    async happen(key, { kind = "deposit", account = "ann", data = {} } = {}) {
      await tell(store.db, { kind, key, account, data, at: now });
    },
    async add(url, wish = {}) {
      const all = { url, kinds: null, accounts: null, from: null, ...wish };
      const outcome = await addEndpoint(parts, all);
      if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
      return { id: outcome.endpoint.id, secret: outcome.secret ?? "" };
    },
  };
}

/** A role as a process has it that has just started, until it has nothing to do. */
export async function settle({ parts }: Pick<Post, "parts">): Promise<void> {
  const role = webhooksRole(parts);
  while ((await role.step()) === "more");
}

export function accountRow(id: string) {
  return {
    ...{ id, name: id, user_key: `${id} u`, trustee_key: `${id} t`, lsp_key: `${id} l` },
    ...{ state: "open" as const, document: "{}", proofs: null, created_at: 0n },
  };
}
