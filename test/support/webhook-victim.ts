/** A process that sends webhooks until it is killed: `webhook-victim.ts STORE`. */
import { openStore } from "../../orchestrator/io/store.ts";
import { silentLog } from "../../orchestrator/log.ts";
import { runRoles } from "../../orchestrator/role.ts";
import { webhooksRole } from "../../orchestrator/webhooks/deliver.ts";
import { openSender } from "../../orchestrator/webhooks/send.ts";

const [, , path = ""] = process.argv;
const clock = () => BigInt(Date.now());
const role = webhooksRole({
  ...{ store: openStore({ path, network: "regtest" }), clock, log: silentLog },
  sender: openSender({ allowed: { allowPrivate: true, hosts: [], ports: [] }, clock }),
  patience: { attemptsMax: 100, totalMs: 3_600_000n },
  ...{ perMinute: 10_000, draw: () => 0 },
});
runRoles([role], { log: silentLog, paceMs: 10 });
