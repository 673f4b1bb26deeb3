/**
 * A whole signer in one folder, with everything that it remembers by: journal, mirror, audit key,
 * software key, guard. It is opened alike by a process that is about to die and by the test that
 * looks at what is left. The coins lie on paper, the curve work is done on the spot.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { base64 } from "@scure/base";
import { hex } from "../../policies/bitcoin/hash.ts";
import type { CoinStatus } from "../../policies/chain-view.ts";
import { type PolicyDocument, readPolicy } from "../../policies/document/policy.ts";
import type { IntentDocument } from "../../policies/intent.ts";
import { softwareHeadKey } from "../../signer/audit.ts";
import { readAuditKey } from "../../signer/config.ts";
import type { CurvePool } from "../../signer/curve.ts";
import { guard } from "../../signer/guard.ts";
import { type HeadPace, openHeads } from "../../signer/heads.ts";
import { type Journal, openJournal } from "../../signer/journal.ts";
import { readMirror } from "../../signer/mirror.ts";
import type { SignOutcome } from "../../signer/signer.ts";
import { openSoftwareKey } from "../../signer/software.ts";
import { openVaults, type Vaults } from "../../signer/vaults.ts";
import { inlineCurve } from "./inline-curve.ts";

/** What is asked of a signer in one life, as a file that a child process reads. */
export interface LifePlan {
  readonly policy: PolicyDocument;
  readonly height: number;
  /** Milliseconds: the wall clock, and the chain's median time. */
  readonly now: number;
  readonly coins: readonly PaperCoin[];
  /** In the order in which they are asked. */
  readonly requests: readonly PlannedRequest[];
}

interface PaperCoin {
  readonly outpoint: string;
  readonly sats: string;
  readonly script: string;
}

export interface PlannedRequest {
  readonly intent: IntentDocument;
  readonly id: string;
  /** Base64. */
  readonly psbt: string;
  readonly txid: string;
  readonly outpoints: readonly string[];
  /** What it takes out of which account of the windows. */
  readonly charges: readonly { readonly account: string; readonly sats: string }[];
}

export interface WholeSigner {
  readonly journal: Journal;
  readonly vaults: Vaults;
  readonly ask: (request: PlannedRequest) => Promise<SignOutcome>;
  readonly close: () => Promise<void>;
}

/** Where a signer's parts lie in its folder. */
export function placesIn(folder: string) {
  return {
    journal: join(folder, "journal", "journal.db"),
    mirror: join(folder, "mirror", "high-water.json"),
    auditKey: join(folder, "audit.key"),
    key: join(folder, "key.json"),
  };
}

/** A head after every other decision; nothing waits for a time, so that each life is the same. */
const PACE: HeadPace = {
  ...{ decisions: 2, waitMs: 600_000 },
  ...{ pauseMs: 600_000, pauseMsMax: 600_000 },
  ...{ overdueMs: 600_000, closeMs: 600_000 },
};

export const WHOSE = { network: "regtest", role: "lsp" } as const;

/**
 * Opens it; `say` hears each transaction before the key is asked for it, and how far the mirror has
 * come by then: `asked TXID DECISIONS`.
 */
export function openWholeSigner(options: {
  readonly folder: string;
  readonly plan: LifePlan;
  readonly say?: (line: string) => void;
  /** Knows the vault's scripts already, where many signers are opened one after the other. */
  readonly curve?: CurvePool;
}): WholeSigner {
  const { plan, say = () => undefined, curve = inlineCurve() } = options;
  const places = placesIn(options.folder);
  const { mirror } = places;
  const journal = openJournal({ file: places.journal, ...WHOSE, mirror });
  const auditKey = softwareHeadKey(readAuditKey(places.auditKey));
  const heads = openHeads({ journal, key: auditKey, pace: PACE, log: () => undefined });
  const key = openSoftwareKey({ file: places.key, network: "regtest", curve });
  const policy = readPolicy(plan.policy);
  const now = () => plan.now;
  const vaults = openVaults({ journal, policy, key, now });
  const coins = new Map<string, CoinStatus>(
    plan.coins.map(({ outpoint, sats, script }) => [
      outpoint,
      { kind: "unspent", sats: BigInt(sats), script, height: plan.height - 10, coinbase: false },
    ]),
  );
  const signer = guard({
    name: "lsp that dies",
    policy,
    journal: heads.journal,
    vaults,
    curve,
    now,
    key: {
      ...key,
      sign: (approval) => {
        say(`asked ${approval.txid} ${readMirror(mirror).sequence}`);
        return key.sign(approval);
      },
    },
    chain: {
      view: async ({ outpoints }) => ({
        height: plan.height,
        tip: "00".repeat(32),
        medianTime: plan.now / 1000,
        coins: new Map(outpoints.map((id) => [id, coins.get(id) ?? { kind: "missing" }])),
        vaults: new Map(),
        burials: new Map(),
        blocks: new Map(),
      }),
      close: () => undefined,
    },
    log: () => undefined,
  });
  return {
    journal,
    vaults,
    ask: ({ intent, psbt }) => signer.sign({ intent, psbt: base64.decode(psbt) }),
    close: async () => {
      await heads.close();
      journal.close();
      await key.close();
    },
  };
}

/**
 * Asks everything of the plan in turn and says what came of it, a line each: `released I HEX`,
 * `said I KIND`, `failed I REASON`. A line is said when the answer is out of the guard's hands.
 */
export async function live(
  signer: WholeSigner,
  plan: LifePlan,
  say: (line: string) => void,
): Promise<void> {
  for (const [i, request] of plan.requests.entries()) {
    try {
      const outcome = await signer.ask(request);
      if (outcome.kind === "signed") say(`released ${i} ${hex(outcome.psbt)}`);
      else say(`said ${i} ${outcome.kind}`);
    } catch (error) {
      say(`failed ${i} ${error instanceof Error ? `${error.name}: ${error.message}` : "no error"}`);
    }
    // A head that is due is signed now, beside the requests.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function readLifePlan(file: string): LifePlan {
  return JSON.parse(readFileSync(file, "utf8"));
}
