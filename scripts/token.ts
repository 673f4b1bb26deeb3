/** `npx ballast token …`: who may ask the orchestrator's API, and what. */
import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { type ApiOptions, asking, openAsk } from "./ask.ts";
import { withInput } from "./input.ts";

interface Options extends ApiOptions {
  readonly json?: boolean;
}

interface NewOptions extends Options {
  readonly scope: string;
  readonly account?: string;
  readonly days?: string;
  readonly out: string;
}

interface TokenAnswer {
  readonly id: string;
  readonly name: string;
  readonly scope: string;
  readonly account: string | null;
  readonly expiresAt: string;
  readonly disabledAt: string | null;
  readonly usedAt: string | null;
}

interface IssuedAnswer extends TokenAnswer {
  /** Null where it was given out before. */
  readonly token: string | null;
}

interface ProposedAnswer {
  readonly proposal: { readonly id: string; readonly expiresAt: string };
}

export function addToken(program: Command): void {
  const tokens = program.command("token").description("who may ask at the orchestrator's API");
  asking(tokens.command("new").description("issue a token; it is given out once"))
    .argument("<name>", "lower-case letters, digits and hyphens")
    .requiredOption("--scope <scope>", "user, operator, auditor, machine")
    .option("--account <id>", "a user's account")
    .option("--days <number>", "until it expires; 90 when left out")
    .requiredOption("--out <file>", "where it goes; never over another file")
    .action((name: string, options: NewOptions) =>
      withInput(options.json === true, () => issue(name, options)),
    );
  asking(tokens.command("list").description("every token ever issued")).action((options: Options) =>
    withInput(options.json === true, () => list(options)),
  );
  asking(tokens.command("disable").description("it opens nothing any more"))
    .argument("<id>")
    .action((id: string, options: Options) =>
      withInput(options.json === true, () => disable(id, options)),
    );
}

async function issue(name: string, options: NewOptions): Promise<number> {
  const { scope, account, days } = options;
  const wish = {
    ...{ name, scope },
    ...(account !== undefined && { account }),
    ...(days !== undefined && { days: Number(days) }),
  };
  const answer = await openAsk(options)<IssuedAnswer | ProposedAnswer>("/v1/tokens", wish);
  if ("proposal" in answer) {
    const { id, expiresAt } = answer.proposal;
    if (options.json === true) console.log(JSON.stringify(answer));
    else {
      console.log(`It waits for another operator until ${expiresAt}; who approves gets the token:`);
      console.log(`npx ballast proposal approve ${id} --out FILE`);
    }
    return 4;
  }
  return keptToken(answer, options);
}

/** The token itself goes into the file alone. 3: it was given out before. */
export function keptToken(
  { token, ...row }: IssuedAnswer,
  { out, json }: { readonly out: string; readonly json?: boolean },
): number {
  if (token !== null) writeFileSync(out, `${token}\n`, { mode: 0o600, flag: "wx" });
  if (json === true) console.log(JSON.stringify({ ...row, written: token !== null }));
  else {
    console.log(line(row));
    console.log(
      token === null
        ? "It was issued before: disable it and issue one of another name."
        : `It is in ${out}; bring it to whoever is to have it, and keep no copy.`,
    );
  }
  return token === null ? 3 : 0;
}

async function list(options: Options): Promise<number> {
  const ask = openAsk(options);
  const all: TokenAnswer[] = [];
  for (let cursor = ""; ; ) {
    const page = await ask<{
      readonly tokens: readonly TokenAnswer[];
      readonly next: string | null;
    }>(`/v1/tokens?limit=200${cursor}`);
    all.push(...page.tokens);
    if (page.next === null) break;
    cursor = `&cursor=${page.next}`;
  }
  if (options.json === true) console.log(JSON.stringify(all));
  else if (all.length === 0)
    console.log("No token was issued: there is the configuration's alone.");
  else for (const token of all) console.log(line(token));
  return 0;
}

async function disable(id: string, options: Options): Promise<number> {
  const path = `/v1/tokens/${encodeURIComponent(id)}`;
  const token = await openAsk(options)<TokenAnswer>(path, undefined, "DELETE");
  console.log(options.json === true ? JSON.stringify(token) : line(token));
  return 0;
}

function line({ id, name, scope, account, expiresAt, disabledAt, usedAt }: TokenAnswer): string {
  const whose = account === null ? "" : ` of ${account}`;
  const end = disabledAt === null ? `until ${expiresAt}` : `disabled ${disabledAt}`;
  return `${id}  ${name} (${scope}${whose}), ${end}, last used ${usedAt ?? "never"}`;
}
