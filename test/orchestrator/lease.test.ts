import { expect, it } from "vitest";
import { leased, release, take } from "../../orchestrator/io/lease.ts";
import type { Store } from "../../orchestrator/io/store.ts";
import { describeStores } from "../support/postgres.ts";

const MS = 1_000n;

describeStores("a lease", (stores) => {
  const asks = ({ db }: Store) => ({
    take: (holder: string, now: bigint) => take(db, { name: "deposits", holder, now, ms: MS }),
    release: (holder: string) => release(db, { name: "deposits", holder }),
  });

  it("is one holder's until it ends, and its token rises with each change", async () => {
    const { take } = asks(await stores.open());
    expect(await take("a", 0n)).toBe(1n);
    expect(await take("b", MS - 1n)).toBeNull();
    expect(await take("a", MS - 1n)).toBe(1n);
    expect(await take("b", 2n * MS - 2n)).toBeNull();
    expect(await take("b", 2n * MS - 1n)).toBe(2n);
    expect(await take("a", 2n * MS)).toBeNull();
  });

  it("is given away by its holder alone", async () => {
    const { take, release } = asks(await stores.open());
    await take("a", 0n);
    await release("b");
    expect(await take("b", 1n)).toBeNull();
    await release("a");
    expect(await take("b", 1n)).toBe(2n);
  });

  it("goes to one of many who ask at once", async () => {
    const { take } = asks(await stores.open());
    const tokens = await Promise.all(Array.from({ length: 8 }, (_, i) => take(`p${i}`, 0n)));
    expect(tokens.filter((token) => token !== null)).toEqual([1n]);
  });

  it("lets one of two processes step a role, the other when the first has gone", async () => {
    const { db } = await stores.open();
    let now = 0n;
    let inside = 0;
    let most = 0;
    const steps: string[] = [];
    const process = (holder: string) => {
      const step = async () => {
        inside += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setTimeout(resolve, 2));
        steps.push(holder);
        inside -= 1;
        return "more" as const;
      };
      return leased({ name: "sign", step }, { db, clock: () => now, holder, ms: Number(MS) });
    };
    const [a, b] = [process("a"), process("b")];
    for (let n = 0; n < 5; n += 1) {
      await Promise.all([a.role.step(), b.role.step()]);
      now += MS / 4n;
    }
    expect(most).toBe(1);
    expect(new Set(steps).size).toBe(1);
    const [winner, other] = steps[0] === "a" ? [a, b] : [b, a];
    expect(await other.role.step()).toBe("idle");
    await winner.close();
    expect(await other.role.step()).toBe("more");
    // Who has lost its lease notices when it asks again.
    now += MS / 2n;
    expect(await winner.role.step()).toBe("idle");
  });
});
