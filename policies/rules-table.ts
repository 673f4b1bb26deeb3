/** The table of rules for README.md, generated so that page and law cannot part. */
import { ruleIds } from "./decide.ts";
import { rules } from "./rules.ts";

export function rulesTable(): string {
  const rows = ruleIds.map((rule) => {
    const { why, answers } = rules[rule];
    return `| \`${rule}\` | ${why} | ${answers.join(", ")} |`;
  });
  return ["| rule | why | attacks |", "| --- | --- | --- |", ...rows].join("\n");
}
