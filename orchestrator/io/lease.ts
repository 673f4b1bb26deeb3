/**
 * Who does what alone: of all processes on one database, one holds a name at a time, for a while
 * that it prolongs. A lease keeps work from being done twice at once; that nothing is booked twice
 * is still for each step's own compare-and-set to say, since a process can stand still past the end
 * of its lease and not know it. Clocks of the machines must agree within a part of the lease.
 */
import type { Role } from "../role.ts";
import type { Clock } from "./clock.ts";
import type { Db } from "./store.ts";

export interface Claim {
  readonly name: string;
  /** This process, and no other. */
  readonly holder: string;
  readonly now: bigint;
  readonly ms: bigint;
}

/**
 * The fencing token while the name is ours, null when another holds it. The token rises with each
 * change of holder and stays when a lease is prolonged, so that of two who think that they hold it
 * the higher one is right. One statement: of two who ask, one gets it.
 */
export async function take(db: Db, { name, holder, now, ms }: Claim): Promise<bigint | null> {
  const row = await db
    .insertInto("leases")
    .values({ name, holder, token: 1n, ends_at: now + ms })
    .onConflict((conflict) =>
      conflict
        .column("name")
        .doUpdateSet((eb) => ({
          holder,
          ends_at: now + ms,
          token: eb
            .case()
            .when("leases.holder", "=", holder)
            .then(eb.ref("leases.token"))
            .else(eb("leases.token", "+", 1n))
            .end(),
        }))
        .where((eb) => eb.or([eb("leases.holder", "=", holder), eb("leases.ends_at", "<=", now)])),
    )
    .returning("token")
    .executeTakeFirst();
  return row?.token ?? null;
}

/** Others need not wait for its end. */
export async function release(
  db: Db,
  { name, holder }: Pick<Claim, "name" | "holder">,
): Promise<void> {
  await db
    .updateTable("leases")
    .set({ ends_at: 0n })
    .where("name", "=", name)
    .where("holder", "=", holder)
    .execute();
}

export interface LeaseParts {
  readonly db: Db;
  readonly clock: Clock;
  readonly holder: string;
  readonly ms: number;
}

/** The same role, idle while another process holds its name. `close` gives the name away. */
export function leased(
  role: Role,
  { db, clock, holder, ms }: LeaseParts,
): { readonly role: Role; readonly close: () => Promise<void> } {
  const { name } = role;
  const claim = () => take(db, { name, holder, now: clock(), ms: BigInt(ms) });
  /** Until then it is surely ours, without asking. */
  let freshUntil = 0n;
  async function held(): Promise<boolean> {
    const now = clock();
    if (now < freshUntil) return true;
    if ((await claim()) === null) return false;
    freshUntil = now + BigInt(Math.floor(ms / 3));
    return true;
  }
  return {
    role: {
      name,
      async step() {
        if (!(await held())) return "idle";
        // A step may wait for a signer or a node longer than the lease lasts.
        const prolong = setInterval(() => void claim().catch(() => undefined), ms / 3);
        try {
          return await role.step();
        } finally {
          clearInterval(prolong);
        }
      },
    },
    close: () => release(db, { name, holder }),
  };
}
