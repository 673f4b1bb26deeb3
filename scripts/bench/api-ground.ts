/**
 * What the bench `api` asks: the whole API over a store on disk, with people whose keys are software;
 * and a bare Express route with a bearer check, which answers the same bytes and knows nothing.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import express from "express";
import { openAccounts } from "../../orchestrator/accounts/accounts.ts";
import { depositConfirmed } from "../../orchestrator/accounts/book.ts";
import { openScripts } from "../../orchestrator/accounts/scripts.ts";
import { type Api, serveApi } from "../../orchestrator/api/server.ts";
import { openChain } from "../../orchestrator/io/chain.ts";
import { systemClock } from "../../orchestrator/io/clock.ts";
import { openStore } from "../../orchestrator/io/store.ts";
import { silentLog } from "../../orchestrator/log.ts";
import { rememberBlock } from "../../orchestrator/spend/blocks.ts";
import { appear, bury } from "../../orchestrator/spend/coins.ts";
import { openCombiner } from "../../orchestrator/spend/combiner.ts";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { msatsPerVbyte, sats } from "../../policies/money.ts";
import { possessionText } from "../../policies/possession.ts";
import { RECEIVE, type Role, readVault, type VaultDocument } from "../../policies/vault.ts";
import type { CurvePool } from "../../signer/curve.ts";
import { openBitcoind } from "../../signer/node/bitcoind.ts";
import type { Key, Registers } from "../../signer/signer.ts";
import { createSoftwareKey, openSoftwareKey } from "../../signer/software.ts";
import { NETWORK } from "./house.ts";
import { measured } from "./result.ts";

export const TOKEN = "the-token-of-a-bench-guards-nothing-at-all";
const COINS = 3;
const COIN_SATS = 100_000n;
const HEIGHT = 100;
/** No limit of the bench's own: what is measured is what the route costs. */
const UNLIMITED = { perAddress: 1_000_000_000, perToken: 1_000_000_000 };

export interface Person {
  readonly userKey: string;
  readonly trusteeKey: string;
  readonly prove: (document: VaultDocument) => Promise<{ user: string; trustee: string }>;
}

export interface ApiGround {
  readonly api: Api;
  readonly person: (n: number) => Promise<Person>;
  /** An open account with coins; returns its id. */
  readonly moveIn: (n: number) => Promise<string>;
  readonly close: () => Promise<void>;
}

export async function openApiGround(
  folder: string,
  curve: CurvePool,
  people: number,
): Promise<ApiGround> {
  const labels = Array.from({ length: people }, (_, n) => `n${n}`);
  const keys = (["user", "lsp", "trustee"] as const).map((role): [Role, Key] => {
    const file = join(folder, `${role}.key`);
    createSoftwareKey(file, NETWORK, labels);
    return [role, openSoftwareKey({ file, network: NETWORK, curve })];
  });
  const key = (role: Role) => new Map(keys).get(role) as Key;
  const prove = async (document: VaultDocument, role: Role) => {
    const vault = readVault(document);
    const own = vault.holders.find((holder) => holder.role === role);
    measured(own !== undefined, `no ${role} in the vault`);
    const text = possessionText(vault, role);
    return hex(await key(role).provePossession(hex(own.key.publicKey), text));
  };
  const store = openStore({ path: join(folder, "orchestrator.db"), network: NETWORK });
  await rememberBlock(store.db, { height: HEIGHT, hash: "00".repeat(32) });
  const rpc = openBitcoind({ url: "http://nobody:asks@127.0.0.1:1" });
  const shared = {
    network: NETWORK,
    ...{ store, clock: systemClock, log: silentLog, confirmations: 1 },
    ...{ scripts: openScripts(), signer: registrar(key("lsp"), prove), chain: openChain(rpc) },
  } as const;
  const accounts = openAccounts(shared);
  const combiner = openCombiner();
  const api = await serveApi({
    ...{ ...shared, accounts, combiner, token: TOKEN, port: 0, limits: UNLIMITED },
    ceremonies: { hours: 24, remindersBps: [] },
    fees: { least: msatsPerVbyte(1_000n), most: msatsPerVbyte(50_000n), targetBlocks: 6 },
    describeSigner: () => Promise.reject(new Error("nobody asks")),
    running: { wake: () => undefined, faults: () => new Map(), stop: async () => undefined },
  });
  const person = async (n: number): Promise<Person> => ({
    userKey: await key("user").accountKey(`n${n}`),
    trusteeKey: await key("trustee").accountKey(`n${n}`),
    prove: async (document) => ({
      user: await prove(document, "user"),
      trustee: await prove(document, "trustee"),
    }),
  });
  return {
    ...{ api, person },
    async moveIn(n) {
      const { prove: proofs, ...held } = await person(n);
      const begun = await accounts.begin({ name: `user ${n}`, ...held });
      measured(begun.kind === "done", "an account was not begun");
      const { id, document, vault } = begun.account;
      const opened = await accounts.complete(id, await proofs(document));
      measured(opened?.kind === "done", "an account was not opened");
      await store.transaction(async (db) => {
        for (let index = 0; index < COINS; index += 1) {
          const outpoint = `${hex(sha256(new TextEncoder().encode(`${n} ${index}`)))}:0`;
          const coin = { outpoint, vault, index, sats: sats(COIN_SATS), branch: RECEIVE } as const;
          await appear(db, { ...coin, kind: "deposit" }, HEIGHT);
          const booked = { db, account: id, at: systemClock(), turn: 1n };
          await depositConfirmed({ ...booked, outpoint, sats: sats(COIN_SATS) });
        }
        await bury(db, HEIGHT);
      });
      return id;
    },
    close: async () => {
      await api.close();
      await combiner.close();
      rpc.close();
      await store.close();
    },
  };
}

/** The LSP's part in a registration, without law and journal: those are the bench `appliance`'s. */
function registrar(
  key: Key,
  prove: (document: VaultDocument, role: Role) => Promise<string>,
): Registers {
  const labels = new Map<string, string>();
  return {
    accountKey: (label) => {
      const known = labels.get(label) ?? `n${labels.size}`;
      labels.set(label, known);
      return key.accountKey(known);
    },
    registerVault: async ({ vault }) => ({
      ...{ kind: "registered", vault: readVault(vault).id },
      proof: await prove(vault, "lsp"),
    }),
  };
}

/** Answers what it is told to. */
export async function openBare(text: () => string): Promise<Api> {
  const wanted = digest(`Bearer ${TOKEN}`);
  const app = express();
  app.use((request, response, next) => {
    if (timingSafeEqual(digest(request.get("authorization") ?? ""), wanted)) next();
    else response.sendStatus(401);
  });
  app.get("/v1/user/:id", (_request, response) => {
    response.type("application/json").send(text());
  });
  app.post("/v1/register", express.json(), (_request, response) => {
    response.type("application/json").send(text());
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

function digest(value: string): Uint8Array {
  return createHash("sha256").update(value).digest();
}
