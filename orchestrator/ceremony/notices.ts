/**
 * What users say outside of any spend: mandates, announcements, stop. Whoever carries the words, the
 * signature under them is what counts; each is kept once, shown to every station whose law needs it,
 * and told to the LSP's signer until it has heard or refused.
 */
import { fromHex } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { type Notice, readNotice, signsNotice } from "../../policies/evidence/notice.ts";
import type { VaultScripts } from "../../policies/vault-scripts.ts";
import type { Hears, VaultRegistration, Words } from "../../signer/signer.ts";
import type { Scripts } from "../accounts/scripts.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Row, Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { Role } from "../role.ts";
import { userSpoke } from "../spend/recover.ts";
import { type Unheard, unheard } from "./heard.ts";
import { registrationsOf } from "./requests.ts";
import type { StationRow } from "./stations.ts";

export interface NoticeParts {
  readonly store: Store;
  readonly scripts: Scripts;
  readonly clock: Clock;
  readonly log: Log;
  readonly network: Network;
}

export type NoticeAnswer =
  | { readonly kind: "kept"; readonly notice: Notice; readonly fresh: boolean }
  | Unheard;

/** As a signer has it; only what takes back is always heard. */
const NOTICES_MAX = 1_000;

export async function keepNotice(
  { store, scripts, clock, log, network }: NoticeParts,
  station: StationRow,
  words: Words,
): Promise<NoticeAnswer> {
  const notice = readNotice(words.text);
  if (notice === null) return unheard("content", "text: it is no notice");
  if (notice.network !== network) return unheard("content", `text: this is ${network}`);
  const vault = await scripts.vault(store.db, notice.vault);
  const own = vault !== null && (await speaksFor(store.db, station, notice.vault));
  if (vault === null || !own) return unheard("content", "text: there is no such vault");
  const reasons = await unsigned({ store, scripts }, { notice, words, vault });
  if (reasons.length > 0) return unheard("content", ...reasons);
  return await store.transaction(async (db): Promise<NoticeAnswer> => {
    if (await isKept(db, words.text)) return { kind: "kept", notice, fresh: false };
    const takesBack = notice.kind === "stop" || notice.kind === "revoke";
    if (!takesBack && (await count(db, notice.vault)) >= NOTICES_MAX) {
      return unheard("content", "text: this vault has said too much already");
    }
    await db
      .insertInto("notices")
      .values({
        ...{ vault: notice.vault, kind: notice.kind, text: words.text, signature: words.signature },
        ...{ at: clock(), told: "waiting", reasons: "[]", retry_at: 0n, attempts: 0n },
      })
      .execute();
    if (notice.kind !== "user-lost") {
      const detail = `the user has spoken: ${notice.kind} ${notice.no}`;
      await userSpoke(db, { vault: notice.vault, at: clock(), detail });
    }
    log.info({ vault: notice.vault, notice: notice.kind, station: station.name }, "notice kept");
    return { kind: "kept", notice, fresh: true };
  });
}

/** A user's station carries the words of its own account, any other those of all. */
async function speaksFor(db: Db, station: StationRow, vault: string): Promise<boolean> {
  if (station.role !== "user") return true;
  const row = await db
    .selectFrom("vaults")
    .select("id")
    .where("id", "=", vault)
    .where("account", "=", station.account ?? "")
    .executeTakeFirst();
  return row !== undefined;
}

interface Said {
  readonly notice: Notice;
  readonly words: Words;
  readonly vault: VaultScripts;
}

async function unsigned(
  { store, scripts }: Pick<NoticeParts, "store" | "scripts">,
  { notice, words, vault }: Said,
): Promise<readonly string[]> {
  const to = notice.kind === "user-lost" ? await scripts.vault(store.db, notice.to) : null;
  if (notice.kind === "user-lost" && to === null) {
    return ["text: the vault where the coins would go is not registered"];
  }
  const signature = fromHex(words.signature);
  const parties = { vault: vault.vault, to: to?.vault ?? null };
  return signsNotice(notice, { text: words.text, signature }, parties)
    ? []
    : ["signature: it is not of the key that may say this"];
}

async function isKept(db: Db, text: string): Promise<boolean> {
  const row = await db
    .selectFrom("notices")
    .select("sequence")
    .where("text", "=", text)
    .executeTakeFirst();
  return row !== undefined;
}

