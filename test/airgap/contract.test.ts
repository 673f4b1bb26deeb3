/**
 * The contract of every key, by a device without a cable. The device is @scure/btc-signer, which finds
 * its way by the PSBT alone, as one of another make would: through files, and through codes both ways.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { base64 } from "@scure/base";
import { HDKey } from "@scure/bip32";
import { Transaction } from "@scure/btc-signer";
import * as ecc from "tiny-secp256k1";
import { describe } from "vitest";
import { fingerprintOf } from "../../policies/bitcoin/account-key.ts";
import { messageHash } from "../../policies/bitcoin/message.ts";
import { concat } from "../../policies/bitcoin/wire.ts";
import type { Vault } from "../../policies/vault.ts";
import { animation } from "../../signer/airgap/animation.ts";
import { openAirgapKey } from "../../signer/airgap/open.ts";
import { openScan } from "../../signer/airgap/scan.ts";
import { type KeyAtHand, keyContract } from "../contract/key.ts";
import { seen } from "./camera.ts";

const LABELS = Array.from({ length: 16 }, (_, n) => String(n));
const TESTNET = { private: 0x04358394, public: 0x043587cf };
const master = HDKey.fromMasterSeed(new Uint8Array(32).fill(7), TESTNET);
const fingerprint = fingerprintOf(master.publicKey ?? new Uint8Array(0));
const accountAt = (label: string) => master.derive(`m/48'/1'/${label}'/2'`);

/** Signs every input by the key whose way stands in it, as a device does. */
function device(psbt: Uint8Array): Uint8Array {
  const tx = Transaction.fromPSBT(psbt);
  for (let i = 0; i < tx.inputsLength; i += 1) {
    const own = tx
      .getInput(i)
      .tapBip32Derivation?.find(
        ([, { der }]) => der.fingerprint === Number.parseInt(fingerprint, 16),
      );
    const path = own?.[1].der.path ?? [];
    const child = path.reduce((key: HDKey, step: number) => key.deriveChild(step), master);
    if (child.privateKey !== null) tx.signIdx(child.privateKey, i);
  }
  return tx.toPSBT();
}

/** A message signed by the account's child 0/0, in base64, as devices and wallets write it. */
function message(account: HDKey, text: string): string {
  const { privateKey } = account.deriveChild(0).deriveChild(0);
  if (privateKey === null) throw new Error("no secret");
  const { signature, recoveryId } = ecc.signRecoverable(messageHash(text), privateKey);
  return base64.encode(concat([Uint8Array.of(31 + recoveryId), signature]));
}

interface Carrier {
  readonly by: string;
  /** What the person types, by what they are asked and what they were shown. */
  readonly answer: (question: string, shown: readonly (readonly string[])[]) => string;
}

function keyAtHand(carrierIn: (folder: string) => Carrier): KeyAtHand {
  const folder = mkdtempSync(join(tmpdir(), "ballast-airgap-"));
  const accounts = join(folder, "accounts.json");
  const keys = LABELS.map((label) => ({
    label,
    key: `[${fingerprint}/48'/1'/${label}'/2']${accountAt(label).publicExtendedKey}`,
  }));
  writeFileSync(accounts, JSON.stringify({ format: "ballast/airgap@1", accounts: keys }));
  const vaults = new Map<string, Vault>();
  const { by, answer } = carrierIn(folder);
  const shown: (readonly string[])[] = [];
  const key = openAirgapKey(`airgap:scure?accounts=${accounts}&${by}`, {
    network: "regtest",
    vaultOf: (id) => vaults.get(id) ?? null,
    person: {
      show: (lines) => void shown.push(lines),
      ask: async (question) =>
        question.startsWith("The signature")
          ? proof(shown.at(-1)?.at(-1) ?? "")
          : answer(question, shown),
    },
  });
  /** Whose account is asked for does not stand in the words: all of the device's are tried. */
  function proof(words: string): string {
    return message(accountAt(wanted), words.trim());
  }
  let wanted = "0";
  return {
    key: {
      ...key,
      provePossession: (account, text) => {
        wanted =
          LABELS.find(
            (label) => Buffer.from(accountAt(label).publicKey ?? []).toString("hex") === account,
          ) ?? "0";
        return key.provePossession(account, text);
      },
    },
    labels: LABELS,
    register: async (vault) => void vaults.set(vault.id, vault),
    close: async () => {
      await key.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

describe("airgap: by files", () => {
  keyContract(async () =>
    keyAtHand((folder) => ({
      by: `by=file&folder=${folder}`,
      answer: (question) => {
        const signed = /\[(.*)\]/.exec(question)?.[1] ?? "";
        const out = signed.replace("-signed.psbt", ".psbt");
        writeFileSync(signed, device(Uint8Array.from(readFileSync(out))));
        return "";
      },
    })),
  );
});

describe.each([
  ["BBQr", "bbqr", "bbqr"],
  ["UR", "ur", "crypto-psbt"],
] as const)("airgap: by %s", (_, by, format) => {
  keyContract(async () =>
    keyAtHand(() => {
      /** The codes that are still to be shown back; null as long as the device looks. */
      let back: string[] | null = null;
      let scan = openScan();
      const look = (picture: readonly string[] = []) => {
        if (back !== null) scan = openScan();
        back = null;
        return scan.add(seen(picture, "ansi") ?? "").kind === "done" ? "done" : "";
      };
      const signedCodes = () => {
        const state = scan.state();
        if (state.kind !== "done") throw new Error("the device has seen no PSBT");
        return animation({ psbt: device(state.psbt), format }).map(({ text }) => text);
      };
      return {
        by: `by=${by}`,
        answer: (question, shown) => {
          if (question.startsWith("Code ")) return look(shown.at(-1));
          back ??= signedCodes();
          return back.shift() ?? "";
        },
      };
    }),
  );
});
