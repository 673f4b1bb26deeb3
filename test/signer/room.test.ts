/**
 * A whole signing room, opened from its configuration as the process does, over an amendment: real
 * journal, real key file, real HTTP; only the node is a few answers of the test's own.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import { amendmentText } from "../../policies/document/amendment.ts";
import { type PolicyDocument, readPolicy } from "../../policies/document/policy.ts";
import { writeSignedPolicy } from "../../policies/document/signed-policy.ts";
import { verifyAudit } from "../../signer/audit.ts";
import { openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { LawError } from "../../signer/law.ts";
import { openSigningRoom, type SigningRoom } from "../../signer/room.ts";
import { statusAnswer } from "../../signer/service/wire.ts";
import { createSoftwareKey } from "../../signer/software.ts";
import { requestOf } from "../support/signer-room.ts";
import { honest, POLICY } from "../support/spend.ts";

const TIP = "00".repeat(32);
const SECRET = sha256(u32(1));
const ANN = { name: "ann", key: hex(ecc.pointFromScalar(SECRET, true) ?? new Uint8Array()) };
const FIRST: PolicyDocument = {
  ...POLICY,
  quorum: { approvals: 1, people: [ANN] },
  changes: { loosening_hours: 1 },
};
const LOOSER = { ...FIRST, version: 2, chain: { confirmations: 2 } };
const TIGHTER = { ...FIRST, version: 2, chain: { confirmations: 4 } };

function signed(next: PolicyDocument): unknown {
  const text = amendmentText({ before: readPolicy(FIRST), after: readPolicy(next) });
  const signature = ecc.signSchnorr(textHash(text), SECRET);
  return writeSignedPolicy({ document: next, agreements: [{ person: "ann", signature }] });
}

let folder = "";
let node: Server;
let tip = { height: 1_000, time: 0 };
const rooms: SigningRoom[] = [];
let log: string[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ballast-room-"));
  tip = { height: 1_000, time: Math.ceil(Date.now() / 1_000) + 60 };
  log = [];
  createJournal({ file: join(folder, "journal.db"), network: "regtest", role: "lsp" });
  createSoftwareKey(join(folder, "key.json"), "regtest", ["vault"]);
  node = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      const calls = JSON.parse(body) as { id: number; method: string }[];
      const answers: Readonly<Record<string, unknown>> = {
        getblockchaininfo: {
          chain: "regtest",
          blocks: tip.height,
          bestblockhash: TIP,
          mediantime: tip.time,
        },
        getbestblockhash: TIP,
      };
      response.end(
        JSON.stringify(
          calls.map(({ id, method }) => ({ id, error: null, result: answers[method] ?? null })),
        ),
      );
    });
  });
  await new Promise<void>((resolve) => node.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  await stop();
  await new Promise((resolve) => node.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

async function stop(): Promise<void> {
  for (const room of rooms.splice(0)) await room.close();
}

async function start(
  policy: unknown,
  more: { readonly audit_key?: string } = {},
): Promise<SigningRoom> {
  await stop();
  writeFileSync(join(folder, "policy.json"), JSON.stringify(policy));
  const { port } = node.address() as AddressInfo;
  const room = await openSigningRoom(
    {
      name: "lsp",
      policy: join(folder, "policy.json"),
      journal: join(folder, "journal.db"),
      key: `software:${join(folder, "key.json")}`,
      token_environment: {},
      ...more,
      node: { url: `http://user:password@127.0.0.1:${port}` },
    },
    (event) => void log.push(event),
  );
  rooms.push(room);
  return room;
}

/** Any request makes the signer look at the chain; of this one nothing is signed. */
async function ask(room: SigningRoom): Promise<void> {
  expect((await room.sign(requestOf(honest()))).kind).toBe("refused");
}

describe("a signing room", () => {
  it("puts an announced policy in force while it runs, and judges by it", async () => {
    await start(FIRST);
    const room = await start(signed(LOOSER));
    const version = () => room.status().policy.version;
    await ask(room);
    expect(version()).toBe(1);
    expect(statusAnswer.parse(room.status()).announced?.version).toBe(2);
    tip = { height: tip.height + 6, time: tip.time + 3_600 };
    await ask(room);
    expect(version()).toBe(2);
    expect(room.status().announced).toBeUndefined();
    await stop();
    const journal = openJournal({
      file: join(folder, "journal.db"),
      network: "regtest",
      role: "lsp",
    });
    const judgedBy = journal.auditLog().lines.map(({ record }) => JSON.parse(record).policy);
    journal.close();
    expect(judgedBy).toEqual([readPolicy(FIRST).hash, readPolicy(LOOSER).hash]);
    expect(log.filter((event) => event.startsWith("ALARM"))).toEqual([
      "ALARM policy announced",
      "ALARM policy in force",
    ]);
  });

  it("lets the delay begin at the start, and end at one", async () => {
    await start(FIRST);
    await start(signed(LOOSER));
    tip = { height: tip.height + 6, time: tip.time + 3_600 };
    expect((await start(signed(LOOSER))).status().policy.version).toBe(2);
  });

  it("starts without its node, which holds up the delay alone", async () => {
    await start(FIRST);
    node.removeAllListeners("request");
    node.on("request", (_, response) => response.writeHead(500).end());
    expect((await start(signed(LOOSER))).status().policy.version).toBe(1);
    expect(log).toContain("chain view missing");
  });

  it("that may not start says why, and lets go of its journal", async () => {
    await start(FIRST);
    const fault = await start(TIGHTER).catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(LawError);
    expect(String(fault)).toContain("0 of 1 people agree");
    expect((await start(signed(TIGHTER))).status().policy.version).toBe(2);
  });

  it("keeps its kill switch through an amendment", async () => {
    (await start(FIRST)).pause();
    const room = await start(signed(TIGHTER));
    expect(room.status()).toMatchObject({ paused: true, policy: { version: 2 } });
    const outcome = await room.sign(requestOf(honest()));
    expect(outcome.kind).toBe("held");
  });

  it("attests its last decision by the key of a file before it ends", async () => {
    writeFileSync(join(folder, "audit.key"), hex(SECRET));
    const room = await start(FIRST, { audit_key: join(folder, "audit.key") });
    await ask(room);
    await stop();
    const at = { file: join(folder, "journal.db"), network: "regtest", role: "lsp" } as const;
    const journal = openJournal(at);
    const record = journal.auditLog();
    const left = journal.unattested();
    journal.close();
    const key = hex(ecc.xOnlyPointFromScalar(SECRET));
    expect([verifyAudit(record, { key }).kind, left]).toEqual(["intact", null]);
  });

  it("does not start with the audit key of a token where its key has none, and lets go of all", async () => {
    const refused = start(FIRST, { audit_key: "token" });
    await expect(refused).rejects.toThrow(/audit_key is token, and software:\S+ has no audit key/);
    await start(FIRST);
  });
});
