/**
 * The three that sign in `bench sign`: a whole guard, the node's wallet, and the bare curve. Each
 * returns its time, and each answer is checked outside the clock.
 */
import { base64 } from "@scure/base";
import * as ecc from "tiny-secp256k1";
import { sha256 } from "../../policies/bitcoin/hash.ts";
import { type Psbt, readPsbt, readPsbtText } from "../../policies/bitcoin/psbt.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import { spendFacts } from "../../policies/facts.ts";
import type { VaultScripts } from "../../policies/vault-scripts.ts";
import type { CurvePool } from "../../signer/curve.ts";
import type { Key, Signer } from "../../signer/signer.ts";
import type { ChainSource, Ground } from "./ground.ts";
import type { FreshSpend } from "./house.ts";
import { BenchError, measured } from "./result.ts";
import { type StageTimes, stopwatch } from "./stages.ts";
import { timed } from "./timing.ts";

/** Who signs: the first signer gets no signature, the second verifies those of the first. */
export const SEATS = ["first", "second"] as const;
export type Seat = (typeof SEATS)[number];
const ROLE_OF = { first: "user", second: "lsp" } as const satisfies Record<Seat, string>;

export interface Signed {
  readonly ms: number;
  readonly psbt: Uint8Array;
  readonly stages: StageTimes;
}

export interface CountedSigner {
  /** `afterwards` runs when the answer is there, before it is checked. */
  readonly sign: (request: FreshSpend, afterwards?: () => Promise<void>) => Promise<Signed>;
}

/** A whole signer whose key is counted, and whose every answer is checked outside the clock. */
export async function countedSigner(
  { ground, curve }: { readonly ground: Ground; readonly curve: CurvePool },
  seat: Seat,
  chain: ChainSource,
): Promise<CountedSigner> {
  const watch = stopwatch();
  let calls = 0;
  const counted = (key: Key): Key => ({
    ...key,
    sign: (approval) => {
      calls += 1;
      return key.sign(approval);
    },
  });
  const signer = await ground.signer(ROLE_OF[seat], {
    curve: watch.curve(curve),
    wrapKey: counted,
    wrapJournal: watch.journal,
    wrapChain: watch.chain,
    chain,
  });
  return {
    sign: async (request, afterwards) => {
      watch.take();
      const before = calls;
      const { ms, value } = await timed(() => signer.sign(request));
      const stages = watch.take();
      await afterwards?.();
      measured(calls === before + 1, `the key was called ${calls - before} times for one PSBT`);
      const psbt = signedPsbt(value);
      checkSigned(readPsbt(psbt), ground.vault, seat);
      return { ms, psbt, stages };
    },
  };
}

function signedPsbt(outcome: Awaited<ReturnType<Signer["sign"]>>): Uint8Array {
  if (outcome.kind === "signed") return outcome.psbt;
  const why = outcome.violations.map(({ rule, detail }) => `${rule}: ${detail}`).join("; ");
  throw new BenchError(`an honest spend was ${outcome.kind}: ${why}`);
}

/** Every input carries valid signatures of all that have signed so far, and of nobody else. */
function checkSigned(psbt: Psbt, vault: VaultScripts, seat: Seat): void {
  const wanted = SEATS.slice(0, SEATS.indexOf(seat) + 1).map((each) => ROLE_OF[each]);
  for (const [i, { signatures }] of spendFacts(psbt, [vault]).inputs.entries()) {
    const valid = signatures.flatMap(({ role, valid: is }) => (is ? (role ?? []) : []));
    measured(
      signatures.length === wanted.length && wanted.every((role) => valid.includes(role)),
      `input ${i} was not signed by ${wanted.join(" and ")}`,
    );
  }
}

/** `walletprocesspsbt` without finalising, as our signers leave that to the combiner. */
export function nodeWallet({ node, wallet, vault }: Ground, seat: Seat) {
  return async ({ psbt }: FreshSpend): Promise<number> => {
    const text = base64.encode(psbt);
    const { ms, value } = await timed(() =>
      node.rpc.call<{ readonly psbt: string }>(
        "walletprocesspsbt",
        { psbt: text, sign: true, bip32derivs: true, finalize: false },
        { wallet: wallet(ROLE_OF[seat]) },
      ),
    );
    checkSigned(readPsbtText(value.psbt), vault, seat);
    return ms;
  };
}

/** So many BIP340 signatures and verifications in a row, on this thread alone. */
export function bareCurve(): (signs: number, verifies: number) => number {
  const secret = sha256(u32(1));
  const xOnly = ecc.xOnlyPointFromScalar(secret);
  const aux = sha256(u32(2));
  let number = 0;
  return (signs, verifies) => {
    const messages = Array.from({ length: Math.max(signs, verifies) }, () => {
      number += 1;
      return sha256(u32(number));
    });
    const sign = (message: Uint8Array) => ecc.signSchnorr(message, secret, aux);
    const others = messages.slice(signs).map(sign);
    const start = performance.now();
    const signatures = [...messages.slice(0, signs).map(sign), ...others];
    const valid = messages
      .slice(0, verifies)
      .every((message, i) => ecc.verifySchnorr(message, xOnly, signatures[i] ?? NOTHING));
    const ms = performance.now() - start;
    measured(valid, "a bare signature does not verify");
    return ms;
  };
}

const NOTHING = new Uint8Array(0);
