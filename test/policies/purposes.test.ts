/** Every purpose of architecture section 3: an honest spend of each is approved by its signers. */
import { describe, expect, it } from "vitest";
import { decide } from "../../policies/decide.ts";
import { PURPOSES } from "../../policies/intent.ts";
import { SIGNERS } from "../../policies/purpose.ts";
import { collectBatch, HONEST, LAW } from "../support/purposes.ts";
import { honest } from "../support/spend.ts";

describe.each(PURPOSES)("an honest %s", (purpose) => {
  it("is approved", () => {
    const decision = decide(honest(HONEST[purpose]()).case);
    expect("violations" in decision ? decision.violations : []).toEqual([]);
  });
});

it("a batch", () => {
  const decision = decide(honest(collectBatch()).case);
  expect("violations" in decision ? decision.violations : []).toEqual([]);
  expect([SIGNERS.collect, LAW.role]).toBeDefined();
});
