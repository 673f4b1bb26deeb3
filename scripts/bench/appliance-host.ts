/**
 * A signer as `bench appliance` measures it, in a process of its own: token, service and mutual TLS as
 * in earnest, over a chain view whose answers lie ready. With `bare` nothing is judged and nothing is
 * remembered: the PSBT is read, signed by the token, verified and written.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { hex } from "../../policies/bitcoin/hash.ts";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { field, IN, withFields } from "../../policies/bitcoin/psbt-fields.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import { sats } from "../../policies/money.ts";
import { type Role, readVault, type VaultDocument } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { guard } from "../../signer/guard.ts";
import { type Heads, openHeads } from "../../signer/heads.ts";
import { openJournal } from "../../signer/journal.ts";
import { openMetrics } from "../../signer/metrics.ts";
import { tokenKey } from "../../signer/pkcs11/key.ts";
import { openToken } from "../../signer/pkcs11/token.ts";
import { openRequests } from "../../signer/service/requests.ts";
import { type Access, serveSigner } from "../../signer/service/server.ts";
import type { Hears, Registers, Signer } from "../../signer/signer.ts";
import { openVaults } from "../../signer/vaults.ts";
import { type Coin, coinsOf, NETWORK, policyOf, preparedChain, type Tip } from "./house.ts";

/** What the bench hands over. */
export interface HostPlan {
  readonly uri: string;
  readonly env: Readonly<Record<string, string>>;
  readonly bare: boolean;
  readonly journal: string;
  readonly requests: string;
  readonly vault: VaultDocument;
  readonly proofs: Readonly<Partial<Record<Role, string>>>;
  readonly access: Access;
  readonly tip: Tip;
  readonly coins: readonly {
    readonly outpoint: string;
    readonly sats: number;
    readonly index: number;
  }[];
}

const { values } = parseArgs({ options: { plan: { type: "string" } } });
const plan = JSON.parse(readFileSync(values.plan ?? "", "utf8")) as HostPlan;
const vault = readVault(plan.vault);
const scripts = vaultScripts(vault);
const token = await openToken({ uri: plan.uri, env: plan.env, network: NETWORK });
const curve = openCurvePool();
const key = tokenKey({ token, network: NETWORK, name: "bench" });
const policy = policyOf("lsp");
const now = () => Date.now();
const closing: (() => Promise<void> | void)[] = [];

async function judging(): Promise<Signer> {
  const journal = openJournal({ file: plan.journal, network: NETWORK, role: "lsp" });
  const vaults = openVaults({ journal, policy, key, now });
  const outcome = await vaults.register({ vault: plan.vault, proofs: plan.proofs });
  if (outcome.kind !== "registered") throw new Error(`the vault was refused: ${outcome.reasons}`);
  const prepared = preparedChain();
  const coins: readonly Coin[] = plan.coins.map((coin) => ({
    ...coin,
    sats: sats(BigInt(coin.sats)),
  }));
  prepared.put(plan.tip, coinsOf(scripts, coins, 1));
  let heads: Heads | null = null;
  if (key.headKey !== undefined)
    heads = openHeads({ journal, key: key.headKey, log: () => undefined });
  closing.push(
    async () => await heads?.close(),
    () => journal.close(),
  );
  return guard({
    ...{
      name: "bench",
      policy,
      key,
      journal: heads?.journal ?? journal,
      vaults,
      chain: prepared.chain,
      curve,
      now,
    },
    log: () => undefined,
    stage: metrics.stage,
  });
}

/** The cost of signing alone: no law, no memory; the signature is verified all the same. */
function bare(): Signer {
  const account = hex(
    vault.holders.find(({ role }) => role === "lsp")?.key.publicKey ?? new Uint8Array(),
  );
  return {
    name: "bare",
    role: "lsp",
    sign: async ({ psbt: bytes }) => {
      const psbt = readPsbt(bytes);
      const facts = await curve.facts(bytes, [plan.vault], { inputs: psbt.inputs.length });
      const items = facts.inputs.map(({ signing }) => {
        const own = signing?.keys.find(({ role }) => role === "lsp");
        if (signing === null || own === undefined) throw new Error("an input is not the vault's");
        return { signing, own };
      });
      const signatures = await token.sign(
        items.map(({ signing, own }) => ({ account, tweak: own.tweak, message: signing.sighash })),
      );
      const jobs = items.map(({ signing, own }, i) => ({
        message: signing.sighash,
        xOnly: own.xOnly,
        signature: signatures[i] ?? new Uint8Array(),
      }));
      if (!(await curve.verify(jobs))) throw new Error("a signature does not verify");
      const inputs = psbt.inputs.map((map, i) => {
        const { signing, own } = items[i] ?? {};
        const signature = signatures[i];
        if (signing === undefined || own === undefined || signature === undefined)
          throw new Error();
        return withFields(map, [
          field(IN.TAP_SCRIPT_SIG, signature, concat([own.xOnly, signing.leafHash])),
        ]);
      });
      return { kind: "signed", psbt: writePsbt({ ...psbt, inputs }), rules: [] };
    },
  };
}

const metrics = openMetrics({ keyProcess: token.process, paused: () => false, now });
const signer: Signer & Registers & Hears = {
  ...(plan.bare ? bare() : await judging()),
  accountKey: key.accountKey,
  registerVault: async () => ({ kind: "refused", reasons: ["the bench registers its own vault"] }),
  tell: async () => ({ kind: "refused", reasons: ["the bench hears nothing"] }),
};
const requests = openRequests(plan.bare ? ":memory:" : plan.requests);
const server = await serveSigner({
  ...{ signer, requests, metrics, access: plan.access, now, host: "127.0.0.1", port: 0 },
  status: () => {
    throw new Error("the bench asks for no status");
  },
  policy: () => ({}),
  audit: () => ({ lines: [], heads: [], next: null }),
  unready: async () => [],
  log: () => undefined,
});
process.stdout.write(
  `${JSON.stringify({ event: "ready", url: server.url, custody: token.custody })}\n`,
);

// The soak kills the token's process by it, again and again.
process.on("SIGUSR2", () => {
  const { pid } = token.process();
  if (pid !== null) process.kill(pid, "SIGKILL");
});
process.once("SIGTERM", async () => {
  await server.close();
  for (const close of closing) await close();
  await token.close();
  await curve.close();
  requests.close();
  metrics.close();
});
