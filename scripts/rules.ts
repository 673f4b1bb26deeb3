/** `ballast rules`: every rule of the law with its reason, as a Markdown table or JSON. */
import type { Command } from "commander";
import { ruleIds } from "../policies/decide.ts";
import { rules } from "../policies/rules.ts";
import { rulesTable } from "../policies/rules-table.ts";

export function addRules(program: Command): void {
  program
    .command("rules")
    .description("Print every rule of the law with its reason.")
    .option("--json", "print one JSON array")
    .action(({ json }: { json?: boolean }) => {
      const all = ruleIds.map((rule) => ({
        rule,
        why: rules[rule].why,
        answers: rules[rule].answers,
      }));
      console.log(json === true ? JSON.stringify(all) : rulesTable());
    });
}
