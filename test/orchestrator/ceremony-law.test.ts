/** What the orchestrator asks of people, judged by the law of their stations as they would judge it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { requestsFor } from "../../orchestrator/ceremony/requests.ts";
import { readPsbtText } from "../../policies/bitcoin/psbt.ts";
import { readPolicy } from "../../policies/document/policy.ts";
import { writeNotice } from "../../policies/evidence/notice.ts";
import { readEvidence } from "../../policies/evidence.ts";
import { explain } from "../../policies/explain.ts";
import { historySchema, NO_HISTORY } from "../../policies/history.ts";
import { readIntent } from "../../policies/intent.ts";
import { readVault } from "../../policies/vault.ts";
import { company, opened, openStage, recovery, wishFor } from "./stage.ts";

const DELAY_BLOCKS = 144;
const TRUSTEE = readPolicy(
  parse(readFileSync(join(import.meta.dirname, "../../policies/trustee.regtest.yaml"), "utf8")),
);

/** The trustee's judgement, so many blocks after the announcement that it heard, or without one. */
async function judged(blocks: number | null) {
  const stage = await openStage();
  // The announcement was heard long before the spend is built.
  await stage.mine(DELAY_BLOCKS);
  const { cora } = await company(stage);
  const intent = await recovery(stage);
  await opened(stage, wishFor(intent));
  const { requests } = await requestsFor(stage.store.db, cora.station);
  const [request] = requests;
  if (request === undefined) throw new Error("nothing waits");
  const { height } = await stage.chain.tip();
  const text = writeNotice("lsp-gone", "regtest", { vault: stage.ann.vault.vault.id, no: 1 });
  const { verdict, violations } = explain({
    psbt: readPsbtText(request.psbt),
    policy: TRUSTEE,
    vaults: request.vaults.map(({ vault }) => readVault(vault)),
    intent: readIntent(request.intent),
    history: historySchema.parse({
      ...NO_HISTORY,
      height,
      ...(blocks !== null && { notices: [{ text, height: height - blocks }] }),
    }),
    chain: null,
    evidence: readEvidence(request.evidence),
    now: Number(stage.parts.clock()),
  });
  return { verdict, rules: violations.map(({ rule }) => rule) };
}

describe("a trustee's law over a request", () => {
  it("agrees from the block in which the delay has passed, and not before", async () => {
    expect(await judged(DELAY_BLOCKS)).toEqual({ verdict: "approved", rules: [] });
    const early = await judged(DELAY_BLOCKS - 1);
    expect(early).toEqual({ verdict: "held", rules: ["recovery-announced"] });
  });

  it("refuses a recovery that nobody has announced", async () => {
    expect(await judged(null)).toEqual({ verdict: "refused", rules: ["recovery-announced"] });
  });
});
