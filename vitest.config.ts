import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Commands are processes of their own; on a busy machine each takes seconds to start.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // Two cores: more workers than that only fight the regtest node and the HSM child for them.
    maxWorkers: 2,
  },
});
