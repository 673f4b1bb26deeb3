/** What a signer is asked in one life, and the folder that it lives in, made once by provisioning. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { base64 } from "@scure/base";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { outpoint } from "../../policies/bitcoin/transaction.ts";
import { writeIntent } from "../../policies/intent.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { chargesOf } from "../../policies/velocity.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { lspKeyFile, registrationOf } from "./signer-room.ts";
import {
  type CoinPlan,
  HEIGHT,
  honest,
  NOW,
  POLICY,
  recipient,
  type Spend,
  type SpendOptions,
  USER_VAULT,
} from "./spend.ts";
import {
  type LifePlan,
  openWholeSigner,
  type PlannedRequest,
  placesIn,
  WHOSE,
} from "./whole-signer.ts";

/** Signs the heads of the decision log; a secret of nobody. */
const AUDIT_SECRET = sha256(new TextEncoder().encode("audit of a signer that dies"));

/** The windows hold whatever many lives take out of them. */
const WIDE = {
  ...POLICY,
  fees: { ...POLICY.fees, windows: [{ hours: 24, sats: 2_100_000_000_000_000 }] },
  purposes: {
    withdrawal: {
      ...POLICY.purposes.withdrawal,
      windows: [{ hours: 24, sats: 2_100_000_000_000_000 }],
    },
  },
};

/**
 * Four requests in which everything is written that a signer writes: a spend of one coin, another
 * intent that wants this coin, a spend of two coins, and the first spend again in PSBT version 2.
 * `life` makes the coins and payees its own.
 */
export function planOfLife(life: number): LifePlan {
  const coin = (n: number): CoinPlan => ({ branch: RECEIVE, index: life * 3 + n });
  const one = { coins: [coin(0)] };
  return planOf([
    withdrawal(`first of ${life}`, one),
    withdrawal(`rival of ${life}`, {
      ...one,
      payments: [{ script: recipient(7), sats: 2_000_000n }],
    }),
    withdrawal(`second of ${life}`, { psbtVersion: 2, coins: [coin(1), coin(2)] }),
    withdrawal(`first of ${life}`, { ...one, psbtVersion: 2 }),
  ]);
}

function withdrawal(reference: string, options: SpendOptions): Spend {
  return honest({ ...options, bend: { intent: (content) => ({ ...content, reference }) } });
}

function planOf(spends: readonly Spend[]): LifePlan {
  return {
    policy: WIDE,
    height: HEIGHT,
    now: NOW,
    coins: spends.flatMap(({ tx, spent }) =>
      tx.inputs.map((input, i) => ({
        outpoint: outpoint(input),
        sats: String(spent[i]?.sats),
        script: hex(spent[i]?.script ?? new Uint8Array(0)),
      })),
    ),
    requests: spends.map(
      ({ intent, bytes, facts }): PlannedRequest => ({
        intent: writeIntent(intent),
        id: intent.id,
        psbt: base64.encode(bytes),
        txid: facts.txid,
        outpoints: facts.inputs.map((input) => input.outpoint),
        charges: chargesOf(facts, intent).map(({ account, sats }) => ({
          account,
          sats: String(sats),
        })),
      }),
    ),
  };
}

/** Several plans asked one after the other. */
export function joined(plans: readonly LifePlan[]): LifePlan {
  const [first] = plans;
  if (first === undefined) throw new Error("no plan");
  return {
    ...first,
    coins: plans.flatMap(({ coins }) => coins),
    requests: plans.flatMap(({ requests }) => requests),
  };
}

/**
 * Makes a signer with a registered vault and a log of `decisions` records, so that a life's own
 * decisions may reach the next signed head.
 */
export async function provisionLife(
  folder: string,
  { decisions }: { readonly decisions: number },
): Promise<void> {
  const places = placesIn(folder);
  for (const file of [places.journal, places.mirror]) {
    mkdirSync(dirname(file), { recursive: true });
  }
  createJournal({ file: places.journal, ...WHOSE, mirror: places.mirror });
  writeFileSync(places.auditKey, hex(AUDIT_SECRET), { mode: 0o600 });
  lspKeyFile(folder, "first/lsp", places.key);
  const plan = { ...planOf([withdrawal("no coins", {})]), coins: [] };
  const signer = openWholeSigner({ folder, plan });
  const outcome = await signer.vaults.register(registrationOf(USER_VAULT));
  if (outcome.kind !== "registered") throw new Error(outcome.reasons.join("; "));
  const [request] = plan.requests;
  for (let n = 0; n < decisions && request !== undefined; n += 1) await signer.ask(request);
  await signer.close();
}

/** The plan as a file for a child process. */
export function writeLifePlan(folder: string, plan: LifePlan, name = "plan.json"): string {
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify(plan));
  return file;
}
