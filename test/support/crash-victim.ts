/**
 * A process that lives one life of a whole signer and says on stdout what it believes, until
 * somebody kills it. Arguments: the file of the plan, the signer's folder.
 */
import { writeSync } from "node:fs";
import { live, openWholeSigner, readLifePlan } from "./whole-signer.ts";

const say = (line: string) => void writeSync(1, `${line}\n`);

async function main([file = "", folder = ""]: readonly string[]): Promise<void> {
  const plan = readLifePlan(file);
  const signer = openWholeSigner({ folder, plan, say });
  say("ready");
  await live(signer, plan, say);
  await signer.close();
  say("closed");
}

void main(process.argv.slice(2));
