/** `npx ballast …`: each verb in a file of its own. */
import { Command } from "commander";
import { addAudit } from "./audit.ts";
import { addBackup } from "./backup.ts";
import { addBook } from "./book.ts";
import { addCeremony } from "./ceremony.ts";
import { addExitKit } from "./exit-kit.ts";
import { addExplain } from "./explain.ts";
import { addHsm } from "./hsm.ts";
import { addJournal } from "./journal.ts";
import { addPolicy } from "./policy.ts";
import { addPool } from "./pool.ts";
import { addPrice } from "./price.ts";
import { addProposal } from "./proposal.ts";
import { addRules } from "./rules.ts";
import { addStation } from "./station.ts";
import { addStations } from "./stations.ts";
import { addToken } from "./token.ts";
import { addVault } from "./vault.ts";

const program = new Command("ballast")
  .description("Hold bitcoin at a stable dollar value: signers that decide before they sign.")
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError("(ballast --help shows all commands)")
  // Wrong usage is malformed input, exit 2; 3 and 4 are verdicts.
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

addAudit(program);
addBackup(program);
addBook(program);
addCeremony(program);
addExitKit(program);
addExplain(program);
addHsm(program);
addJournal(program);
addPolicy(program);
addPool(program);
addPrice(program);
addProposal(program);
addRules(program);
addStation(program);
addStations(program);
addToken(program);
addVault(program);

await program.parseAsync();
