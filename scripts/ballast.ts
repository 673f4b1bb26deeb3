/**
 * `npx ballast …`: each verb in a file of its own, which is loaded when it is asked for. All of them
 * together would take seconds to load, and whoever asks for one wants it now.
 */
import { Command } from "commander";

type AddVerb = (program: Command) => void;

const VERBS = new Map<string, () => Promise<AddVerb>>([
  ["audit", async () => (await import("./audit.ts")).addAudit],
  ["backup", async () => (await import("./backup.ts")).addBackup],
  ["book", async () => (await import("./book.ts")).addBook],
  ["ceremony", async () => (await import("./ceremony.ts")).addCeremony],
  ["exit-kit", async () => (await import("./exit-kit.ts")).addExitKit],
  ["explain", async () => (await import("./explain.ts")).addExplain],
  ["hsm", async () => (await import("./hsm.ts")).addHsm],
  ["journal", async () => (await import("./journal.ts")).addJournal],
  ["policy", async () => (await import("./policy.ts")).addPolicy],
  ["pool", async () => (await import("./pool.ts")).addPool],
  ["price", async () => (await import("./price.ts")).addPrice],
  ["proposal", async () => (await import("./proposal.ts")).addProposal],
  ["rules", async () => (await import("./rules.ts")).addRules],
  ["station", async () => (await import("./station.ts")).addStation],
  ["stations", async () => (await import("./stations.ts")).addStations],
  ["token", async () => (await import("./token.ts")).addToken],
  ["vault", async () => (await import("./vault.ts")).addVault],
]);

const program = new Command("ballast")
  .description("Hold bitcoin at a stable dollar value: signers that decide before they sign.")
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError("(ballast --help shows all commands)")
  // Wrong usage is malformed input, exit 2; 3 and 4 are verdicts.
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

const asked = VERBS.get(process.argv[2] ?? "");
// Help, and whatever is no verb, is answered with all of them.
for (const load of asked === undefined ? VERBS.values() : [asked]) (await load())(program);

await program.parseAsync();
