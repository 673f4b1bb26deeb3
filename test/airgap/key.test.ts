/**
 * Goal: of a PSBT that comes back only this key's signatures over the approved leaves get through.
 * Method: an honest device (software, of this file) signs what it is shown; then one thing of what
 * it gives back is bent.
 */
import { schnorr } from "@noble/curves/secp256k1.js";
import { describe, expect, it } from "vitest";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { psbtOf, readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import {
  field,
  fieldsOf,
  IN,
  type PsbtField,
  type PsbtMap,
} from "../../policies/bitcoin/psbt-fields.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import { type Approval, decide } from "../../policies/decide.ts";
import { AirgapError } from "../../signer/airgap/airgap-error.ts";
import { type AirgapKeyOptions, airgapKey } from "../../signer/airgap/key.ts";
import { KeyError } from "../../signer/key-error.ts";
import { faultOf } from "../support/signer-room.ts";
import {
  honest,
  type Maps,
  OTHER_VAULT,
  type Spend,
  type SpendOptions,
  signTweaked,
  USER_VAULT,
} from "../support/spend.ts";
import { expectNoContent } from "./caught.ts";

const lsp = (() => {
  const party = USER_VAULT.parties.get("lsp");
  if (party === undefined) throw new Error("the vault has no LSP");
  return party;
})();

function approvalOf(spend: Spend): Approval {
  const decision = decide(spend.case);
  if (decision.kind === "approved") return decision.approval;
  throw new Error(decision.violations.map(({ rule, detail }) => `${rule}: ${detail}`).join("; "));
}

/** The signature field that the device makes for an approved input. */
function signatureFields(approval: Approval): readonly PsbtField[] {
  return approval.inputs.map(({ xOnly, leafHash, tweak, sighash }) =>
    field(IN.TAP_SCRIPT_SIG, signTweaked(lsp, tweak, sighash), concat([xOnly, leafHash])),
  );
}

interface Bench {
  readonly spend: Spend;
  readonly approval: Approval;
  readonly shown: Uint8Array[];
  readonly options: AirgapKeyOptions;
}

/** A key whose device signs every input; `bend` is what happens to the PSBT on its way back. */
function bench(
  options: SpendOptions,
  bend: (maps: Maps, bench: Bench) => Maps | Uint8Array,
): Bench {
  const spend = honest(options);
  const approval = approvalOf(spend);
  const shown: Uint8Array[] = [];
  const at: Bench = {
    spend,
    approval,
    shown,
    options: {
      name: "bench",
      network: "regtest",
      registrations: [{ label: "vault-0", key: lsp.text }],
      makePsbt: () => spend.bytes,
      show: async (psbt) => {
        shown.push(psbt);
      },
      collect: async () => {
        const psbt = readPsbt(shown.at(-1) ?? new Uint8Array(0));
        const made = signatureFields(approval);
        const inputs = psbt.inputs.map((map, i) => [...map, ...made.slice(i, i + 1)]);
        const bent = bend({ ...psbt, inputs }, at);
        return bent instanceof Uint8Array ? bent : writePsbt(bent);
      },
    },
  };
  return at;
}

const asIs = (maps: Maps) => maps;

describe("signs", () => {
  it.each([
    ["one input", { coins: 1 }],
    ["many inputs", { coins: 12 }],
    ["a v2 PSBT", { coins: 2, psbtVersion: 2 }],
    ["with whole previous transactions", { coins: 2, previous: true }],
  ] as const)("%s", async (_, options) => {
    const { approval, options: parts } = bench(options, asIs);
    const made = await airgapKey(parts).sign(approval);
    expect(made.map(({ input }) => input)).toEqual(approval.inputs.map(({ input }) => input));
    for (const [i, { sighash, xOnly }] of approval.inputs.entries()) {
      expect(schnorr.verify(made[i]?.signature ?? new Uint8Array(0), sighash, xOnly)).toBe(true);
    }
  });
  it("and shows the device no signature of another, so that it finishes nothing", async () => {
    const { approval, shown, spend, options } = bench({ coins: 3 }, asIs);
    await airgapKey(options).sign(approval);
    const psbt = readPsbt(shown[0] ?? new Uint8Array(0));
    const signatures = (maps: Maps) =>
      maps.inputs.flatMap((map) => fieldsOf(map, IN.TAP_SCRIPT_SIG));
    expect(signatures(spend.psbt)).toHaveLength(3);
    expect(signatures(psbt)).toEqual([]);
    expect(psbt.tx).toEqual(spend.psbt.tx);
    expect(psbt.outputs).toEqual(spend.psbt.outputs);
  });
  it("from a PSBT stripped of all but the signatures", async () => {
    const { approval, options } = bench({ coins: 2 }, (maps) => ({
      ...maps,
      inputs: maps.inputs.map((map) => fieldsOf(map, IN.TAP_SCRIPT_SIG)),
      outputs: maps.outputs.map(() => []),
    }));
    expect(await airgapKey(options).sign(approval)).toHaveLength(2);
  });
  it("from a v0 PSBT where a v2 was shown", async () => {
    const { approval, options } = bench({ coins: 2, psbtVersion: 2 }, (maps, { spend }) => ({
      ...psbtOf(spend.tx),
      inputs: maps.inputs.map((map) => fieldsOf(map, IN.TAP_SCRIPT_SIG)),
    }));
    expect(await airgapKey(options).sign(approval)).toHaveLength(2);
  });
  it("one after the other: the second PSBT is shown when the first is back", async () => {
    const events: string[] = [];
    const { approval, options } = bench({}, asIs);
    const key = airgapKey({
      ...options,
      show: async (psbt) => {
        events.push("shown");
        await options.show(psbt);
      },
      collect: async () => {
        const back = await options.collect();
        events.push("back");
        return back;
      },
    });
    await Promise.all([key.sign(approval), key.sign(approval), key.sign(approval)]);
    expect(events).toEqual(["shown", "back", "shown", "back", "shown", "back"]);
  });
});

/** The signature fields of the first input, bent. */
function bentSignature(bend: (own: PsbtField, bench: Bench) => readonly PsbtField[]) {
  return (maps: Maps, at: Bench): Maps =>
    bentFirst(maps, (map) => [
      ...map.filter(({ type }) => type !== IN.TAP_SCRIPT_SIG),
      ...fieldsOf(map, IN.TAP_SCRIPT_SIG).flatMap((own) => bend(own, at)),
    ]);
}

function bentFirst(maps: Maps, bend: (map: PsbtMap) => PsbtMap): Maps {
  const [first = [], ...rest] = maps.inputs;
  return { ...maps, inputs: [bend(first), ...rest] };
}

const OTHER_LEAF = new Uint8Array(32).fill(7);
const keyOf = ({ keyData }: PsbtField) => keyData.subarray(0, 32);
const leafOf = ({ keyData }: PsbtField) => keyData.subarray(32);

const bends: readonly (readonly [string, Parameters<typeof bench>[1], KeyError["code"], RegExp])[] =
  [
    [
      "another transaction",
      () => honest({ feeSats: 9_000n }).bytes,
      "unavailable",
      /is of another transaction/,
    ],
    [
      "the PSBT as it was shown",
      (_, { shown }) => shown[0] ?? new Uint8Array(0),
      "unavailable",
      /input 0: no signature came back/,
    ],
    ["no PSBT", () => new Uint8Array(40), "unavailable", /no PSBT that can be read \(psbt-magic\)/],
    ["a cut PSBT", (maps) => writePsbt(maps).slice(0, -9), "unavailable", /psbt-truncated/],
    [
      "no signature for the last input",
      (maps) => ({
        ...maps,
        inputs: maps.inputs.map((map, i) =>
          i === 1 ? map.filter(({ type }) => type !== IN.TAP_SCRIPT_SIG) : map,
        ),
      }),
      "unavailable",
      /input 1: no signature came back/,
    ],
    [
      "a signature of another key only",
      bentSignature((own, { spend }) => [
        field(
          IN.TAP_SCRIPT_SIG,
          own.value,
          concat([
            spend.coins[0]?.script.keys.find(({ role }) => role === "user")?.xOnly ?? OTHER_LEAF,
            leafOf(own),
          ]),
        ),
      ]),
      "unavailable",
      /only other keys have signed: .* seed, passphrase or account/,
    ],
    [
      "a signature of the key path",
      bentSignature((own) => [field(IN.TAP_KEY_SIG, own.value)]),
      "unverified",
      /signed the key path: register the vault's policy/,
    ],
    [
      "a signature of another leaf",
      bentSignature((own) => [
        field(IN.TAP_SCRIPT_SIG, own.value, concat([keyOf(own), OTHER_LEAF])),
      ]),
      "unverified",
      /input 0: the signature is for another leaf/,
    ],
    [
      "signatures of two leaves",
      bentSignature((own) => [
        own,
        field(IN.TAP_SCRIPT_SIG, own.value, concat([keyOf(own), OTHER_LEAF])),
      ]),
      "unverified",
      /several signatures by this key/,
    ],
    [
      "a signature with a hash type",
      bentSignature((own) => [
        field(IN.TAP_SCRIPT_SIG, concat([own.value, Uint8Array.of(1)]), own.keyData),
      ]),
      "unverified",
      /has 65 bytes, not 64: set the signature hash type to default/,
    ],
    [
      "a signature of no length that there is",
      bentSignature((own) => [field(IN.TAP_SCRIPT_SIG, own.value.slice(1), own.keyData)]),
      "unavailable",
      /psbt-field/,
    ],
    [
      "a signature that does not verify",
      bentSignature((own) => [
        field(
          IN.TAP_SCRIPT_SIG,
          own.value.map((byte, i) => (i === 40 ? byte ^ 1 : byte)),
          own.keyData,
        ),
      ]),
      "unverified",
      /does not verify/,
    ],
    [
      "the signature of the other input",
      bentSignature((own, { approval }) => [
        field(IN.TAP_SCRIPT_SIG, signatureFields(approval)[1]?.value ?? own.value, own.keyData),
      ]),
      "unverified",
      /does not verify/,
    ],
    [
      "finished inputs",
      (maps) => bentFirst(maps, () => [field(IN.FINAL_SCRIPTWITNESS, fromHex("0100"))]),
      "unverified",
      /the device finished the transaction: set it to give back the signed PSBT/,
    ],
    [
      "a finished input that still has its signature",
      (maps) => bentFirst(maps, (map) => [...map, field(IN.FINAL_SCRIPTWITNESS, fromHex("0100"))]),
      "unverified",
      /set it to give back the signed PSBT/,
    ],
  ];

describe("refuses what comes back with", () => {
  it.each(bends)("%s, and can be asked again", async (_, bend, code, words) => {
    let bent = true;
    const { approval, options } = bench({ coins: 2 }, (maps, at) => (bent ? bend(maps, at) : maps));
    const key = airgapKey(options);
    const fault = await faultOf(key.sign(approval));
    expect(fault).toBeInstanceOf(KeyError);
    expect(fault).toMatchObject({ code, passing: true, message: expect.stringMatching(words) });
    expect(fault.cause).toBeUndefined();
    expectNoContent(fault.message, await options.collect().catch(() => new Uint8Array(40)));
    bent = false;
    expect(await key.sign(approval)).toHaveLength(2);
  });
  it("a fault of the scan or the file, in its words", async () => {
    const { approval, options } = bench({}, asIs);
    const fault = await faultOf(
      airgapKey({
        ...options,
        collect: async () => {
          throw new AirgapError("incomplete", "5 of 7 parts; missing 2, 5");
        },
      }).sign(approval),
    );
    expect(fault).toMatchObject({
      name: "KeyError",
      code: "unavailable",
      passing: true,
      message: "5 of 7 parts; missing 2, 5",
    });
  });
});

describe("shows nothing", () => {
  it("for what no decision stands behind", async () => {
    const { approval, options, shown } = bench({}, asIs);
    for (const forged of [
      { ...approval },
      new Proxy(approval, {}),
      structuredClone({}) as Approval,
    ]) {
      expect(await faultOf(airgapKey(options).sign(forged))).toMatchObject({
        code: "not-approved",
      });
    }
    expect(shown).toEqual([]);
  });
  it("for an account that the device has not", async () => {
    const { approval, options, shown } = bench({}, asIs);
    const other = OTHER_VAULT.parties.get("lsp")?.text ?? "";
    const key = airgapKey({ ...options, registrations: [{ label: "vault-0", key: other }] });
    expect(await faultOf(key.sign(approval))).toMatchObject({
      code: "unknown-account",
      passing: false,
    });
    expect(shown).toEqual([]);
  });
  it("of another PSBT than the approved one: that would be our own fault", async () => {
    const { approval, options, shown } = bench({}, asIs);
    const key = airgapKey({ ...options, makePsbt: () => honest({ feeSats: 9_000n }).bytes });
    expect(await faultOf(key.sign(approval))).toMatchObject({
      message: expect.stringMatching(/^BUG/),
    });
    expect(shown).toEqual([]);
  });
  it("once it is closed", async () => {
    const { approval, options, shown } = bench({}, asIs);
    const key = airgapKey(options);
    await key.close();
    expect(await faultOf(key.sign(approval))).toMatchObject({
      code: "unavailable",
      passing: false,
    });
    expect(shown).toEqual([]);
  });
});

describe("its accounts", () => {
  const { options } = bench({}, asIs);
  const account = hex(lsp.account.publicKey ?? new Uint8Array(0));
  it("are those registered", async () => {
    const key = airgapKey(options);
    expect(await key.accountKey("vault-0")).toBe(lsp.text);
    expect(await faultOf(key.accountKey("vault-1"))).toMatchObject({ code: "unknown-account" });
    expect(key.name).toBe("airgap:bench");
    expect(key.custody).toMatch(/air-gapped device/);
  });
  it("prove possession by what the person brings, or say that nobody can be asked", async () => {
    const proof = new Uint8Array(65).fill(3);
    const asked: unknown[] = [];
    const key = airgapKey({
      ...options,
      prove: async (request) => {
        asked.push(request);
        return proof;
      },
    });
    expect(await key.provePossession(account, "text")).toEqual(proof);
    expect(asked).toEqual([{ account, text: "text" }]);
    expect(await faultOf(key.provePossession("02".repeat(33), "text"))).toMatchObject({
      code: "unknown-account",
    });
    expect(await faultOf(airgapKey(options).provePossession(account, "text"))).toMatchObject({
      code: "unsupported",
    });
  });
});
