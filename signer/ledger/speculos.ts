/**
 * The wire of Speculos, Ledger's emulator, and of the emulated app of the tests: HTTP with
 * `{"data": hex}` both ways. One connection is kept, and no command is ever sent twice: what became
 * of a lost one nobody knows.
 */
import { Agent, type IncomingMessage, request } from "node:http";
import { z } from "zod";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { ledgerError } from "./ledger-error.ts";
import type { Transport } from "./transport.ts";

export interface SpeculosPlace {
  readonly host: string;
  readonly port: number;
}

const answerSchema = z.object({ data: z.string().regex(/^(?:[0-9a-fA-F]{2}){2,}$/) });
/** An answer is at most 64 KiB by ISO 7816; Ledger's are below 300 bytes. */
const ANSWER_BYTES_MAX = 200_000;

export function openSpeculos({ host, port }: SpeculosPlace): Transport {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    exchange: async (apdu) => {
      const text = await post({ host, port, agent, body: JSON.stringify({ data: hex(apdu) }) });
      const parsed = answerSchema.safeParse(parseOrNull(text));
      if (!parsed.success) throw ledgerError("protocol", "the emulator's answer has no data");
      return fromHex(parsed.data.data);
    },
    close: async () => agent.destroy(),
  };
}

interface Posting extends SpeculosPlace {
  readonly agent: Agent;
  readonly body: string;
}

async function post({ host, port, agent, body }: Posting): Promise<string> {
  const headers = { "content-type": "application/json", "content-length": body.length };
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ host, port, agent, method: "POST", path: "/apdu", headers }, resolve)
        .on("error", reject)
        .end(body);
    });
    const text = await textOf(answer);
    if (answer.statusCode === 200) return text;
    throw ledgerError("disconnected", `the emulator answers with HTTP ${answer.statusCode}`);
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || "fault" in error) throw error;
    const refused = error.code === "ECONNREFUSED";
    const detail = `${host}:${port}: ${String(error.code)}`;
    throw ledgerError(refused ? "not-plugged-in" : "disconnected", detail, error);
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = "";
  answer.setEncoding("utf8");
  for await (const chunk of answer) {
    text += String(chunk);
    if (text.length > ANSWER_BYTES_MAX) throw ledgerError("protocol", "an endless answer");
  }
  return text;
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
