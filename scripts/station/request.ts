/** Which request a verb is about, and what it does. */
import type { Command } from "commander";
import { writePsbt } from "../../policies/bitcoin/psbt.ts";
import type { OpenStation } from "../../signer/station/open.ts";
import { asRequest, readRequestFile } from "../../signer/station/request-file.ts";
import type { StationRequest } from "../../signer/station/requests.ts";
import type { Sight } from "../../signer/station/sight.ts";
import { InputError, readDocumentFile, readPsbtFile } from "../input.ts";
import type { At, Common } from "./room.ts";

export interface Asked extends Common {
  readonly request?: string;
  readonly psbt?: string;
  readonly intent?: string;
  readonly evidence?: string;
}

/** Where the request comes from: the orchestrator by its id, or files. */
export function asked(command: Command): Command {
  return command
    .argument("[id]", "the request's id, as the list says it")
    .option("--request <file>", "a request as a file (ballast/request@1)")
    .option("--psbt <file>", "a PSBT as a file, binary or base64, with --intent")
    .option("--intent <file>", "the intent document that the PSBT is for")
    .option("--evidence <file>", "the evidence document");
}

/** The sight of a request, once its vaults are known here. */
export async function seen({ open, terminal }: At, request: StationRequest): Promise<Sight> {
  for (const { vault, reasons } of await open.meet(request)) {
    if (reasons.length > 0) {
      terminal.show([`Vault ${vault.id} is not taken by your law: ${reasons.join("; ")}`]);
    }
  }
  return await open.look(request);
}

export async function requestOf(
  station: OpenStation,
  id: string | undefined,
  { request, psbt, intent, evidence }: Asked,
): Promise<StationRequest> {
  if (request !== undefined) return readRequestFile(readDocumentFile("request", request));
  if (psbt !== undefined && intent !== undefined) {
    return asRequest({
      intent: readDocumentFile("intent", intent),
      psbt: writePsbt(readPsbtFile(psbt)),
      evidence: evidence === undefined ? undefined : readDocumentFile("evidence", evidence),
      vaults: [],
    });
  }
  if (id === undefined) {
    throw new InputError("request", "name a request: its id, --request, or --psbt and --intent");
  }
  const found = (await station.list()).find((known) => known.id === id);
  if (found !== undefined) return found;
  throw new InputError("request", `nothing of the id ${id} waits for this station`);
}
