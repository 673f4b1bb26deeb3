/** `npx ballast proposal …`: what one operator wants, and another's approval. */
import type { Command } from "commander";
import { type ApiOptions, asking, openAsk } from "./ask.ts";
import { InputError, withInput } from "./input.ts";
import { keptToken } from "./token.ts";

interface Options extends ApiOptions {
  readonly json?: boolean;
}

interface Proposal {
  readonly id: string;
  readonly state: string;
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly proposer: string;
  readonly expiresAt: string;
}

export function addProposal(program: Command): void {
  const proposals = program
    .command("proposal")
    .description("what waits at the orchestrator for a second operator");
  asking(proposals.command("list").description("the newest, with what they would do")).action(
    (options: Options) => withInput(options.json === true, () => list(options)),
  );
  asking(proposals.command("approve").description("has it done, once; not by its proposer"))
    .argument("<id>")
    .option("--out <file>", "where a token goes that it gives out; never over another file")
    .action((id: string, options: Options & { readonly out?: string }) =>
      withInput(options.json === true, () => approve(id, options)),
    );
}

async function list(options: Options): Promise<number> {
  const { proposals } = await openAsk(options)<{ readonly proposals: readonly Proposal[] }>(
    "/v1/proposals",
  );
  if (options.json === true) console.log(JSON.stringify(proposals));
  else if (proposals.length === 0) console.log("Nothing was proposed.");
  else {
    for (const { id, state, method, path, body, proposer, expiresAt } of proposals) {
      console.log(`${id}  ${state}, by ${proposer}, until ${expiresAt}`);
      console.log(`  ${method.toUpperCase()} ${path} ${JSON.stringify(body)}`);
    }
  }
  return 0;
}

interface Done {
  /** Where one is given out. */
  readonly token?: string | null;
}

async function approve(id: string, options: Options & { readonly out?: string }): Promise<number> {
  const ask = openAsk(options);
  const named = `/v1/proposals/${encodeURIComponent(id)}`;
  const { path } = await ask<Proposal>(named);
  // Asked for before it is done: the token is shown once.
  if (/\/tokens?$/.test(path) && options.out === undefined) {
    throw new InputError("out", "--out FILE: a token is given out, and shown once");
  }
  const done = await ask<Done>(`${named}/approve`, {});
  const { out, json } = options;
  if (done.token !== undefined && out !== undefined) {
    return keptToken(done as Parameters<typeof keptToken>[0], {
      ...{ out },
      ...(json !== undefined && { json }),
    });
  }
  console.log(options.json === true ? JSON.stringify(done) : `Done: ${path}`);
  return 0;
}
