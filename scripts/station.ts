/** `npx ballast station …`: one person's own signer, on their own computer. */
import { writeFileSync } from "node:fs";
import { base64 } from "@scure/base";
import type { Command } from "commander";
import { goThrough } from "../signer/station/session.ts";
import { tellSight } from "../signer/station/words.ts";
import { withInput } from "./input.ts";
import { type AssentOptions, assent } from "./station/assent.ts";
import { check } from "./station/check.ts";
import { type Asked, asked, requestOf, seen } from "./station/request.ts";
import { type At, type Common, refuseTaken, run, stationVerb } from "./station/room.ts";
import { addStationVerbs } from "./station/words.ts";

const HELP = `
Nothing that the orchestrator says is believed: the station shows what it computed itself, from the
PSBT, its own vaults, its own node and its own law. The device shows it again; compare every line.
Exit: 0 done, 2 wrong input, 3 refused by your law or by you, 4 not now: device, node or orchestrator.`;

interface Signing extends Asked {
  readonly agree: string;
  readonly out?: string;
}

export function addStation(program: Command): void {
  const station = program
    .command("station")
    .description("one person's own signer: what waits is shown, judged, and signed on their device")
    .addHelpText("after", HELP);
  // Without a verb: npx ballast station --config FILE --key ledger:hid
  stationVerb(
    station.command("run", { isDefault: true }),
    "go through what waits, one by one, and sign or refuse it on your device",
  ).action((options: Common) => run(options, watch));
  stationVerb(station.command("list"), "what waits for you").action((options: Common) =>
    run(options, list),
  );
  asked(stationVerb(station.command("show"), "what a request does, and what your law says")).action(
    (id: string | undefined, options: Asked) => run(options, (at) => show(at, id, options)),
  );
  asked(stationVerb(station.command("sign"), "sign a request that you have seen"))
    .requiredOption("--agree <hash>", 'what you agree to, as "show" says it')
    .option("--out <file>", "write the signed PSBT here; it is never overwritten")
    .action((id: string | undefined, options: Signing) =>
      run(options, (at) => sign(at, id, options)),
    );
  asked(stationVerb(station.command("refuse"), "refuse a request, and say why"))
    .requiredOption("--reason <words>", "for the others to read")
    .action((id: string | undefined, options: Asked & { readonly reason: string }) =>
      run(options, (at) => refuse(at, id, options)),
    );
  stationVerb(
    station.command("check"),
    "whether this station could sign now: device, app version, every vault; before and after upgrades",
  ).action((options: Common) => run(options, check));
  stationVerb(station.command("verify"), "a verifier's or a witness's word in a ceremony")
    .argument("<id>", "the request's id, as the operator says it")
    .option("--agree <hash>", "say it, about what was shown")
    .action((id: string, options: AssentOptions) =>
      withInput(options.json === true, () => assent(id, options)),
    );
  addStationVerbs(station);
}

async function watch({ open, terminal, print }: At): Promise<number> {
  const handled = await goThrough({ station: open, person: terminal, device: open.device });
  print?.(handled);
  return handled.some(({ kind }) => kind === "left") ? 4 : 0;
}

async function list({ open, terminal, print }: At): Promise<number> {
  const requests = await open.list();
  const rows = requests.map(({ id, deadline, ceremony, request }) => ({
    ...{ id, deadline, ceremony: ceremony?.id ?? null },
    reference: request.intent.reference,
    purpose: request.intent.purpose,
  }));
  if (print !== null) print(rows);
  else if (rows.length === 0) terminal.show(["Nothing waits for you."]);
  for (const { id, purpose, reference, deadline } of print === null ? rows : []) {
    terminal.show([`${id}  ${purpose} "${reference}"${deadline === null ? "" : `, ${deadline}`}`]);
  }
  return 0;
}

async function show(at: At, id: string | undefined, options: Asked): Promise<number> {
  const request = await requestOf(at.open, id, options);
  const sight = await seen(at, request);
  if (at.print !== null) at.print(sight);
  else at.terminal.show(tellSight(sight, { deadline: request.deadline, device: at.open.device }));
  return sight.verdict === "approved" ? 0 : sight.verdict === "held" ? 4 : 3;
}

async function sign(at: At, id: string | undefined, options: Signing): Promise<number> {
  refuseTaken(options.out);
  const request = await requestOf(at.open, id, options);
  await seen(at, request);
  const outcome = await at.open.approve(request, options.agree);
  if (outcome.kind !== "signed") {
    at.print?.(outcome);
    for (const { rule, detail } of outcome.violations) at.terminal.show([`${rule}: ${detail}`]);
    return outcome.kind === "held" ? 4 : 3;
  }
  const psbt = base64.encode(outcome.psbt);
  if (options.out !== undefined) writeFileSync(options.out, outcome.psbt, { flag: "wx" });
  if (at.print !== null) at.print({ kind: "signed", id: request.id, psbt });
  else if (options.out === undefined && at.open.requests === null) at.terminal.show([psbt]);
  else if (at.open.requests === null) at.terminal.show([`Signed and verified: ${options.out}`]);
  else at.terminal.show(["Signed, verified and handed over."]);
  return 0;
}

async function refuse(
  at: At,
  id: string | undefined,
  options: Asked & { readonly reason: string },
): Promise<number> {
  const request = await requestOf(at.open, id, options);
  await at.open.decline(request, options.reason);
  const told = at.open.requests !== null;
  at.print?.({ kind: "declined", id: request.id, reason: options.reason, told });
  if (at.print !== null) return 0;
  at.terminal.show([told ? "Refused, and told so." : "Refused; tell it to whoever asked you."]);
  return 0;
}
