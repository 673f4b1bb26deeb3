/** What users have said outside of any spend: mandates, nodes, keys, recoveries (architecture section 3). */
import { heightOf } from "./model-spend.ts";
import type { Notice, Plan, VaultName } from "./plan.ts";

type Of<Kind extends Notice["kind"]> = Extract<Notice, { kind: Kind }>;

/** A mandate reaches at most so far ahead of the height at which it was heard. */
const REACH = 26_000;

function heard<Kind extends Notice["kind"]>(
  { history }: Plan,
  vault: VaultName,
  kind: Kind,
): readonly Of<Kind>[] {
  return history.notices.filter((one): one is Of<Kind> => one.kind === kind && one.vault === vault);
}

const highest = (notices: readonly Notice[]) => Math.max(-1, ...notices.map(({ no }) => no));

/** The mandate of the highest number, unless it was revoked. */
export function mandateOf(
  plan: Plan,
  vault: VaultName,
): { readonly notice: Of<"mandate">; readonly live: boolean } | null {
  const mandates = heard(plan, vault, "mandate");
  const number = highest(mandates);
  const notice = mandates.find(({ no }) => no === number);
  if (notice === undefined || highest(heard(plan, vault, "revoke")) >= number) return null;
  const live = notice.until >= heightOf(plan) && notice.until - notice.height <= REACH;
  return { notice, live };
}

export function nodeOf(plan: Plan, vault: VaultName): string | null {
  const nodes = heard(plan, vault, "node");
  return nodes.find(({ no }) => no === highest(nodes))?.node ?? null;
}

/** The operating key that the vault's key has named last. */
export function delegateOf(plan: Plan, vault: VaultName): Of<"delegate"> | null {
  const delegates = heard(plan, vault, "delegate");
  return delegates.find(({ no }) => no === highest(delegates)) ?? null;
}

/** Heights of the announcements that nobody has stopped. */
export function announced(
  plan: Plan,
  { vault, way, to }: { vault: VaultName; way: "lsp-gone" | "user-lost"; to: VaultName | null },
): readonly number[] {
  if (way === "lsp-gone") {
    const stopped = highest(heard(plan, vault, "stop"));
    return heard(plan, vault, "lsp-gone").flatMap(({ no, height }) => (no > stopped ? height : []));
  }
  const words = plan.history.notices.filter(
    (one) => one.vault === vault && one.kind !== "user-lost",
  );
  // Any message of the old key stops it.
  return heard(plan, vault, "user-lost").flatMap(({ to: named, height }) =>
    named === to && !words.some((word) => word.height >= height) ? height : [],
  );
}
