/** The contract of every key, by a Ledger: the emulated app, and Ledger's own where there is one. */
import { describe } from "vitest";
import { keyContract } from "../contract/key.ts";
import { ledgerStand } from "../support/ledger-stand.ts";

const LABELS = Array.from({ length: 16 }, (_, n) => String(n));

describe("ledger: over the emulated app", () => {
  keyContract(async () => {
    const stand = ledgerStand();
    return { key: stand.key, labels: LABELS, register: stand.register, close: stand.close };
  });
});
