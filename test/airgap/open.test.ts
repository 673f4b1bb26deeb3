/**
 * An air-gapped device as a person meets it: a URI, a PSBT out by file or codes, signatures back. The
 * device is played by the test, with the secret of the trustee.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { base64 } from "@scure/base";
import * as ecc from "tiny-secp256k1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { messageHash } from "../../policies/bitcoin/message.ts";
import { readPsbt, writePsbt } from "../../policies/bitcoin/psbt.ts";
import { field, IN, withFields } from "../../policies/bitcoin/psbt-fields.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import { type Approval, decide } from "../../policies/decide.ts";
import { possessionLine, possessionText, provesPossession } from "../../policies/possession.ts";
import { RECEIVE } from "../../policies/vault.ts";
import { animation } from "../../signer/airgap/animation.ts";
import { openAirgapKey, parseAirgapUri } from "../../signer/airgap/open.ts";
import { psbtOfLines } from "../../signer/airgap/scan.ts";
import { faultOf } from "../support/signer-room.ts";
import { honest, party, USER_VAULT } from "../support/spend.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-airgap-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const lsp = party("first/lsp");
const spend = honest({ coins: 2 });

function approval(): Approval {
  const decision = decide(spend.case);
  if (decision.kind === "approved") return decision.approval;
  throw new Error("not approved");
}

/** The device: signs every input of the PSBT by the LSP's key. */
function signedBy(psbt: Uint8Array): Uint8Array {
  const read = readPsbt(psbt);
  const inputs = read.inputs.map((map, i) => {
    const approved = approval().inputs[i];
    const coin = spend.coins[i];
    if (approved === undefined || coin === undefined) throw new Error("no such input");
    const secret = lsp.secretAt(coin.script.branch, coin.script.index);
    const signature = ecc.signSchnorr(approved.sighash, secret);
    const keyData = concat([approved.xOnly, approved.leafHash]);
    return withFields(map, [field(IN.TAP_SCRIPT_SIG, signature, keyData)]);
  });
  return writePsbt({ ...read, inputs });
}

interface Sitting {
  readonly shown: string[];
  readonly person: {
    show: (lines: readonly string[]) => void;
    ask: (q: string) => Promise<string>;
  };
}

/** Answers come from a function of what was shown so far and of the question. */
function sitting(answer: (question: string, shown: readonly string[]) => string): Sitting {
  const shown: string[] = [];
  return {
    shown,
    person: {
      show: (lines) => void shown.push(...lines),
      ask: async (question) => {
        shown.push(question);
        return answer(question, shown);
      },
    },
  };
}

function keyOf(by: string, { person }: Sitting) {
  const accounts = join(folder, "accounts.json");
  const content = { format: "ballast/airgap@1", accounts: [{ label: "vault", key: lsp.text }] };
  writeFileSync(accounts, JSON.stringify(content));
  return openAirgapKey(`airgap:box?accounts=${accounts}&${by}`, {
    ...{ network: "regtest", person },
    vaultOf: (id) => (id === USER_VAULT.vault.id ? USER_VAULT.vault : null),
  });
}

function expectGood(made: Awaited<ReturnType<ReturnType<typeof keyOf>["sign"]>>): void {
  expect(made).toHaveLength(2);
  for (const [i, { sighash, xOnly }] of approval().inputs.entries()) {
    expect(ecc.verifySchnorr(sighash, xOnly, made[i]?.signature ?? new Uint8Array(64))).toBe(true);
  }
}

