import { afterAll, describe, expect, it } from "vitest";
import { buildPsbt } from "../../orchestrator/spend/build.ts";
import { combine, finalise } from "../../orchestrator/spend/combine.ts";
import { CombinerError, openCombiner } from "../../orchestrator/spend/combiner.ts";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { sats } from "../../policies/money.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { household, signWith } from "./holders.ts";

const home = household("combiner");
const unsigned = buildPsbt({
  vault: home.vault,
  coins: [{ outpoint: `${"ab".repeat(32)}:0`, sats: sats(9_000n), branch: RECEIVE, index: 0 }],
  payments: [{ script: fromHex(`5120${"77".repeat(32)}`), sats: sats(8_000n) }],
  change: null,
  locktime: 1,
});
const partials = [home.user, home.lsp].map((who) => signWith(unsigned, home.vault, who));
const vault = home.vault.vault.document;

describe("the combining thread", () => {
  const combiner = openCombiner();
  afterAll(() => combiner.close());

  it("does what the pure functions do", async () => {
    const here = combine({ unsigned, partials, vaults: [home.vault] });
    const there = await combiner.combine({
      unsigned: writePsbt(unsigned),
      partials: partials.map(writePsbt),
      vault,
    });
    expect({ ...there, psbt: readPsbt(there.psbt) }).toEqual({
      ...here,
      psbt: readPsbt(there.psbt),
    });
    expect(there.psbt).toEqual(writePsbt(here.psbt));
    expect(await combiner.finalise({ psbt: there.psbt, vault })).toEqual(
      finalise(here.psbt, [home.vault]).rawTx,
    );
  });

  it("answers a fault for what cannot be done, and works on", async () => {
    const junk = combiner.finalise({ psbt: Uint8Array.of(1, 2, 3), vault });
    await expect(junk).rejects.toBeInstanceOf(CombinerError);
    await expect(combiner.finalise({ psbt: writePsbt(unsigned), vault })).rejects.toMatchObject({
      code: "fault",
      passing: false,
    });
    const all = await Promise.all(
      Array.from({ length: 20 }, () =>
        combiner.combine({ unsigned: writePsbt(unsigned), partials: [], vault }),
      ),
    );
    expect(all.map(({ signedBy }) => signedBy)).toEqual(all.map(() => []));
  });

  it("sends a flood away and says that it may come back", async () => {
    const flood = Array.from({ length: 150 }, () =>
      combiner.combine({ unsigned: writePsbt(unsigned), partials: [], vault }).then(
        () => "done",
        (error: unknown) => (error instanceof CombinerError ? error.code : "?"),
      ),
    );
    const outcomes = await Promise.all(flood);
    expect(outcomes.filter((outcome) => outcome === "done")).toHaveLength(100);
    expect(outcomes.filter((outcome) => outcome === "busy")).toHaveLength(50);
  });
});
