/** `npx ballast policy simulate`: what a policy would have said to the spends of the past. */
import type { Command } from "commander";
import type { Policy } from "../policies/document/policy.ts";
import {
  lacksCharges,
  NOT_REPLAYED,
  type ReplayedSpend,
  replay,
} from "../policies/document/replay.ts";
import { readSignedPolicy } from "../policies/document/signed-policy.ts";
import { type Claim, historySchema } from "../policies/history.ts";
import { openJournal } from "../signer/journal.ts";
import { JournalError } from "../signer/journal-file.ts";
import { InputError, parsed, readDocumentFile, withInput } from "./input.ts";

interface Options {
  readonly policy: string;
  readonly journal?: string;
  readonly history?: string;
  readonly json?: boolean;
}

export function addSimulate(policy: Command): void {
  policy
    .command("simulate")
    .description("say which past spends a policy would have refused, and by which limit")
    .requiredOption("--policy <file>", "the policy to try, plain or signed")
    .option("--journal <file>", "the journal of a stopped signer, or a copy of it")
    .option("--history <file>", "or a ballast/history@1 document")
    .option("--json", "print one JSON object")
    .action((options: Options) =>
      withInput(options.json === true, () => {
        const report = simulate(options);
        if (options.json === true) console.log(JSON.stringify(report, inJson));
        else console.log(inWords(report));
        return 0;
      }),
    );
}

interface Report {
  readonly policy: Pick<Policy, "name" | "version" | "hash">;
  readonly spends: Totals;
  readonly refused: Totals;
  /** How many spends each limit would have refused; a spend may stand at several. */
  readonly limits: Readonly<Record<string, number>>;
  readonly refusals: readonly ReplayedSpend[];
  /** Limits that cannot be asked again, and spends that are not counted whole. */
  readonly notReplayed: readonly string[];
}

interface Totals {
  readonly count: number;
  /** Paid out and moved, without fees; of a payment and its bumps, the last. */
  readonly sats: bigint;
  readonly feeSats: bigint;
}

function simulate({ policy: file, journal, history }: Options): Report {
  const document = readDocumentFile("policy", file);
  const { policy } = parsed("policy", file, () => readSignedPolicy(document));
  const { name, version, hash } = policy;
  const claims = claimsOf({ policy, journal, history });
  const spends = replay(claims, policy);
  const refusals = spends.filter((spend) => spend.refusals.length > 0);
  const limits = new Map<string, number>();
  for (const { refusals: all } of refusals) {
    for (const limit of new Set(all.map((refusal) => refusal.limit))) {
      limits.set(limit, (limits.get(limit) ?? 0) + 1);
    }
  }
  const short = claims.filter(lacksCharges).length;
  return {
    policy: { name, version, hash },
    spends: totalsOf(spends),
    refused: totalsOf(refusals),
    limits: Object.fromEntries([...limits].sort(([a], [b]) => (a < b ? -1 : 1))),
    refusals,
    notReplayed: [
      ...NOT_REPLAYED,
      ...(short === 0 ? [] : [`the windows of ${short} spends that carry not all their charges`]),
    ],
  };
}

function claimsOf(from: {
  readonly policy: Policy;
  readonly journal: string | undefined;
  readonly history: string | undefined;
}): readonly Claim[] {
  const { policy, journal: file, history } = from;
  if ((file === undefined) === (history === undefined)) {
    throw new InputError("history", "give either --journal or --history");
  }
  if (history !== undefined) {
    const read = historySchema.safeParse(readDocumentFile("history", history));
    if (read.success) return read.data.claims;
    const reasons = read.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    throw new InputError("history", `history ${history}: ${reasons.join("; ")}`);
  }
  const { network, role } = policy;
  try {
    const journal = openJournal({ file: file ?? "", network, role });
    try {
      return journal.claims();
    } finally {
      journal.close();
    }
  } catch (error) {
    if (error instanceof JournalError) throw new InputError("journal", error.message);
    throw error;
  }
}

/** Of an intent the last transaction counts: it takes the place of those before it. */
function totalsOf(spends: readonly ReplayedSpend[]): Totals {
  const last = [...new Map(spends.map((spend) => [spend.intent, spend])).values()];
  return {
    count: spends.length,
    sats: last.reduce((sum, { sats }) => sum + sats, 0n),
    feeSats: last.reduce((sum, { feeSats }) => sum + feeSats, 0n),
  };
}

function inJson(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

function inWords({ policy, spends, refused, limits, refusals, notReplayed }: Report): string {
  const total = ({ count, sats, feeSats }: Totals) => `${count} (${sats} sat, ${feeSats} sat fees)`;
  return [
    `${policy.name} v${policy.version} would have refused ${total(refused)} of ${total(spends)} spends`,
    ...refusals.flatMap(({ at, height, txid, purpose, sats, feeSats, refusals: reasons }) => [
      `  ${new Date(at).toISOString()}  height ${height}  ${txid}  ${purpose}  ${sats} sat, fee ${feeSats}`,
      ...reasons.map(({ limit, detail }) => `    ${limit}: ${detail}`),
    ]),
    ...Object.entries(limits).map(([limit, count]) => `${limit}: ${count}`),
    "What is refused takes nothing out of the windows of later spends. Not replayed:",
    ...notReplayed.map((note) => `  ${note}`),
  ].join("\n");
}
