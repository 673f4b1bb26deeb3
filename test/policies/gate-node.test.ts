/**
 * Nothing passes the gate that a real node refuses (v0) or that scure refuses (v0 and v2): mutants of
 * honest PSBTs and of the BIPs' own, another seed each run. `npm run fuzz:gate` runs longer and says
 * how long the slowest took.
 */
import { expect, it } from "vitest";
import { writePsbt } from "../../policies/bitcoin/psbt.ts";
import { gateRead, nodeDisagreements, scureDisagreement, told } from "../support/gate-opinions.ts";
import { describeNode } from "../support/node.ts";
import { mutantBases, psbtMutants } from "../support/psbt-mutants.ts";

const CASES = 6_000;

describeNode("mutants that pass the gate", (node) => {
  it("are read by scure and by the node, but for what has a reason", async () => {
    const seed = Math.floor(Math.random() * 1_000_000);
    const mutant = psbtMutants(mutantBases(), seed);
    const passed = Array.from({ length: CASES }, (_, n) => mutant(n)).flatMap((bytes) => {
      const psbt = gateRead(bytes);
      return psbt === null ? [] : [{ psbt, bytes }];
    });
    const byScure = passed.flatMap(({ psbt, bytes }) => scureDisagreement(psbt, bytes) ?? []);
    const { asked, found } = await nodeDisagreements(node.rpc, passed);
    const unexplained = [...byScure, ...found].filter(({ known }) => known === null);
    expect(unexplained.map(told), `npm run fuzz:gate -- --seed ${seed} --cases ${CASES}`).toEqual(
      [],
    );
    // Without these the test would say nothing.
    expect(asked).toBeGreaterThan(CASES / 50);
    expect(passed.length - asked).toBeGreaterThan(CASES / 100);
  });

  it("are written back byte for byte", () => {
    const mutant = psbtMutants(mutantBases(), 1);
    for (let n = 0; n < CASES; n += 1) {
      const bytes = mutant(n);
      const psbt = gateRead(bytes);
      if (psbt !== null) expect(Buffer.compare(writePsbt(psbt), bytes)).toBe(0);
    }
  });
});
