/** Group commit: one transaction for many, each piece whole or absent by itself. */
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Commits, openCommits } from "../../signer/commits.ts";

let db: Database.Database;
let commits: Commits;
let committed: number[];
let refuse: Error | null;

beforeEach(() => {
  db = new Database(":memory:");
  db.exec("CREATE TABLE t (n INTEGER PRIMARY KEY CHECK (n < 100)) STRICT");
  committed = [];
  refuse = null;
  commits = openCommits(db, () => {
    expect(db.inTransaction).toBe(false);
    if (refuse !== null) throw refuse;
    committed.push(rows().length);
  });
});
afterEach(() => db.close());

const rows = () => db.prepare<[], number>("SELECT n FROM t ORDER BY n").pluck().all();
const put = (n: number) => () => {
  db.prepare("INSERT INTO t VALUES (?)").run(n);
  return n;
};

describe("work for one commit", () => {
  it("is done in its order, and answered after the commit", async () => {
    const answers = [1, 2, 3].map((n) =>
      commits.add(put(n)).then((value) => [value, committed.length]),
    );
    expect(rows()).toEqual([]);
    expect(await Promise.all(answers)).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
    expect(committed).toEqual([3]);
  });

  it("sees what was done before it, also in the same transaction", async () => {
    await commits.add(put(1));
    const first = commits.add(put(2));
    expect(await Promise.all([first, commits.add(rows)])).toEqual([2, [1, 2]]);
  });

  it("that throws takes back its own and nobody else's", async () => {
    const bad = commits.add(() => {
      put(2)();
      throw new Error("no");
    });
    const others = [1, 3].map((n) => commits.add(put(n)));
    const clash = commits.add(put(1));
    await expect(bad).rejects.toThrow("no");
    await expect(clash).rejects.toThrow(/UNIQUE/);
    expect(await Promise.all(others)).toEqual([1, 3]);
    expect(rows()).toEqual([1, 3]);
  });

  it("fails as a whole when the transaction is gone", async () => {
    const answers = [
      commits.add(put(1)),
      commits.add(() => {
        // What SQLite does by itself when the disk is full.
        db.exec("ROLLBACK");
        throw new Error("disk full");
      }),
      commits.add(put(2)),
    ];
    for (const answer of await Promise.allSettled(answers)) {
      expect(answer).toMatchObject({ status: "rejected" });
    }
    expect(rows()).toEqual([]);
    expect(committed).toEqual([]);
    expect(await commits.add(put(4))).toBe(4);
  });

  it("is answered to nobody when what follows the commit fails", async () => {
    refuse = new Error("the mirror cannot be written");
    const answers = await Promise.allSettled([1, 2].map((n) => commits.add(put(n))));
    expect(answers.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    refuse = null;
    expect(await commits.add(put(3))).toBe(3);
  });
});