async function count(db: Db, vault: string): Promise<bigint> {
  const { count: found } = await db
    .selectFrom("notices")
    .select((eb) => eb.fn.countAll<bigint>().as("count"))
    .where("vault", "=", vault)
    .executeTakeFirstOrThrow();
  return found;
}

export interface NoticeView extends Words {
  /** To ask from, the next time. */
  readonly sequence: number;
  /** The vault that speaks, and that of a recovery: a signer hears no stranger. */
  readonly vaults: readonly VaultRegistration[];
  /** Whether the LSP's signer has heard it. */
  readonly told: "waiting" | "heard" | "refused";
}

/** Who judges spends by what users said. */
const JUDGES: ReadonlySet<StationRow["role"]> = new Set<StationRow["role"]>([
  "trustee",
  "second-trustee",
  "verifier",
]);

const SHOWN_MAX = 100;

/** Those after a sequence, oldest first: a user's own, all for those who judge, none for others. */
export async function noticesFor(
  db: Db,
  station: StationRow,
  after: number,
): Promise<readonly NoticeView[]> {
  const { role, account } = station;
  if (role !== "user" && !JUDGES.has(role)) return [];
  const rows = await db
    .selectFrom("notices")
    .innerJoin("vaults", "vaults.id", "notices.vault")
    .selectAll("notices")
    .where("sequence", ">", BigInt(after))
    .$if(role === "user", (query) => query.where("account", "=", account ?? ""))
    .orderBy("sequence")
    .limit(SHOWN_MAX)
    .execute();
  return Promise.all(rows.map((row) => noticeView(db, row)));
}

async function noticeView(db: Db, row: Row<"notices">): Promise<NoticeView> {
  const notice = readNotice(row.text);
  const named = notice?.kind === "user-lost" ? [row.vault, notice.to] : [row.vault];
  return {
    sequence: Number(row.sequence),
    text: row.text,
    signature: row.signature,
    vaults: await registrationsOf(db, named),
    told: row.told,
  };
}

/** After a signer that did not answer: two seconds, then twice as long, up to five minutes. */
const RETRY_MS_MIN = 2_000n;
const RETRY_MS_MAX = 300_000n;

/** Tells the LSP's signer, which hears the same words twice as once. */
export function noticesRole(parts: Omit<NoticeParts, "scripts" | "network">, signer: Hears): Role {
  const { store, clock } = parts;

  async function step(): Promise<"idle"> {
    const rows = await store.db
      .selectFrom("notices")
      .selectAll()
      .where("told", "=", "waiting")
      .where("retry_at", "<=", clock())
      .orderBy("sequence")
      .limit(SHOWN_MAX)
      .execute();
    for (const row of rows) {
      // One that does not answer would let each of many wait for its silence.
      if (!(await tell(parts, signer, row))) break;
    }
    return "idle";
  }

  return { name: "notices", step };
}

/** False: the signer did not answer. */
async function tell(
  { store, clock, log }: Pick<NoticeParts, "store" | "clock" | "log">,
  signer: Hears,
  row: Row<"notices">,
): Promise<boolean> {
  const { sequence, vault, kind, text, signature } = row;
  let answered = true;
  const outcome = await signer.tell({ text, signature }).catch((error: unknown) => {
    answered = false;
    const reasons = [error instanceof Error ? error.message : String(error)];
    return { kind: "held" as const, reasons };
  });
  const reasons = outcome.kind === "heard" ? [] : outcome.reasons;
  const waits = RETRY_MS_MIN << (row.attempts < 10n ? row.attempts : 10n);
  await store.db
    .updateTable("notices")
    .set({
      told: outcome.kind === "held" ? "waiting" : outcome.kind,
      reasons: JSON.stringify(reasons),
      retry_at: clock() + (waits < RETRY_MS_MAX ? waits : RETRY_MS_MAX),
      attempts: row.attempts + 1n,
    })
    .where("sequence", "=", sequence)
    .where("told", "=", "waiting")
    .execute();
  const say = { vault, notice: kind, reasons };
  if (outcome.kind === "heard") log.info(say, "notice told");
  else log.warn(say, `notice ${outcome.kind}`);
  return answered;
}
