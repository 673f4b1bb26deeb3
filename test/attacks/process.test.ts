/**
 * The most valuable attacks of the catalogue through the whole signer as it runs in earnest: a process
 * of its own, a real node, real coins of a registered vault, asked over HTTP. Each is refused by its
 * rule and leaves nothing but a record; and after all of them the honest spend is signed, and the
 * node takes it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { schnorr } from "@noble/curves/secp256k1.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { IN } from "../../policies/bitcoin/psbt-fields.ts";
import type { RuleId } from "../../policies/rules.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { verifyAudit } from "../../signer/audit.ts";
import { openJournal } from "../../signer/journal.ts";
import { readMirror } from "../../signer/mirror.ts";
import type { SignOutcome } from "../../signer/signer.ts";
import { openPurse, type Purse } from "../support/funded-spend.ts";
import { describeNode } from "../support/node.ts";
import { AUDIT_SECRET, type SignerProcess, startSigner } from "../support/signer-process.ts";
import { registrationOf, requestOf, signedBytes } from "../support/signer-room.ts";
import {
  type CoinPlan,
  finished,
  POLICY,
  recipient,
  type Spend,
  type SpendOptions,
  signatureOf,
  USER_VAULT,
} from "../support/spend.ts";
import { attacks } from "./catalogue.ts";

interface Robbery {
  readonly number: number;
  readonly what: string;
  readonly rule: RuleId;
  readonly held: boolean;
  readonly options: SpendOptions;
}

/** Numbers whose bends are bytes of the request: the catalogue's own rows, sent to the process. */
const BY_BYTES = new Set([
  1, 2, 3, 4, 8, 12, 13, 19, 24, 25, 26, 28, 29, 31, 38, 39, 45, 47, 48, 58, 71,
]);

const byBytes: readonly Robbery[] = attacks
  .filter(({ number }) => BY_BYTES.has(number))
  .flatMap(({ number, by }) =>
    by
      .filter(({ bend }) => travels(bend.beyond))
      // The one field of attack 45; the others are attack 38's.
      .filter(({ bend }) => (number === 45) === (bend.what === "input field 0x13"))
      .map(({ rule, bend: { what, beyond, held = false } }) => ({
        number,
        what,
        // The guard reads facts with the one vault that the intent names, so another is foreign.
        rule: what === "another registered vault" ? "outputs-as-intended" : rule,
        held,
        options: beyond,
      })),
  );

/**
 * A law, a past or a chain that is bent is the signer's own: nobody can send it. The previous
 * transactions of these coins are on paper; on a real chain they are others.
 */
function travels({ previous = false, from, bend = {} }: SpendOptions): boolean {
  const { policy, history, chain, vault } = bend;
  // The process has registered one vault.
  return (
    !previous &&
    from === undefined &&
    [policy, history, chain, vault].every((part) => part === undefined)
  );
}

const at = (index: number, sats?: bigint): CoinPlan => ({
  branch: RECEIVE,
  index,
  ...(sats !== undefined && { sats }),
});
const pay = (n: number, sats: bigint) => ({ script: recipient(n), sats });

/** Against the limits of the law as it is, and against the node as it is. */
const byFacts: readonly Robbery[] = [
  {
    number: 12,
    what: "three payments below the limit, together one sat above it",
    rule: "spend-limit",
    held: false,
    options: { payments: [pay(0, 20_000_000n), pay(1, 20_000_000n), pay(2, 10_000_001n)] },
  },
  {
    number: 20,
    what: "a fee one sat above the cap",
    rule: "fee-absolute",
    held: false,
    options: { feeSats: 100_001n },
  },
  {
    number: 20,
    what: "a fee rate above the cap",
    rule: "fee-rate",
    held: false,
    options: { feeSats: 12_000n },
  },
  {
    number: 20,
    what: "a fee above a tenth of the payment",
    rule: "fee-share",
    held: false,
    options: { payments: [pay(0, 20_000n)], feeSats: 2_001n },
  },
  {
    number: 27,
    what: "a coin that the node knows to be larger, so that the fee looks smaller",
    rule: "coins-as-declared",
    held: false,
    options: {
      feeSats: 2_800n,
      bend: { spent: (spent) => spent.map((o) => ({ ...o, sats: o.sats - 1_000n })) },
    },
  },
  {
    number: 35,
    what: "a coin that the node does not have",
    rule: "coins-confirmed",
    held: true,
    options: {
      bend: {
        tx: (tx) => ({
          ...tx,
          inputs: tx.inputs.map((input) => ({ ...input, vout: input.vout + 7 })),
        }),
      },
    },
  },
];

/** An honest payment to a payee and under a reference of its own. */
function payment(n: number, options: SpendOptions = {}): SpendOptions {
  return {
    payments: [pay(n, 2_000_000n)],
    ...options,
    bend: { intent: (content) => ({ ...content, reference: `withdrawal ${n}` }) },
  };
}

const HONEST = payment(50, { coins: [at(10), at(11)] });
/** The window of a day has room for two of these, and not for the third. */
const LARGE = [60, 61, 62].map((n) =>
  payment(n, { coins: [at(n)], payments: [pay(n, 40_000_000n)], change: 900_000n }),
);
const COIN = 2_501_800n;

