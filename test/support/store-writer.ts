/**
 * A process that adds one to a balance so often: `store-writer.ts PLACE TIMES`. It says `ready`,
 * and begins when its standard input ends.
 */
import { once } from "node:events";
import { openStoreAt, readStorePlace } from "../../orchestrator/io/store-place.ts";
import { silentLog } from "../../orchestrator/log.ts";

const [text = "", times = "0"] = process.argv.slice(2);
const place = readStorePlace(text);
if (place === null) throw new Error("no place of a store");
const store = await openStoreAt(place, { network: "regtest", log: silentLog });
process.stdout.write("ready\n");
process.stdin.resume();
await once(process.stdin, "end");
for (let n = 0; n < Number(times); n += 1) {
  await store.transaction(async (db) => {
    const { amount } = await db.selectFrom("balances").select("amount").executeTakeFirstOrThrow();
    // A turn of the loop between reading and writing, in which others have their chance.
    await new Promise((resolve) => setImmediate(resolve));
    await db
      .updateTable("balances")
      .set({ amount: amount + 1n })
      .execute();
  });
}
await store.close();
