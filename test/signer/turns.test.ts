/** Turns: at most so many at once, all that wait come to their turn, the next is told to come again. */
import { expect, it } from "vitest";
import { openTurns } from "../../signer/turns.ts";

it("never runs more at once than it may, and runs all that wait, in order", async () => {
  const turns = openTurns({ atOnce: 3, waiting: 100 });
  let now = 0;
  let most = 0;
  const begun: number[] = [];
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      turns
        .take(async () => {
          begun.push(i);
          now += 1;
          most = Math.max(most, now);
          await new Promise((resolve) => setImmediate(resolve));
          now -= 1;
          if (i % 7 === 0) throw new Error("stumbled");
          return i;
        })
        ?.catch(() => -1),
    ),
  );
  expect(most).toBe(3);
  expect(begun).toEqual(Array.from({ length: 50 }, (_, i) => i));
  expect(results.filter((result) => result === -1)).toHaveLength(8);
});

it("turns away whoever comes when too many wait, and nobody afterwards", async () => {
  const turns = openTurns({ atOnce: 1, waiting: 2 });
  let open = (): void => undefined;
  const door = new Promise<void>((resolve) => {
    open = resolve;
  });
  const taken = [1, 2, 3].map((value) => turns.take(() => door.then(() => value)));
  expect(turns.take(async () => 4)).toBeNull();
  open();
  expect(await Promise.all(taken)).toEqual([1, 2, 3]);
  expect(await turns.take(async () => 5)).toBe(5);
});
