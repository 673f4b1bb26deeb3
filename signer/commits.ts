/**
 * Group commit: what many requests write goes into one transaction, because each commit waits for the
 * disk, and one wait serves all. Each piece of work is whole or absent by itself, and nobody is
 * answered before the commit.
 */
import type Database from "better-sqlite3";

export interface Commits {
  /** Runs the work in the next transaction; resolves when it is on the disk. */
  readonly add: <Value>(work: () => Value) => Promise<Value>;
}

interface Waiting {
  readonly work: () => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

type Outcome =
  | { readonly kind: "done"; readonly value: unknown }
  | { readonly kind: "failed"; readonly reason: unknown };

/**
 * Where the last commit served several, the next waits this long for company: under load fewer commits
 * serve more requests, and one who asks alone never waits.
 */
const COMPANY_MS = 3;

/** `committed` runs after each commit and before anybody is answered; if it throws, all fail. */
export function openCommits(db: Database.Database, committed: () => void): Commits {
  let queue: Waiting[] = [];
  let company = false;

  const all = db.transaction((batch: readonly Waiting[]): readonly Outcome[] =>
    batch.map(({ work }) => {
      try {
        // Nested, and so a savepoint: what throws takes back its own writes and nobody else's.
        return { kind: "done", value: db.transaction(work)() };
      } catch (reason) {
        // A full or broken disk ends the whole transaction; what was done before is gone, too.
        if (!db.inTransaction) throw reason;
        return { kind: "failed", reason };
      }
    }),
  );

  function flush(): void {
    const batch = queue;
    queue = [];
    company = batch.length > 1;
    let outcomes: readonly Outcome[];
    try {
      outcomes = all.immediate(batch);
      committed();
    } catch (reason) {
      for (const { reject } of batch) reject(reason);
      return;
    }
    for (const [i, { resolve, reject }] of batch.entries()) {
      const outcome = outcomes[i];
      if (outcome?.kind === "done") resolve(outcome.value);
      else reject(outcome?.reason);
    }
  }

  return {
    add: <Value>(work: () => Value) =>
      new Promise<Value>((resolve, reject) => {
        if (queue.length === 0) {
          if (company) setTimeout(flush, COMPANY_MS);
          else setImmediate(flush);
        }
        queue.push({ work, resolve: (value) => resolve(value as Value), reject });
      }),
  };
}
