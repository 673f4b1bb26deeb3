/**
 * Ledger's packages are optional and CommonJS, and their ES modules do not load in plain Node
 * (ledger-live #15967): they are required, and only where a Ledger is used.
 */
import { createRequire } from "node:module";
import { ledgerError } from "./ledger-error.ts";

const require = createRequire(import.meta.url);

/** A LedgerError says what to install where the package is missing. */
export function optionalModule(name: string): unknown {
  try {
    return require(name);
  } catch (error) {
    throw ledgerError("not-installed", name, error);
  }
}
