/** An `airgap:` URI opened as a key: which device, its accounts, and which way PSBTs go. */
import { isAbsolute } from "node:path";
import { z } from "zod";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { writePsbt } from "../../policies/bitcoin/psbt.ts";
import type { Approval } from "../../policies/decide.ts";
import { possessionLine } from "../../policies/possession.ts";
import type { Vault } from "../../policies/vault.ts";
import { readDocument } from "../config.ts";
import { devicePsbt } from "../device-psbt.ts";
import { KeyError } from "../key-error.ts";
import type { Key } from "../signer.ts";
import { type AirgapPerson, byCodes, byFile, type Exchange } from "./exchange.ts";
import { airgapKey } from "./key.ts";

export interface AirgapUri {
  /** Which device, for people. */
  readonly name: string;
  /** A file with the device's account keys (ballast/airgap@1). */
  readonly accounts: string;
  readonly way: { readonly by: "file"; readonly folder: string } | { readonly by: "bbqr" | "ur" };
}

const PARAMETERS = ["accounts", "by", "folder"];

/** `airgap:NAME?accounts=/FILE&by=bbqr|ur` or `…&by=file&folder=/FOLDER`; throws a KeyError. */
export function parseAirgapUri(text: string): AirgapUri {
  const [, name = "", query = ""] = /^airgap:([a-z0-9][a-z0-9-]{0,31})\?(.+)$/.exec(text) ?? [];
  if (name === "") throw bad("expected airgap:NAME?accounts=…&by=file|bbqr|ur");
  const values = new URLSearchParams(query);
  for (const key of new Set(values.keys())) {
    if (!PARAMETERS.includes(key)) throw bad(`unknown parameter "${key}"`);
    if (values.getAll(key).length > 1) throw bad(`${key} stands twice`);
  }
  const by = values.get("by");
  const folder = values.get("folder");
  const accounts = pathIn("accounts", values.get("accounts"));
  if (by === "file") return { name, accounts, way: { by, folder: pathIn("folder", folder) } };
  if (by !== "bbqr" && by !== "ur") throw bad("by is file, bbqr or ur");
  if (folder !== null) throw bad("codes need no folder");
  return { name, accounts, way: { by } };
}

function pathIn(name: string, value: string | null): string {
  if (value !== null && isAbsolute(value)) return value;
  throw bad(`${name} must be an absolute path`);
}

function bad(detail: string): KeyError {
  return new KeyError("unsupported", `the key is no airgap: URI: ${detail}`);
}

const accountsSchema = z.strictObject({
  format: z.literal("ballast/airgap@1"),
  accounts: z
    .array(z.strictObject({ label: z.string().min(1).max(64), key: z.string().max(300) }))
    .min(1)
    .max(100),
});

export interface OpenAirgapOptions {
  readonly network: Network;
  readonly person: AirgapPerson;
  /** A registered vault; null for any other. */
  readonly vaultOf: (id: string) => Vault | null;
}

export function openAirgapKey(text: string, options: OpenAirgapOptions): Key {
  const { network, person, vaultOf } = options;
  const { name, accounts: file, way } = parseAirgapUri(text);
  const parsed = accountsSchema.safeParse(readDocument(file));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new KeyError("damaged", `${file}: ${issue?.path.join(".")}: ${issue?.message}`);
  }
  const exchange: Exchange =
    way.by === "file"
      ? byFile(way.folder, person)
      : byCodes(way.by === "ur" ? "crypto-psbt" : "bbqr", person);
  /** One PSBT is under way at a time; its file is called after its transaction. */
  let under = "";
  return airgapKey({
    ...{ name, network, registrations: parsed.data.accounts },
    makePsbt: (approval) => {
      under = approval.txid.slice(0, 16);
      return psbtOf(approval, vaultOf);
    },
    show: (psbt) => exchange.show(psbt, under),
    collect: () => exchange.collect(under),
    prove: async ({ text: policy }) => {
      person.show([
        "Sign these words on the device as a Bitcoin message, with the address of the account at 0/0:",
        `  ${possessionLine(policy)}`,
      ]);
      const said = (await person.ask("The signature, in hex or base64: ")).trim();
      return signatureIn(said);
    },
  });
}

function psbtOf(approval: Approval, vaultOf: OpenAirgapOptions["vaultOf"]): Uint8Array {
  const [id = "", ...others] = new Set(approval.spend.inputs.map(({ vault }) => vault));
  const vault = vaultOf(id);
  if (others.length > 0 || vault === null) {
    throw new KeyError("unsupported", "a device signs for the coins of one registered vault");
  }
  return writePsbt(devicePsbt({ approval, vault }, "whole"));
}

/** 65 bytes, as wallets write them; what they are worth the law verifies. */
function signatureIn(text: string): Uint8Array {
  if (/^[0-9a-f]{130}$/.test(text)) return fromHex(text);
  if (/^[A-Za-z0-9+/]{87}=$/.test(text)) return Uint8Array.from(Buffer.from(text, "base64"));
  throw new KeyError("unavailable", "that is no signature of 65 bytes", { passing: true });
}
