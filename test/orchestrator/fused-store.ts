/** A store that dies at a chosen statement, as a killed process would: nothing after it is done. */
import type { KyselyPlugin } from "kysely";
import { openStore, type Store } from "../../orchestrator/io/store.ts";

export class KilledError extends Error {
  override readonly name = "KilledError";
}

export interface FusedStore extends Store {
  /** Statements until it dies; null: it does not. */
  readonly light: (statements: number | null) => void;
}

export function openFusedStore(): FusedStore {
  const store = openStore({ path: ":memory:", network: "regtest" });
  let left: number | null = null;
  const fuse: KyselyPlugin = {
    transformQuery({ node }) {
      if (left !== null) {
        left -= 1;
        if (left < 0) throw new KilledError("killed between two statements");
      }
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  return {
    light: (statements) => {
      left = statements;
    },
    db: store.db.withPlugin(fuse),
    transaction: (body) => store.transaction((db) => body(db.withPlugin(fuse))),
    close: store.close,
  };
}
