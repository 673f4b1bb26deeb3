/**
 * built -> user-signed -> signed. The user signs first; then the LSP's signer is asked, decides by
 * its own law, and its answer is stored, whatever it is. Where the user is lost, the LSP's signer is
 * asked first: built -> held -> lsp-signed.
 */

import { PsbtFault, readPsbtText, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { equal } from "../../policies/bitcoin/wire.ts";
import { readIntent, writeIntent } from "../../policies/intent.ts";
import type { Role as Holder, VaultDocument } from "../../policies/vault.ts";
import type { Signer } from "../../signer/signer.ts";
import type { Scripts } from "../accounts/scripts.ts";
import type { Clock } from "../io/clock.ts";
import type { Store } from "../io/store.ts";
import type { Log } from "../log.ts";
import type { Role } from "../role.ts";
import type { Rejected } from "./combine.ts";
import type { Combiner } from "./combiner.ts";
import {
  type Due,
  defer,
  deferral,
  eachDue,
  evidenceOf,
  findIntent,
  type IntentRow,
  move,
  objections,
  settled,
} from "./intents.ts";
import { userSpoke } from "./recover.ts";
import { refuseUnsigned } from "./reserve.ts";
import { askedFirst, askedOf, firstSigner } from "./signers.ts";

export interface SignParts {
  readonly store: Store;
  readonly scripts: Scripts;
  readonly signer: Signer;
  readonly combiner: Combiner;
  readonly clock: Clock;
  readonly log: Log;
}

export interface PartialRefusal {
  readonly kind: "refused";
  readonly code: "psbt" | "signatures" | "state";
  readonly reasons: readonly string[];
}

export type UserPsbtOutcome =
  | { readonly kind: "accepted"; readonly fresh: boolean; readonly rejected: readonly Rejected[] }
  | PartialRefusal;

export type PartialOutcome =
  | {
      readonly kind: "valid";
      /** All valid signatures so far, with these. */
      readonly psbt: Uint8Array;
      readonly signedBy: readonly Holder[];
      readonly rejected: readonly Rejected[];
    }
  | PartialRefusal;

export interface PartialPsbt {
  readonly intent: IntentRow;
  /** Base64. */
  readonly text: string;
  /** Whose signature must be on every input. */
  readonly by: Holder;
}

/** Verifies a signed PSBT and puts its signatures to those that are there. Writes nothing. */
export async function checkPartial(
  parts: Omit<SignParts, "signer">,
  { intent, text, by }: PartialPsbt,
): Promise<PartialOutcome> {
  const { unsigned_psbt: unsigned, psbt: before } = intent;
  if (unsigned === null || before === null || GONE.has(intent.state)) {
    return refused("state", [`the intent is ${intent.state}`]);
  }
  let partial: Uint8Array;
  try {
    partial = writePsbt(readPsbtText(text));
  } catch (error) {
    if (error instanceof PsbtFault) return refused("psbt", [`${error.code}: ${error.message}`]);
    throw error;
  }
  const vault = await vaultOf(parts, intent);
  const { combiner } = parts;
  const own = await combiner.combine({ unsigned, partials: [partial], only: by, vault });
  const { rejected } = own;
  if (!own.signedBy.includes(by)) {
    const reasons = rejected.map(({ input, detail }) =>
      input === null ? detail : `input ${input}: ${detail}`,
    );
    return refused("signatures", [...reasons, `the ${by}'s signature is not on every input`]);
  }
  const { psbt, signedBy } = equal(before, unsigned)
    ? own
    : await combiner.combine({ unsigned, partials: [before, own.psbt], vault });
  return { kind: "valid", psbt, signedBy, rejected };
}

/** Takes the user's signed PSBT as base64; null when there is no such intent. */
export async function acceptUserPsbt(
  parts: Omit<SignParts, "signer">,
  { id, text }: { readonly id: string; readonly text: string },
): Promise<UserPsbtOutcome | null> {
  const { store, clock, log } = parts;
  const intent = await findIntent(store.db, id);
  if (intent === null) return null;
  if (firstSigner(intent.purpose) !== "user") {
    return refused("state", [`a ${intent.purpose} goes without the user`]);
  }
  const checked = await checkPartial(parts, { intent, text, by: "user" });
  if (checked.kind === "refused") return checked;
  const { psbt, rejected } = checked;
  const at = clock();
  const fresh = await store.transaction(async (db) => {
    const set = { ...settled, psbt };
    const moved = await move(db, { id, from: "built", to: "user-signed", at, set });
    // Who signs is not lost.
    if (moved) await userSpoke(db, { vault: intent.vault, at, detail: `the user signed ${id}` });
    return moved;
  });
  if (fresh) log.info({ intent: id, rejected: rejected.length }, "user signed");
  // It may have been cancelled while the signatures were checked: then nobody waits for them.
  const now = fresh ? null : await findIntent(store.db, id);
  if (now !== null && GONE.has(now.state)) return refused("state", [`the intent is ${now.state}`]);
  return { kind: "accepted", fresh, rejected };
}

/** A signature that comes now would sign nothing that still waits for it. */
const GONE = new Set(["cancelled", "refused", "conflicted"]);

const STUMBLE = { rule: "signer-answers", retry: "when the signer is back" };

export function signRole(parts: SignParts): Role {
  const { role } = parts.signer;
  const first: Due = { states: ["built"], purposes: askedFirst(role) };
  const due: Due = { states: ["user-signed", "held"], purposes: askedOf(role) };

  async function step(): Promise<"idle"> {
    await eachDue(parts, first, STUMBLE, (intent) => aboutToAsk(parts, intent));
    await eachDue(parts, due, STUMBLE, (intent) => ask(parts, intent));
    return "idle";
  }

  return { name: "sign", step };
}

/** From here on there may be a signature: its coins are not free any more just because we say so. */
async function aboutToAsk({ store, clock, signer }: SignParts, { id }: IntentRow): Promise<void> {
  const detail = `the ${signer.role}'s signer is asked first`;
  await move(store.db, { id, from: "built", to: "held", at: clock(), detail });
}

async function ask(parts: SignParts, intent: IntentRow): Promise<void> {
  const { store, signer, clock, log } = parts;
  const { id, psbt, unsigned_psbt } = intent;
  if (psbt === null || unsigned_psbt === null) throw new Error(`BUG: intent ${id} has no PSBT`);
  const document = writeIntent(readIntent(JSON.parse(intent.document)));
  const evidence = evidenceOf(intent);
  const asked = { intent: document, psbt, ...(evidence !== null && { evidence }) };
  const outcome = await signer.sign(asked);
  const from = ["user-signed", "held"] as const;
  const first = firstSigner(intent.purpose);
  switch (outcome.kind) {
    case "signed": {
      const combined = await parts.combiner.combine({
        unsigned: unsigned_psbt,
        partials: [psbt, outcome.psbt],
        vault: await vaultOf(parts, intent),
      });
      const wanted = [signer.role, first];
      if (!wanted.every((role) => role === null || combined.signedBy.includes(role))) {
        const details = combined.rejected.map(({ detail }) => detail);
        throw new Error(`the answer lacks valid signatures: ${details.join("; ") || "none given"}`);
      }
      await move(store.db, {
        id,
        from,
        to: first === signer.role ? "lsp-signed" : "signed",
        at: clock(),
        detail: `${signer.name} agreed by ${outcome.rules.length} rules`,
        set: {
          ...settled,
          psbt: combined.psbt,
          rules: JSON.stringify(outcome.rules),
        },
      });
      log.info({ intent: id, signer: signer.name, rules: outcome.rules.length }, "spend signed");
      return;
    }
    case "refused": {
      const violations = objections(outcome.violations);
      log.info({ intent: id, signer: signer.name, violations }, "spend refused");
      if (first === signer.role) {
        await store.transaction((db) => refuseUnsigned(db, { id, violations, at: clock() }));
        return;
      }
      await move(store.db, {
        id,
        from,
        to: "refused",
        at: clock(),
        detail: violations.map(({ rule }) => rule).join(", "),
        set: { violations: JSON.stringify(violations) },
      });
      return;
    }
    case "held": {
      const violations = objections(outcome.violations);
      const set = deferral({ intent, now: clock(), violations });
      if (intent.state === "held") {
        await defer(store.db, { intent, now: clock(), violations });
        return;
      }
      const detail = violations.map(({ rule }) => rule).join(", ");
      await move(store.db, { id, from: "user-signed", to: "held", at: clock(), detail, set });
      log.info({ intent: id, signer: signer.name, violations }, "spend held");
      return;
    }
  }
}

async function vaultOf(
  { store, scripts }: Pick<SignParts, "store" | "scripts">,
  intent: IntentRow,
): Promise<VaultDocument> {
  const derived = await scripts.vault(store.db, intent.vault);
  if (derived === null) throw new Error(`BUG: intent ${intent.id} names vault ${intent.vault}`);
  return derived.vault.document;
}

function refused(code: PartialRefusal["code"], reasons: readonly string[]): PartialRefusal {
  return { kind: "refused", code, reasons };
}
