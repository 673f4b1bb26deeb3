/** How the tables came to be, step by step, in either database's words. */
import type { Migration } from "./dialect.ts";
import { DOORS, LEASES, WEBHOOKS } from "./migrations-doors.ts";
import { CEREMONIES, EVIDENCE, FIRST, LSP_SIGNED, ROTATIONS } from "./migrations-spend.ts";
import { BOOK, DEPOSITS, EVENTS, EXITS, PRICES } from "./migrations-worth.ts";

/** In order; never edited once released, only added to. */
export const migrations: readonly Migration[] = [
  FIRST,
  CEREMONIES,
  ROTATIONS,
  EVIDENCE,
  LSP_SIGNED,
  EVENTS,
  EXITS,
  PRICES,
  BOOK,
  DEPOSITS,
  DOORS,
  LEASES,
  WEBHOOKS,
];
