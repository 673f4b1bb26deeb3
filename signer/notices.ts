/**
 * What users tell their signers outside of any spend: mandates and their revocation, delegated keys,
 * their Lightning node, announced recoveries and the word that stops them (policies/evidence/
 * notice.ts). Each is verified against the registered vault and kept for good, with the height at
 * which it was heard: delays and expiries count from there.
 */
import { fromHex } from "../policies/bitcoin/hash.ts";
import type { Network } from "../policies/bitcoin/network.ts";
import type { ChainView } from "../policies/chain-view.ts";
import {
  type Notice,
  type NoticeKind,
  readNotice,
  signsNotice,
} from "../policies/evidence/notice.ts";
import type { Journal } from "./journal.ts";
import { BitcoindError } from "./node/bitcoind-error.ts";
import type { Chain } from "./node/chain.ts";
import type { NoticeOutcome, Words } from "./signer.ts";
import type { Vaults } from "./vaults.ts";

export interface Notices {
  /** Heard again, a notice keeps the height at which it was heard first. */
  readonly tell: (words: Words) => Promise<NoticeOutcome>;
}

export interface NoticesOptions {
  readonly journal: Journal;
  readonly network: Network;
  readonly vaults: Vaults;
  readonly chain: Chain;
  /** Wall clock in milliseconds. */
  readonly now: () => number;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** Words that only take back: they are heard whatever the node does, and however many came before. */
const TAKING_BACK: ReadonlySet<NoticeKind> = new Set<NoticeKind>(["revoke", "stop"]);

/** A person changes a mandate a few times a year; more is somebody filling the memory. */
const NOTICES_MAX = 1_000;

/** Median time lags an hour behind, three when blocks are slow: a node beyond that is catching up. */
const BEHIND_MS_MAX = 6 * 3_600_000;

export function openNotices(options: NoticesOptions): Notices {
  const { journal, network, vaults, log } = options;
  const { database } = journal;
  const known = database.prepare<[string, string], { height: bigint }>(
    "SELECT height FROM notices WHERE vault = ? AND text = ?",
  );
  const counted = database.prepare<[string], { n: bigint }>(
    "SELECT count(*) AS n FROM notices WHERE vault = ?",
  );
  const insert = database.prepare(
    "INSERT INTO notices (vault, text, signature, height, at) VALUES (?, ?, ?, ?, ?)",
  );

  function objections(notice: Notice | null, { text, signature }: Words): readonly string[] {
    if (notice === null) return ["these words are no notice that a signer knows"];
    if (notice.network !== network) return [`this signer is on ${network}`];
    const vault = vaults.byId(notice.vault);
    if (vault === null) return [`vault ${notice.vault} is not registered here`];
    const to = notice.kind === "user-lost" ? vaults.byId(notice.to) : null;
    if (notice.kind === "user-lost" && to === null) {
      return [`vault ${notice.to}, where the coins would go, is not registered here`];
    }
    const bytes = fromHex(/^(?:[0-9a-f]{128}|[0-9a-f]{130})$/.test(signature) ? signature : "");
    return signsNotice(notice, { text, signature: bytes }, { vault, to })
      ? []
      : ["the words are not signed by the key that may say them"];
  }

  async function tell(words: Words): Promise<NoticeOutcome> {
    const notice = readNotice(words.text);
    const reasons = objections(notice, words);
    if (notice === null || reasons.length > 0) return { kind: "refused", reasons };
    const { kind, vault } = notice;
    const before = known.get(vault, words.text);
    if (before !== undefined) return { kind: "heard", notice: kind, height: Number(before.height) };
    const height = await heightNow(options, kind);
    if (height === null) {
      return { kind: "held", reasons: ["the signer's node does not answer, or is behind"] };
    }
    const full = Number(counted.get(vault)?.n ?? 0n) >= NOTICES_MAX && !TAKING_BACK.has(kind);
    if (full) return { kind: "refused", reasons: [`vault ${vault} has said too much already`] };
    insert.run(vault, words.text, words.signature, height, journal.moment().clock);
    const recovery = kind === "lsp-gone" || kind === "user-lost";
    log(recovery ? "ALARM recovery announced" : "notice heard", { notice: kind, vault, height });
    return { kind: "heard", notice: kind, height };
  }

  return { tell };
}

/**
 * The height from which a notice counts. A node that is behind would let a delay begin, and so end,
 * too early; words that only take back are heard at the last height that was seen.
 */
async function heightNow(
  { journal, chain, now }: NoticesOptions,
  kind: NoticeKind,
): Promise<number | null> {
  const view = await viewOrNull(chain);
  if (view === null) return TAKING_BACK.has(kind) ? journal.moment().height : null;
  const medianTimeMs = view.medianTime * 1000;
  const wall = now();
  const { height } = journal.advance({ wall, height: view.height, medianTimeMs });
  return wall - medianTimeMs <= BEHIND_MS_MAX || TAKING_BACK.has(kind) ? height : null;
}

async function viewOrNull(chain: Chain): Promise<ChainView | null> {
  try {
    return await chain.view({ outpoints: [] });
  } catch (error) {
    if (!(error instanceof BitcoindError)) throw error;
    return null;
  }
}
