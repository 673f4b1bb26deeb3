/**
 * The emulator as a process: Speculos' HTTP API on 127.0.0.1. Prints one line of JSON when it is
 * ready and runs until it is ended.
 *
 *   node --import tsx test/support/ledger-app/main.ts --seed "abandon … about" [--port 0]
 *     [--person auto|buttons] [--app "Bitcoin Test"] [--app-version 2.4.6]
 *     [--seed-file FILE] [--with-parent: ends when standard input does]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { NETWORKS } from "./network.ts";
import { speculosApi } from "./speculos-api.ts";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    seed: { type: "string" },
    "seed-file": { type: "string" },
    "with-parent": { type: "boolean", default: false },
    person: { type: "string", default: "auto" },
    app: { type: "string", default: "Bitcoin Test" },
    "app-version": { type: "string", default: "2.4.6" },
  },
});
const { person, app } = values;
const file = values["seed-file"];
const seed = file === undefined ? values.seed : readFileSync(file, "utf8").trim();
const isApp = (name: string): name is keyof typeof NETWORKS => Object.hasOwn(NETWORKS, name);
if (seed === undefined || !isApp(app) || (person !== "auto" && person !== "buttons")) {
  process.stderr.write(
    "usage: --seed WORDS|--seed-file FILE [--port N] [--person auto|buttons] [--app NAME]\n",
  );
  process.exit(2);
}

const server = speculosApi({
  mnemonic: seed,
  person,
  appName: app,
  version: values["app-version"],
});
server.listen(Number(values.port), "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  process.stdout.write(`${JSON.stringify({ event: "ready", port })}\n`);
});

if (values["with-parent"]) {
  process.stdin.resume();
  process.stdin.once("end", () => process.exit(0));
}
