/**
 * The tests that are to notice a changed law or guard (`npm run mutants`, `npm run mutants:guard`).
 * Without those that draw at random, which would find a mutant today and miss it tomorrow, and those
 * that need a node.
 */
import { defineConfig } from "vitest/config";

/** The guard's own tests take half a minute: they are not run again for every mutant of a rule. */
const guard = process.env["MUTANTS"] === "guard";

export default defineConfig({
  test: {
    include: guard
      ? ["test/attacks/spends.test.ts", "test/signer/guard.test.ts"]
      : ["test/policies/*.test.ts"],
    exclude: ["psbt", "vault", "vault-node", "money", "*.property"].map(
      (name) => `test/policies/${name}.test.ts`,
    ),
    testTimeout: 30_000,
    maxWorkers: 1,
  },
});