describeNode("the signer's own process, robbed over HTTP", (node) => {
  let folder = "";
  let purse: Purse;
  let signer: SignerProcess;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ballast-robbed-"));
    purse = openPurse(node);
    for (const { options } of [...byBytes, ...byFacts]) await purse.fund(options);
    await purse.fund(HONEST, ...LARGE, payment(51, { coins: [at(12, COIN)] }));
    await purse.fund(payment(52, { coins: [at(13, COIN)] }));
    await purse.settle(POLICY.chain.confirmations);
    signer = await startSigner({ folder, policy: POLICY, node });
    const outcome = await signer.remote.registerVault(registrationOf(USER_VAULT));
    expect(outcome.kind).toBe("registered");
  });
  afterAll(async () => {
    await signer?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const ask = (spend: Spend) => signer.remote.sign(requestOf(spend));

  /** Refused or held by the rule; no coin is claimed, and the log has one record more. */
  async function expectNo(spend: Spend, rule: RuleId, kind: "refused" | "held"): Promise<void> {
    const before = await signer.remote.status();
    const outcome = await ask(spend);
    expect(rulesOf(outcome)).toContain(rule);
    expect(outcome.kind).toBe(kind);
    const { claims, decisions } = await signer.remote.status();
    expect({ claims, decisions }).toEqual({
      claims: before.claims,
      decisions: before.decisions + 1,
    });
  }

  it.each([...byBytes, ...byFacts])("attack $number: $rule: $what", async (robbery) => {
    const { options, rule, held } = robbery;
    await expectNo(purse.spend(options), rule, held ? "held" : "refused");
  });

  it("attack 35: a coin in the mempool is held, and signed when it is deep enough", async () => {
    const coins = payment(53, { coins: [at(14)] });
    await purse.fund(coins);
    await expectNo(purse.spend(coins), "coins-confirmed", "held");
    await purse.settle(POLICY.chain.confirmations);
    signedBytes(await ask(purse.spend(coins)));
  });

  it("then signs the honest spend, and the node takes it", async () => {
    const spend = purse.spend(HONEST);
    const bytes = signedBytes(await ask(spend));
    expect(signedBytes(await ask(spend))).toEqual(bytes);
    const raw = finished(
      spend,
      (input) =>
        new Map([
          ["user", signatureOf(spend, input, "user")],
          ["lsp", lspSignature(bytes, spend, input)],
        ]),
    );
    expect(await node.rpc.call("sendrawtransaction", [hex(raw)])).toBe(spend.facts.txid);
    await purse.settle(1);
  });

  it("attack 74: a coin signed away is not signed for another intent", async () => {
    const spend = purse.spend(payment(51, { coins: [at(12, COIN)] }));
    signedBytes(await ask(spend));
    const theft = purse.spend(payment(99, { coins: [at(12, COIN)] }));
    await expectNo(theft, "coins-unclaimed", "refused");
  });

  it("attacks 72 and 75: an intent has one transaction, whatever the fee or the coin", async () => {
    const richer = purse.spend(payment(51, { coins: [at(12, COIN)], change: 499_000n }));
    await expectNo(richer, "one-transaction-an-intent", "refused");
    const elsewhere = purse.spend(payment(51, { coins: [at(13, COIN)] }));
    await expectNo(elsewhere, "one-transaction-an-intent", "refused");
  });

  it("attack 104: the third large payment of a day has no room in the window", async () => {
    const [first, second, third] = LARGE.map((options) => purse.spend(options));
    if (first === undefined || second === undefined || third === undefined)
      throw new Error("three");
    signedBytes(await ask(first));
    signedBytes(await ask(second));
    await expectNo(third, "window-limit", "held");
  });

  it("attack 123: a paused process lets nothing out, not even what it has signed", async () => {
    process.kill(signer.pid, "SIGUSR2");
    await expect.poll(async () => (await signer.remote.status()).paused).toBe(true);
    const spend = purse.spend(payment(52, { coins: [at(13, COIN)] }));
    await expectNo(spend, "not-paused", "held");
    const before = await ask(purse.spend(HONEST));
    expect(rulesOf(before)).toContain("not-paused");
  });

  it("has a record of each in its log, to the last", async () => {
    const { decisions } = await signer.remote.status();
    await signer.stop();
    const journal = openJournal({ file: signer.journal, network: "regtest", role: "lsp" });
    const log = journal.auditLog();
    journal.close();
    const key = hex(schnorr.getPublicKey(fromHex(AUDIT_SECRET)));
    const finding = verifyAudit(log, { key, anchor: readMirror(signer.mirror) });
    expect(finding).toMatchObject({ kind: "intact", records: decisions });
    expect(log.heads.at(-1)?.sequence).toBe(decisions);
  });
});

function rulesOf(outcome: SignOutcome): readonly RuleId[] {
  return outcome.kind === "signed" ? [] : outcome.violations.map(({ rule }) => rule);
}

/** The LSP's signature of an input of a signed PSBT. */
function lspSignature(bytes: Uint8Array, spend: Spend, input: number): Uint8Array {
  const key = spend.coins[input]?.script.keys.find(({ role }) => role === "lsp");
  const found = readPsbt(bytes).inputs[input]?.find(
    ({ type, keyData }) =>
      type === IN.TAP_SCRIPT_SIG && hex(keyData.subarray(0, 32)) === hex(key?.xOnly ?? keyData),
  );
  if (found === undefined) throw new Error("the LSP has not signed");
  return found.value;
}
