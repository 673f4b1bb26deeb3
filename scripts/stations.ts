/** `npx ballast stations …`: whose computers sign here, and the tokens that open their pages. */
import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { PARTS } from "../policies/ceremony.ts";
import { type ApiOptions, asking, openAsk } from "./ask.ts";
import { withInput } from "./input.ts";

interface Options extends ApiOptions {
  readonly json?: boolean;
}

interface AddOptions extends Options {
  readonly role: string;
  readonly key: string;
  readonly account?: string;
  readonly out: string;
}

interface StationAnswer {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly account: string | null;
  readonly key: string;
  readonly disabled: boolean;
}

interface TokenAnswer extends StationAnswer {
  /** Null where it was given out before. */
  readonly token: string | null;
}

export function addStations(program: Command): void {
  const stations = program
    .command("stations")
    .description("whose computers sign here, and the tokens that open their pages");
  asking(stations.command("add").description("register a station; its token is given out once"))
    .argument("<name>", "as in its configuration")
    .requiredOption("--role <role>", `user, ${PARTS.join(", ")}`)
    .requiredOption("--key <hex>", 'its public key, as "station init" prints it')
    .option("--account <id>", "a user's account")
    .requiredOption("--out <file>", "where the token goes; never over another file")
    .action((name: string, options: AddOptions) =>
      withInput(options.json === true, () => add(name, options)),
    );
  asking(stations.command("list").description("every station")).action((options: Options) =>
    withInput(options.json === true, () => list(options)),
  );
  asking(stations.command("token").description("a new token; the old one opens nothing any more"))
    .argument("<id>")
    .requiredOption("--out <file>", "where it goes; never over another file")
    .action((id: string, options: Options & { readonly out: string }) =>
      withInput(options.json === true, () => renew(id, options)),
    );
  asking(stations.command("disable").description("its token opens nothing any more"))
    .argument("<id>")
    .action((id: string, options: Options) =>
      withInput(options.json === true, () => disable(id, options)),
    );
}

async function add(name: string, options: AddOptions): Promise<number> {
  const { role, key, account } = options;
  const wish = { name, role, key, ...(account !== undefined && { account }) };
  return kept(await openAsk(options)<TokenAnswer>("/v1/stations", wish), options);
}

async function renew(id: string, options: Options & { readonly out: string }): Promise<number> {
  const ask = openAsk(options);
  return kept(await ask<TokenAnswer>(`/v1/stations/${encodeURIComponent(id)}/token`, {}), options);
}

/** The token itself goes into the file alone. */
function kept(
  { token, ...station }: TokenAnswer,
  { out, json }: Options & { readonly out: string },
): number {
  if (token !== null) writeFileSync(out, `${token}\n`, { mode: 0o600, flag: "wx" });
  if (json === true) console.log(JSON.stringify({ ...station, written: token !== null }));
  else {
    console.log(line(station));
    console.log(
      token === null
        ? `It was registered before, and has its token: npx ballast stations token ${station.id}`
        : `Its token is in ${out}; bring it to the station, and keep no copy.`,
    );
  }
  return token === null ? 3 : 0;
}

async function list(options: Options): Promise<number> {
  const { stations } = await openAsk(options)<{ readonly stations: readonly StationAnswer[] }>(
    "/v1/stations",
  );
  if (options.json === true) console.log(JSON.stringify(stations));
  else if (stations.length === 0) console.log("No station is registered.");
  else for (const station of stations) console.log(line(station));
  return 0;
}

async function disable(id: string, options: Options): Promise<number> {
  const path = `/v1/stations/${encodeURIComponent(id)}`;
  const station = await openAsk(options)<StationAnswer>(path, undefined, "DELETE");
  console.log(options.json === true ? JSON.stringify(station) : line(station));
  return 0;
}

function line({ id, name, role, account, disabled }: StationAnswer): string {
  const whose = account === null ? "" : ` of ${account}`;
  return `${id}  ${name} (${role}${whose})${disabled ? ", disabled" : ""}`;
}
