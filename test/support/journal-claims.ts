/** What the victim of journal.test.ts claims and records, so that the test knows it afterwards. */
import { readPolicy } from "../../policies/policy.ts";
import type { Answer, ClaimRequest } from "../../signer/journal.ts";
import { POLICY } from "./spend.ts";

const policy = readPolicy(POLICY);

export function id(n: number, byte = 32): string {
  return n.toString(16).padStart(byte * 2, "0");
}

/** The n-th claim: one to four coins of its own. */
export function victimClaim(n: number): ClaimRequest {
  return {
    spend: {
      intent: id(n),
      txid: id(n),
      purpose: "withdrawal",
      vault: id(0, 20),
      outpoints: Array.from({ length: 1 + (n % 4) }, (_, vout) => `${id(n)}:${vout}`),
      charges: [{ account: "purpose withdrawal", sats: 1_000n }],
      changeIndex: null,
    },
    policy: policy.hash,
    bounds: [{ account: "purpose withdrawal", hours: 24 }],
    wall: 1_800_000_000_000 + n,
    height: 1_000,
    medianTimeMs: 0,
  };
}

export function victimAnswer(n: number): Answer {
  return {
    request: id(n),
    digest: id(n),
    intent: id(n),
    txid: id(n),
    signatures: victimClaim(n).spend.outpoints.map(() => new Uint8Array(64).fill(n & 0xff)),
  };
}
