/** What a Postgres server can do wrong to the store, and what the store refuses of it. */
import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import { storeOf } from "../../orchestrator/config.ts";
import type { Store } from "../../orchestrator/io/store.ts";
import { StoreError } from "../../orchestrator/io/store-error.ts";
import { readStorePlace } from "../../orchestrator/io/store-place.ts";
import { silentLog } from "../../orchestrator/log.ts";
import { openPostgresStore } from "../../orchestrator/postgres/store.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { keep, kept } from "../contract/store.ts";
import { describePostgres } from "../support/postgres.ts";

const open = (url: string, network: Network = "regtest") =>
  openPostgresStore({ url, network, log: silentLog });

async function faultOf(opening: Promise<Store>): Promise<StoreError> {
  const fault = await opening.then(
    (store) => store.close().then(() => null),
    (error: unknown) => error,
  );
  if (fault instanceof StoreError) return fault;
  throw fault ?? new Error("it opened");
}

const nameOf = (url: string) => new URL(url).pathname.slice(1);

describePostgres("a database of a Postgres server", (server) => {
  /** Ends every connection to it, as a restart of the server or a firewall would. */
  const cut = (url: string) =>
    server.operate(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${nameOf(url)}'`,
    );

  it("of a newer version is refused and left alone", async () => {
    const url = await server.database();
    const store = await open(url);
    await sql`insert into ballast_migrations (number) values (99)`.execute(store.db);
    await store.close();
    expect(await faultOf(open(url))).toMatchObject({ code: "newer" });
  });

  it("of another network or another program is refused", async () => {
    const url = await server.database();
    await (await open(url)).close();
    expect(await faultOf(open(url, "signet"))).toMatchObject({ code: "foreign" });
    await (await open(url)).close();
    const strange = await server.database();
    const other = await open(strange);
    await sql`drop table ballast_migrations`.execute(other.db);
    await other.close();
    expect(await faultOf(open(strange))).toMatchObject({ code: "foreign" });
  });

  it("that does not wait for its disk is refused", async () => {
    const url = await server.database();
    await server.operate(`alter database ${nameOf(url)} set synchronous_commit = off`);
    expect(await faultOf(open(url))).toMatchObject({ code: "unsafe" });
    await server.operate(`alter database ${nameOf(url)} set synchronous_commit = local`);
    await (await open(url)).close();
  });

  it("that becomes unsafe later gives no new connection, and keeps the old ones safe", async () => {
    const url = await server.database();
    const store = await open(url);
    await server.operate(`alter database ${nameOf(url)} set synchronous_commit = off`);
    await keep(store, 1n);
    await cut(url);
    await expect(until(() => kept(store))).rejects.toMatchObject({ code: "unsafe" });
    await store.close();
  });

  it("is migrated once by many who start at the same time", async () => {
    const url = await server.database();
    const stores = await Promise.all([open(url), open(url), open(url)]);
    for (const store of stores) await store.close();
  });

  it("may lose its connections while nothing is asked", async () => {
    const url = await server.database();
    const store = await open(url);
    await keep(store, 3n);
    await cut(url);
    expect(await until(() => kept(store))).toBe(3n);
    await store.close();
  });

  it("may lose its connection in a transaction, which then was not", async () => {
    const url = await server.database();
    const store = await open(url);
    await keep(store, 3n);
    const lost = store.transaction(async (db) => {
      await db.updateTable("balances").set({ amount: 4n }).execute();
      await cut(url);
      await db.updateTable("balances").set({ amount: 5n }).execute();
    });
    await expect(lost).rejects.toMatchObject({ name: "StoreError", code: "lost" });
    expect(await until(() => kept(store))).toBe(3n);
    await store.transaction((db) => db.updateTable("balances").set({ amount: 6n }).execute());
    expect(await kept(store)).toBe(6n);
    await store.close();
  });

  it("may lose it before the commit, which then was not", async () => {
    const url = await server.database();
    const store = await open(url);
    await keep(store, 3n);
    const lost = store.transaction(async (db) => {
      await db.updateTable("balances").set({ amount: 4n }).execute();
      await cut(url);
    });
    await expect(lost).rejects.toMatchObject({ code: "lost" });
    expect(await until(() => kept(store))).toBe(3n);
    await store.close();
  });

  it("does not commit half of what a body swallowed the fault of", async () => {
    const url = await server.database();
    const store = await open(url);
    await keep(store, 3n);
    const half = store.transaction(async (db) => {
      await db.updateTable("balances").set({ amount: 4n }).execute();
      await sql`select no_such_column`.execute(db).catch(() => undefined);
    });
    await expect(half).rejects.toThrow(/BUG/);
    expect(await kept(store)).toBe(3n);
    await store.close();
  });

  it("that is not there is said to be, with what to do", async () => {
    const url = await server.database();
    const absent = await faultOf(open(url.replace(nameOf(url), "nowhere")));
    expect(absent).toMatchObject({ code: "unreachable" });
    expect(absent.message).toContain("createdb");
  });
});

/** The first questions after a cut may still meet a connection that has just been ended. */
async function until<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "lost" || tries > 12) throw error;
    }
  }
}

describe("the URL of a database", () => {
  it("is never shown with its password", async () => {
    const url = "postgres://ann:hunter2@127.0.0.1:1/ballast";
    const fault = await faultOf(open(url));
    expect(fault).toMatchObject({ code: "unreachable" });
    expect(fault.message).toContain("ann@127.0.0.1:1/ballast");
    expect(JSON.stringify([fault.message, fault.stack, String(fault.cause)])).not.toContain(
      "hunter2",
    );
  });

  it.each([
    ["postgres://ann:p@ss@host/db", null],
    ["postgres://ann:p/w@host/db", null],
    ["postgres://ann:1?w@host/db", null],
    ["postgres://ann:p%40ss@host/db", "postgres ann@host:5432/db"],
    ["postgresql://ann@host:5433/db?sslmode=verify-full", "postgres ann@host:5433/db"],
    ["postgres:///db?host=/run/pg&user=ann", "postgres ann@/run/pg:5432/db"],
  ])("%s is read as %s", (url, name) => {
    const place = readStorePlace(url);
    expect(place?.kind === "postgres" ? place.name : place).toBe(name);
  });

  it("comes from DATABASE_URL where that is set", () => {
    const store = "/var/lib/ballast.db";
    const url = "postgres://ann@host/db";
    expect(storeOf({ store }, {})).toEqual({
      place: { kind: "sqlite", path: store },
      by: "configuration",
    });
    expect(storeOf({ store }, { DATABASE_URL: "" }).by).toBe("configuration");
    expect(storeOf({ store }, { DATABASE_URL: url })).toMatchObject({
      place: { url },
      by: "DATABASE_URL",
    });
    for (const wrong of ["/tmp/x.db", "mysql://ann:hunter2@host/db", "postgres://a:hun@ter2@h/d"]) {
      expect(() => storeOf({ store }, { DATABASE_URL: wrong })).toThrow(/DATABASE_URL is no/);
    }
  });
});
