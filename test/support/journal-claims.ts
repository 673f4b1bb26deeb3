/** What the victim of journal.test.ts claims and records, so that the test knows it afterwards. */
import type { ClaimContent } from "../../policies/claim.ts";
import { readPolicy } from "../../policies/document/policy.ts";
import type { Count } from "../../policies/velocity.ts";
import type { Answer, ClaimRequest } from "../../signer/journal.ts";
import { NOW, POLICY } from "./spend.ts";

const policy = readPolicy(POLICY);

export function id(n: number, byte = 32): string {
  return n.toString(16).padStart(byte * 2, "0");
}

/** A request to claim this content, with what the law would ask the history for it. */
export function claimRequest(
  content: ClaimContent,
  { counts = COUNTS, ...when }: Partial<Moment> & { readonly counts?: readonly Count[] } = {},
): ClaimRequest {
  return {
    content,
    accounts: [],
    query: {
      intent: content.intent,
      cancels: null,
      outpoints: content.outpoints,
      counts,
      vaults: [content.vault],
      statement: null,
      deposits: content.places.map(({ outpoint }) => outpoint),
      nonces: content.nonces,
    },
    policy: policy.hash,
    wall: NOW,
    height: 1_000,
    medianTimeMs: 0,
    ...when,
  };
}

type Moment = Pick<ClaimRequest, "wall" | "height" | "medianTimeMs">;
const COUNTS: readonly Count[] = [{ account: "purpose withdrawal", hours: 24 }];

/** The content of the n-th claim: one to four coins of its own. */
export function victimContent(n: number): ClaimContent {
  const outpoints = Array.from({ length: 1 + (n % 4) }, (_, vout) => `${id(n)}:${vout}`);
  return {
    intent: id(n),
    txid: id(n),
    purpose: "withdrawal",
    vault: id(0, 20),
    anchor: outpoints[0] ?? "",
    outpoints,
    charges: [{ account: "purpose withdrawal", sats: 1_000n }],
    places: [],
    userSigned: true,
    fixed: "",
    nonces: [],
  };
}

/** The n-th claim. */
export function victimClaim(n: number): ClaimRequest {
  return claimRequest(victimContent(n), { wall: NOW + n });
}

export function victimAnswer(n: number): Answer {
  return {
    request: id(n),
    digest: id(n),
    intent: id(n),
    txid: id(n),
    signatures: victimContent(n).outpoints.map(() => new Uint8Array(64).fill(n & 0xff)),
  };
}
