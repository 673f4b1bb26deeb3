/**
 * What `bench appliance` and the soak stand on: a token in one of the custody modes, a vault with its
 * key, spends that the user has signed, certificates; and how a spend is asked for and checked.
 */
import { readFileSync } from "node:fs";
import { type Agent, request as httpsRequest } from "node:https";
import { join } from "node:path";
import { base64 } from "@scure/base";
import { hex, taggedHash } from "../../policies/bitcoin/hash.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { spendFacts } from "../../policies/facts.ts";
import { PURPOSES } from "../../policies/intent.ts";
import { sats } from "../../policies/money.ts";
import { possessionText } from "../../policies/possession.ts";
import { composeVault, type Role, readVault } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { guard } from "../../signer/guard.ts";
import { openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { tokenKey } from "../../signer/pkcs11/key.ts";
import { SEALED_MODULE } from "../../signer/pkcs11/profile.ts";
import { findSoftHsm, provisionSoftHsm } from "../../signer/pkcs11/softhsm.ts";
import { initToken, openToken } from "../../signer/pkcs11/token.ts";
import { formatPkcs11Uri, type Pkcs11Uri, parsePkcs11Uri } from "../../signer/pkcs11/uri.ts";
import { provisionCertificates } from "../../signer/provisioning/certificates.ts";
import type { TlsIdentity } from "../../signer/service/server.ts";
import type { Key } from "../../signer/signer.ts";
import { createSoftwareKey, openSoftwareKey } from "../../signer/software.ts";
import { openVaults } from "../../signer/vaults.ts";
import type { HostPlan } from "./appliance-host.ts";
import {
  COIN_SATS,
  type Coin,
  coinsOf,
  freshSpend,
  NETWORK,
  policyOf,
  preparedChain,
  type Tip,
} from "./house.ts";
import { measured } from "./result.ts";

export const INPUTS = 2;
/** The token has more sessions than requests are ever in it at one time. */
const SESSIONS = 6;
const HEIGHT = 1_000;

export const MODES = {
  "sealed, in JavaScript": (parts: Pkcs11Uri) => ({ ...parts, openedBy: "javascript" as const }),
  "sealed, by the module": (parts: Pkcs11Uri) => ({ ...parts, openedBy: "module" as const }),
  "native, a test token": (parts: Pkcs11Uri) => ({
    ...{ ...parts, mode: "native" as const, openedBy: null, profile: "test-token" },
    modulePath: TEST_TOKEN,
  }),
} as const;
export type Mode = keyof typeof MODES;
const TEST_TOKEN = join(SEALED_MODULE, "..", "native-token.so");

export interface Ground {
  readonly dir: string;
  readonly plan: Omit<HostPlan, "bare">;
  readonly client: TlsIdentity;
  readonly monitor: TlsIdentity;
  readonly bodies: readonly string[];
}

/** A token, a vault with its key, and spends that the user has signed. */
export async function openGround(dir: string, mode: Mode, count: number): Promise<Ground> {
  const plain = await provisionSoftHsm({
    dir: join(dir, "token"),
    label: "bench",
    maxSessions: SESSIONS,
  });
  const uri = formatPkcs11Uri(MODES[mode](parsePkcs11Uri(plain.uri)));
  const env = { ...plain.env, BALLAST_TEST_LIBRARY: findSoftHsm() ?? "" };
  await initToken({ uri, env, network: NETWORK });
  const token = await openToken({ uri, env, network: NETWORK });
  const curve = openCurvePool();
  const lsp = tokenKey({ token, network: NETWORK, name: "bench" });
  const software = (role: "user" | "trustee") => {
    const file = join(dir, `${role}.key`);
    createSoftwareKey(file, NETWORK, ["bench"]);
    return openSoftwareKey({ file, network: NETWORK, curve });
  };
  const keys: Readonly<Record<"user" | "lsp" | "trustee", Key>> = {
    lsp,
    user: software("user"),
    trustee: software("trustee"),
  };
  const holders = await Promise.all(
    (["user", "lsp", "trustee"] as const).map(async (role) => ({
      role,
      key: await keys[role].accountKey("bench"),
    })),
  );
  const vault = readVault(
    composeVault({ network: NETWORK, kind: "user", name: "Ballast bench", holders }),
  );
  const proofs: Partial<Record<Role, string>> = {};
  for (const { role, key } of vault.holders) {
    if (role === "second-trustee") continue;
    const text = possessionText(vault, role);
    proofs[role] = hex(await keys[role].provePossession(hex(key.publicKey), text));
  }
  const scripts = vaultScripts(vault);
  const coins: readonly Coin[] = Array.from({ length: count * INPUTS }, (_, n) => ({
    outpoint: `${hex(taggedHash("ballast/bench-coin", new TextEncoder().encode(String(n))))}:0`,
    sats: sats(COIN_SATS),
    index: n % 20,
  }));
  const tip: Tip = {
    height: HEIGHT,
    medianTime: Math.floor(Date.now() / 1000) - 600,
    tip: "00".repeat(32),
  };

  const file = join(dir, "user.db");
  createJournal({ file, network: NETWORK, role: "user" });
  const journal = openJournal({ file, network: NETWORK, role: "user" });
  const policy = policyOf("user");
  const now = () => Date.now();
  const vaults = openVaults({ journal, policy, key: keys.user, now });
  const registered = await vaults.register({ vault: vault.document, proofs });
  measured(registered.kind === "registered", "the user's signer refused the vault");
  const prepared = preparedChain();
  prepared.put(tip, coinsOf(scripts, coins, 1));
  const user = guard({
    ...{ name: "user", policy, key: keys.user, journal, vaults, chain: prepared.chain, curve, now },
    log: () => undefined,
  });
  const bodies: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const some = coins.slice(n * INPUTS, (n + 1) * INPUTS);
    const spend = freshSpend(scripts, some, { locktime: HEIGHT, number: n });
    const outcome = await user.sign(spend);
    measured(
      outcome.kind === "signed",
      `the user's signer did not sign: ${JSON.stringify(outcome)}`,
    );
    bodies.push(JSON.stringify({ intent: spend.intent, psbt: base64.encode(outcome.psbt) }));
  }
  journal.close();
  await token.close();
  await curve.close();

  const certificates = await provisionCertificates({
    dir: join(dir, "tls"),
    clients: ["bench", "monitor"],
  });
  const read = (path: string) => readFileSync(path, "utf8");
  const identity = ({ cert, key }: { readonly cert: string; readonly key: string }) => ({
    ca: read(certificates.ca),
    cert: read(cert),
    key: read(key),
  });
  const { bench: client, monitor } = certificates.clients;
  measured(client !== undefined && monitor !== undefined, "no certificate was made");
  return {
    dir,
    client: identity(client),
    monitor: identity(monitor),
    bodies,
    plan: {
      ...{ uri, env, vault: vault.document, proofs, tip },
      journal: join(dir, "lsp.db"),
      requests: join(dir, "requests.db"),
      access: {
        tls: identity(certificates.server),
        clients: [
          {
            ...{ name: "bench", certificate: client.fingerprint, role: "orchestrator" as const },
            purposes: [...PURPOSES],
          },
          {
            ...{ name: "monitor", certificate: monitor.fingerprint, role: "monitor" as const },
            purposes: [],
          },
        ],
        rate: { per_second: 100_000, burst: 100_000 },
      },
      coins: coins.map((coin) => ({ ...coin, sats: Number(coin.sats) })),
    },
  };
}

export function post(url: string, agent: Agent, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    const asking = httpsRequest(url, { agent, method: "POST", headers });
    asking.once("error", reject);
    asking.once("response", (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.once("end", () => resolve(Buffer.concat(parts).toString("utf8")));
    });
    asking.end(body);
  });
}

/** The answer is the PSBT that was asked, with two valid signatures on every input. */
export function checkAnswer(plan: Ground["plan"], body: string, answer: string): void {
  const scripts = vaultScripts(readVault(plan.vault));
  const asked = spendFacts(readPsbt(base64.decode(JSON.parse(body).psbt)), [scripts]);
  const facts = spendFacts(readPsbt(base64.decode(JSON.parse(answer).psbt)), [scripts]);
  measured(facts.txid === asked.txid, "another transaction came back than was asked");
  for (const { signatures } of facts.inputs) {
    const valid = signatures.filter((signature) => signature.valid).length;
    measured(valid === 2, `an input has ${valid} valid signatures, not two`);
  }
}