describe("a device reached by files", () => {
  it("gets one file, which tells it all, and gives one back", async () => {
    const at = sitting(() => {
      const [out = ""] = readdirSync(folder).filter((name) => name.endsWith(".psbt"));
      const psbt = psbtOfFile(join(folder, out));
      expect(readPsbt(psbt).inputs[0]?.map(({ type }) => type)).toContain(IN.TAP_LEAF_SCRIPT);
      writeFileSync(join(folder, out.replace(".psbt", "-signed.psbt")), signedBy(psbt));
      return "";
    });
    expectGood(await keyOf(`by=file&folder=${folder}`, at).sign(approval()));
    expect(at.shown.join("\n")).toContain("Take this file to the device");
  });

  it("may give it back under another name, in base64", async () => {
    const other = join(folder, "back.txt");
    const at = sitting(() => {
      const [out = ""] = readdirSync(folder).filter((name) => name.endsWith(".psbt"));
      writeFileSync(other, base64.encode(signedBy(psbtOfFile(join(folder, out)))));
      return other;
    });
    expectGood(await keyOf(`by=file&folder=${folder}`, at).sign(approval()));
  });

  it("that gives nothing back is waited for, and may be asked again", async () => {
    const at = sitting(() => "");
    const key = keyOf(`by=file&folder=${folder}`, at);
    for (let n = 0; n < 2; n += 1) {
      expect(await faultOf(key.sign(approval()))).toMatchObject({
        name: "KeyError",
        code: "unavailable",
        passing: true,
      });
    }
    expect(readdirSync(folder).filter((name) => name.endsWith(".psbt"))).toHaveLength(1);
  });
});

describe.each([
  ["BBQr", "by=bbqr", "bbqr"],
  ["UR", "by=ur", "crypto-psbt"],
] as const)("a device reached by %s", (_, by, format) => {
  it("is shown codes until it has all, and its own are taken in any order", async () => {
    let back: readonly string[] = [];
    const at = sitting((question) => {
      if (question.startsWith("Code ")) return question.startsWith("Code 2") ? "done" : "";
      if (back.length === 0) {
        const psbt = signedBy(writePsbt(readPsbt(spend.bytes)));
        back = animation({ psbt, format })
          .map(({ text }) => text)
          .toReversed();
        expect(psbtOfLines(back)).toEqual(psbt);
        back = ["junk that is no code!", ...back];
      }
      const [line = "", ...rest] = back;
      back = rest;
      return line;
    });
    expectGood(await keyOf(by, at).sign(approval()));
  });

  it("that is given up on signs nothing, and may be asked again", async () => {
    const at = sitting((question) => (question.startsWith("Code ") ? "done" : ""));
    expect(await faultOf(keyOf(by, at).sign(approval()))).toMatchObject({
      code: "unavailable",
      passing: true,
      message: expect.stringContaining("given up"),
    });
  });
});

describe("a device without a cable", () => {
  it("proves possession by a message that the person carries", async () => {
    const text = possessionText(USER_VAULT.vault, "lsp");
    const { signature, recoveryId } = ecc.signRecoverable(
      messageHash(possessionLine(text)),
      lsp.secretAt(RECEIVE, 0),
    );
    const whole = concat([Uint8Array.of(31 + recoveryId), signature]);
    const at = sitting(() => base64.encode(whole));
    const account = approval().inputs[0]?.account ?? "";
    const proof = await keyOf("by=bbqr", at).provePossession(account, text);
    expect(provesPossession(USER_VAULT.vault, "lsp", proof)).toBe(true);
    expect(at.shown.join("\n")).toContain(possessionLine(text));
    const junk = keyOf(
      "by=bbqr",
      sitting(() => "no"),
    ).provePossession(account, text);
    expect(await faultOf(junk)).toMatchObject({ code: "unavailable" });
  });

  it.each([
    "airgap:",
    "airgap:box",
    "airgap:box?by=bbqr",
    "airgap:box?accounts=relative&by=bbqr",
    "airgap:box?accounts=/a&by=smoke",
    "airgap:box?accounts=/a&by=file",
    "airgap:box?accounts=/a&by=bbqr&folder=/b",
    "airgap:box?accounts=/a&by=bbqr&by=ur",
    "airgap:box?accounts=/a&by=bbqr&colour=red",
    "airgap:BOX?accounts=/a&by=bbqr",
  ])("has no URI %s", (uri) => {
    expect(() => parseAirgapUri(uri)).toThrow("no airgap: URI");
  });
});

function psbtOfFile(file: string): Uint8Array {
  return psbtOfLines([base64.encode(Uint8Array.from(readFileSync(file)))]);
}
