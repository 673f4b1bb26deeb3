import { expect, it } from "vitest";
import { descriptorChecksum } from "../../policies/bitcoin/descriptor.ts";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { type Psbt, psbtOf, readPsbtText, writePsbtText } from "../../policies/bitcoin/psbt.ts";
import { IN, OUT, type PsbtField } from "../../policies/bitcoin/psbt-fields.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { equal } from "../../policies/bitcoin/wire.ts";
import { EXIT_BLOCKS } from "../../policies/exit.ts";
import { spendFacts } from "../../policies/facts.ts";
import { CHANGE, descriptorOf, RECEIVE } from "../../policies/vault.ts";
import { vaultScripts } from "../../policies/vault-scripts.ts";
import { branchesOf, vaultCoins } from "../../signer/node/vault-coins.ts";
import { describeNode, type TestNode } from "../support/node.ts";
import {
  EXIT_VAULT,
  exited,
  finished,
  honest,
  recipient,
  type Spend,
  signatureOf,
  TREASURY,
  testVault,
  USER_VAULT,
} from "../support/spend.ts";

const INDEX_MAX = 50;

describeNode("a vault on a real node", (node) => {
  const vaults = [
    ["the user vault of the tests", USER_VAULT.vault],
    ["the treasury of the tests", TREASURY.vault],
    ["another user vault", testVault({ seed: "node" }).vault],
    ["a user vault with an exit", EXIT_VAULT.vault],
  ] as const;

  it.each(vaults)("%s has the checksum that the node computes", async (_, vault) => {
    const [body, checksum] = descriptorOf(vault).split("#");
    const info = await node.rpc.call("getdescriptorinfo", [body]);
    expect(info).toMatchObject({
      checksum,
      isrange: true,
      issolvable: true,
      hasprivatekeys: false,
    });
  });

  it.each(vaults)("%s has the addresses that the node derives", async (_, vault) => {
    const derived = await node.rpc.call("deriveaddresses", [descriptorOf(vault), [0, INDEX_MAX]]);
    const scripts = vaultScripts(vault);
    const ours = [RECEIVE, CHANGE].map((branch) =>
      Array.from({ length: INDEX_MAX + 1 }, (_unused, index) =>
        addressOf(scripts.at(branch === RECEIVE ? RECEIVE : CHANGE, index).script, "regtest"),
      ),
    );
    expect(derived).toEqual(ours);
    // A descriptor wallet takes one branch a descriptor; the exit's goes along.
    for (const [branch, body] of branchesOf(vault).entries()) {
      const one = `${body}#${descriptorChecksum(body)}`;
      expect(await node.rpc.call("deriveaddresses", [one, [0, 2]])).toEqual(
        ours[branch]?.slice(0, 3),
      );
    }
  });

  it.each([0, 19, 20, 1_000])(
    "what the node itself says of a coin at index %i is no lie",
    async (index) => {
      const spend = honest({
        coins: [{ branch: RECEIVE, index }],
        changeAt: { branch: CHANGE, index },
      });
      const psbt = await toldByNode(node, spend);
      const facts = spendFacts(psbt, [USER_VAULT.scripts]);
      const [input] = facts.inputs;
      expect(psbt.inputs[0]?.length).toBeGreaterThan(4);
      expect(input).toMatchObject({ lies: [], burdens: [], coin: { branch: RECEIVE, index } });
      expect(facts.outputs.map(({ coin, lies }) => [coin?.branch ?? null, lies])).toEqual([
        [null, []],
        [CHANGE, []],
      ]);
      expect(hex(facts.inputs[0]?.signing?.sighash ?? new Uint8Array(0))).toBe(
        hex(spend.facts.inputs[0]?.signing?.sighash ?? new Uint8Array(0)),
      );
    },
  );

  it("what the node says of a coin with an exit is no lie but where it speaks of the exit", async () => {
    const index = 1_000;
    const spend = honest({
      from: EXIT_VAULT,
      coins: [{ branch: RECEIVE, index }],
      changeAt: { branch: CHANGE, index },
    });
    const { exit } = EXIT_VAULT.scripts.at(RECEIVE, index);
    if (exit === null) throw new Error("no exit");
    const told = await toldByNode(node, spend);
    const facts = spendFacts(told, [EXIT_VAULT.scripts]);
    expect(facts.inputs[0]?.lies.map(({ about, detail }) => [about, detail])).toEqual([
      ["leaf", expect.stringMatching(/exit leaf/)],
      ["derivation", expect.stringMatching(/exit key/)],
    ]);
    expect(facts.outputs.map(({ coin, lies }) => [coin?.branch ?? null, lies])).toEqual([
      [null, []],
      [CHANGE, []],
    ]);
    // The node knows as much of the change as we do: both keys of the user, each with its leaf.
    const ours = spend.psbt.outputs[1]?.filter(({ type }) => type === OUT.TAP_BIP32_DERIVATION);
    const theirs = told.outputs[1]?.filter(({ type }) => type === OUT.TAP_BIP32_DERIVATION);
    const texts = (fields: readonly PsbtField[] = []) =>
      fields.map(({ keyData, value }) => `${hex(keyData)} ${hex(value)}`).sort();
    expect(texts(theirs)).toEqual(texts(ours));

    const silent = told.inputs.map((map) =>
      map.filter(
        ({ type, keyData, value }) =>
          !(type === IN.TAP_LEAF_SCRIPT && equal(value.subarray(0, -1), exit.leaf)) &&
          !(type === IN.TAP_BIP32_DERIVATION && equal(keyData, exit.xOnly)),
      ),
    );
    const [input] = spendFacts({ ...told, inputs: silent }, [EXIT_VAULT.scripts]).inputs;
    expect(input).toMatchObject({ lies: [], coin: { index, exitBlocks: 26_280 } });
  });

  it("takes a spend by two of a vault with an exit, of our size, and no exit before its time", async () => {
    const place = { branch: RECEIVE, index: 1 } as const;
    const address = addressOf(EXIT_VAULT.scripts.at(place.branch, place.index).script, "regtest");
    const sats = 1_000_000n;
    const { txid, vout } = await node.miner.fund(address ?? "", sats);
    await node.miner.mine(1);
    const spending = (sequence: number) =>
      honest({
        from: EXIT_VAULT,
        coins: [{ ...place, sats }],
        payments: [{ script: recipient(0), sats: 990_000n }],
        change: null,
        bend: {
          tx: (tx) => ({
            ...tx,
            inputs: [{ txid: fromHex(txid).reverse(), vout, sequence }],
            locktime: 0,
          }),
        },
      });
    const verdictOn = async (raw: Uint8Array) => {
      const [verdict] = await node.rpc.call<readonly object[]>("testmempoolaccept", [[hex(raw)]]);
      return verdict;
    };

    const both = spending(0xfffffffd);
    const signatures = new Map(
      (["user", "trustee"] as const).map((role) => [role, signatureOf(both, 0, role)]),
    );
    const raw = finished(both, () => signatures);
    expect(await verdictOn(raw)).toMatchObject({ allowed: true, vsize: both.facts.vbytes });

    const early = await verdictOn(exited(spending(EXIT_BLOCKS), "user", 2));
    expect(early).toMatchObject({ allowed: false, "reject-reason": "non-BIP68-final" });
    const impatient = await verdictOn(exited(spending(1), "user", 2));
    expect(impatient).toMatchObject({
      allowed: false,
      "reject-reason": expect.stringMatching(/Locktime requirement not satisfied/),
    });
  });

  it("tells coins of a vault with an exit by the descriptors that we know it by", async () => {
    const { vault, scripts } = testVault({ seed: "watched", exit: true });
    const wallet = { wallet: "exits" };
    await node.rpc.call("createwallet", {
      wallet_name: wallet.wallet,
      disable_private_keys: true,
      blank: true,
    });
    const requests = branchesOf(vault).map((body) => ({
      desc: `${body}#${descriptorChecksum(body)}`,
      timestamp: "now",
      range: [0, 9],
    }));
    const said = await node.rpc.call("importdescriptors", [requests], wallet);
    expect(said).toMatchObject([{ success: true }, { success: true }]);
    for (const branch of [RECEIVE, CHANGE] as const) {
      const address = addressOf(scripts.at(branch, 2).script, "regtest");
      await node.miner.fund(address ?? "", 5_000n);
    }
    await node.rpc.call("syncwithvalidationinterfacequeue");
    const result = await node.rpc.call("listunspent", [0], wallet);
    const coins = vaultCoins([vault], { kind: "result", result }, 0).get(vault.id);
    expect(coins?.map(({ sats }) => sats)).toEqual([5_000n, 5_000n]);
  });

  it("reads our PSBT as we do", async () => {
    const spend = honest({ coins: 3, payments: [{ script: recipient(1), sats: 700_000n }] });
    const decoded = await node.rpc.call("decodepsbt", [writePsbtText(spend.psbt)]);
    expect(decoded).toMatchObject({ tx: { txid: spend.facts.txid } });
  });
});

function isWitnessUtxo({ type }: PsbtField): boolean {
  return type === 0x01;
}

/** The PSBT of a spend in which only the coin is told: all else are the node's words. */
async function toldByNode(node: TestNode, spend: Spend): Promise<Psbt> {
  const bare = writePsbtText({
    ...psbtOf(spend.tx),
    inputs: spend.psbt.inputs.map((map) => map.filter(isWitnessUtxo)),
  });
  const { index } = spend.coins[0]?.script ?? { index: 0 };
  const described = [{ desc: descriptorOf(spend.vault.vault), range: [index, index] }];
  const updated = await node.rpc.call("descriptorprocesspsbt", [
    bare,
    described,
    "DEFAULT",
    true,
    false,
  ]);
  return readPsbtText((updated as { readonly psbt: string }).psbt);
}
