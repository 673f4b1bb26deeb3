import { expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { psbtOf, readPsbtText, writePsbtText } from "../../policies/bitcoin/psbt.ts";
import type { PsbtField } from "../../policies/bitcoin/psbt-fields.ts";
import { addressOf } from "../../policies/bitcoin/taproot.ts";
import { spendFacts } from "../../policies/facts.ts";
import { CHANGE, descriptorOf, RECEIVE, vaultScripts } from "../../policies/vault.ts";
import { describeNode } from "../support/node.ts";
import { honest, recipient, TREASURY, testVault, USER_VAULT } from "../support/spend.ts";

const INDEX_MAX = 50;

describeNode("a vault on a real node", (node) => {
  const vaults = [
    ["the user vault of the tests", USER_VAULT.vault],
    ["the treasury of the tests", TREASURY.vault],
    ["another user vault", testVault({ seed: "node" }).vault],
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
  });

  it.each([0, 19, 20, 1_000])(
    "what the node itself says of a coin at index %i is no lie",
    async (index) => {
      const spend = honest({
        coins: [{ branch: RECEIVE, index }],
        changeAt: { branch: CHANGE, index },
      });
      const { tx } = spend;
      // Only the coin is told; leaf, control block, keys and paths are the node's words.
      const bare = writePsbtText({
        ...psbtOf(tx),
        inputs: spend.psbt.inputs.map((map) => map.filter(isWitnessUtxo)),
      });
      const descriptor = descriptorOf(USER_VAULT.vault);
      const updated = await node.rpc.call("descriptorprocesspsbt", [
        bare,
        [{ desc: descriptor, range: [index, index] }],
        "DEFAULT",
        true,
        false,
      ]);
      const { psbt } = updated as { readonly psbt: string };
      const facts = spendFacts(readPsbtText(psbt), [USER_VAULT.scripts]);
      const [input] = facts.inputs;
      expect(readPsbtText(psbt).inputs[0]?.length).toBeGreaterThan(4);
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

  it("reads our PSBT as we do", async () => {
    const spend = honest({ coins: 3, payments: [{ script: recipient(1), sats: 700_000n }] });
    const decoded = await node.rpc.call("decodepsbt", [writePsbtText(spend.psbt)]);
    expect(decoded).toMatchObject({ tx: { txid: spend.facts.txid } });
  });
});

function isWitnessUtxo({ type }: PsbtField): boolean {
  return type === 0x01;
}
