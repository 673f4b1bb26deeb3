/**
 * signed -> broadcast: the transaction is finished and stored, the node is asked whether it would
 * take it, and only then is it sent. Each part can be repeated: a crash anywhere sends once. What
 * the mempool has lost is sent again.
 */
import type { Scripts } from "../accounts/scripts.ts";
import type { Chain } from "../io/chain.ts";
import type { Clock } from "../io/clock.ts";
import type { Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { Role } from "../role.ts";
import { lastScanned } from "./blocks.ts";
import { reservedCoins } from "./coins.ts";
import type { Combiner } from "./combiner.ts";
import { defer, eachDue, type IntentRow, keepRawTx, move, settled } from "./intents.ts";

export interface BroadcastParts {
  readonly store: Store;
  readonly chain: Chain;
  readonly scripts: Scripts;
  readonly combiner: Combiner;
  readonly clock: Clock;
  readonly log: Log;
}

export function broadcastRole(parts: BroadcastParts): Role {
  const { store } = parts;
  // A mempool forgets on a restart or when it is full; once a block is often enough to look.
  let lookedAt = -1;

  async function step(): Promise<"idle"> {
    await eachDue(parts, { states: ["signed"] }, STUMBLE, (intent) => send(parts, intent));
    const height = (await lastScanned(store.db))?.height ?? -1;
    if (height !== lookedAt) {
      await eachDue(parts, { states: ["broadcast"] }, STUMBLE, (intent) =>
        sendAgain(parts, intent),
      );
      lookedAt = height;
    }
    return "idle";
  }

  return { name: "broadcast", step };
}

const STUMBLE = { rule: "node-answers", retry: "when the node is back" };

async function send(parts: BroadcastParts, intent: IntentRow): Promise<void> {
  const { store, chain, clock, log } = parts;
  const { id, txid } = intent;
  const rawTx = intent.raw_tx ?? (await finish(parts, intent));
  const acceptance = await chain.accepts(rawTx);
  if (acceptance.kind === "rejected" && !(await isMined(parts, intent))) {
    const detail = `the node would not take it: ${acceptance.reason}`;
    log.warn({ intent: id, txid, reason: acceptance.reason }, "broadcast held");
    const violation = { rule: "mempool", detail, retry: "when the node takes it" };
    await defer(store.db, { intent, now: clock(), violations: [violation] });
    return;
  }
  if (acceptance.kind === "accepted") await chain.send(rawTx);
  const at = clock();
  if (
    await move(store.db, {
      id,
      from: "signed",
      to: "broadcast",
      at,
      detail: txid ?? "",
      set: settled,
    })
  ) {
    log.info({ intent: id, txid }, "spend broadcast");
  }
}

/** Stored before it is sent: after a crash the very same bytes go out. */
async function finish(parts: BroadcastParts, intent: IntentRow): Promise<Uint8Array> {
  const { store, scripts, combiner } = parts;
  const vault = await scripts.vault(store.db, intent.vault);
  if (vault === null || intent.psbt === null) {
    throw new Error(`BUG: signed intent ${intent.id} lacks its vault or its PSBT`);
  }
  const rawTx = await combiner.finalise({ psbt: intent.psbt, vault: vault.vault.document });
  await keepRawTx(store.db, { id: intent.id, rawTx });
  return rawTx;
}

async function sendAgain(parts: BroadcastParts, intent: IntentRow): Promise<void> {
  const { chain, log } = parts;
  const { id, txid, raw_tx } = intent;
  // Without bytes of ours somebody else has sent it, and a reorg has taken it from the chain.
  if (txid === null || raw_tx === null) return;
  if ((await isMined(parts, intent)) || (await chain.inMempool(txid))) return;
  const acceptance = await chain.accepts(raw_tx);
  if (acceptance.kind === "rejected") {
    log.warn(
      { intent: id, txid, reason: acceptance.reason },
      "broadcast spend is not in the mempool",
    );
    return;
  }
  if (acceptance.kind === "accepted") await chain.send(raw_tx);
  log.info({ intent: id, txid }, "spend broadcast again");
}

/** By our own scan: its coins are spent, by it. */
async function isMined({ store }: BroadcastParts, intent: IntentRow): Promise<boolean> {
  const coins = await reservedCoins(store.db, intent.id);
  return coins.length > 0 && coins.every(({ spentBy }) => spentBy === intent.txid);
}
