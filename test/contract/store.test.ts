/** The contract of a store, by SQLite and by a real Postgres server. */
import { join } from "node:path";
import { describe } from "vitest";
import { openStore } from "../../orchestrator/io/store.ts";
import { silentLog } from "../../orchestrator/log.ts";
import { openPostgresStore } from "../../orchestrator/postgres/store.ts";
import { temporaryFolder } from "../support/node.ts";
import { describePostgres } from "../support/postgres.ts";
import { describeStoreContract } from "./store.ts";

describe("a store on SQLite", () => {
  const folder = temporaryFolder();
  let files = 0;
  describeStoreContract({
    ground: async () => {
      files += 1;
      const path = join(folder(), `${files}.sqlite`);
      return { place: path, open: async () => openStore({ path, network: "regtest" }) };
    },
  });
});

describePostgres("a store on Postgres", (server) => {
  describeStoreContract({
    ground: async () => {
      const url = await server.database();
      return {
        place: url,
        open: () => openPostgresStore({ url, network: "regtest", log: silentLog }),
      };
    },
  });
});
