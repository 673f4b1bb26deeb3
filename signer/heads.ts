/**
 * Signs the heads of the decision log by a key that takes its time, as one in a token does: beside the
 * requests, never in their way. What a forger can rewrite unseen is bounded by what is not signed yet.
 */

import { hex } from "../policies/bitcoin/hash.ts";
import { type AuditHead, headHash } from "./audit.ts";
import type { Journal } from "./journal.ts";
import type { HeadKey } from "./signer.ts";

export interface HeadsOptions {
  readonly journal: Pick<Journal, "unattested" | "attest">;
  readonly key: HeadKey;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly limits?: HeadLimits;
}

export interface HeadLimits {
  /** How often to look for decisions without a head. */
  readonly everyMs: number;
  /** Looks in a row that may fail before people are told. */
  readonly failuresMax: number;
}

const LIMITS: HeadLimits = { everyMs: 1_000, failuresMax: 30 };

export interface Heads {
  /** Attests what is unattested, now; false where the key did not sign. */
  readonly attest: () => Promise<boolean>;
  /** Attests the last decisions, and looks no more. */
  readonly close: () => Promise<void>;
}

export function openHeads({ journal, key, log, limits = LIMITS }: HeadsOptions): Heads {
  let failures = 0;
  let running: Promise<boolean> | null = null;

  async function signOne(): Promise<boolean> {
    const head = journal.unattested();
    if (head === null) return true;
    let signed: AuditHead;
    try {
      const signature = hex(await key.sign(headHash(head)));
      signed = { ...head, key: key.publicKey, signature };
    } catch (error) {
      failures += 1;
      const reason = error instanceof Error ? error.message : "unknown";
      if (failures === 1) log("audit head not signed", { sequence: head.sequence, reason });
      if (failures === limits.failuresMax) {
        log("ALARM audit heads are not signed", { sequence: head.sequence, reason });
      }
      return false;
    }
    journal.attest(signed);
    failures = 0;
    return true;
  }

  /** One at a time, however often it is asked for. */
  function attest(): Promise<boolean> {
    running ??= signOne().finally(() => {
      running = null;
    });
    return running;
  }

  const timer = setInterval(() => void attest(), limits.everyMs);
  timer.unref();
  return {
    attest,
    close: async () => {
      clearInterval(timer);
      // What is under way may be older than the last decision.
      await running;
      await attest();
    },
  };
}
