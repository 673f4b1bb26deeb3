import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 180_000,
    // Two cores: more workers than that only fight the regtest node and the HSM child for them.
    maxWorkers: 2,
  },
});
