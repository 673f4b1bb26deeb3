/**
 * Ledger's own client asks the emulator what it once asked Ledger's real app. What is deterministic
 * is the same byte for byte, the number of APDUs included; Schnorr signatures are verified.
 */
import { schnorr } from "@noble/curves/secp256k1.js";
import { base64, hex } from "@scure/base";
import { Transaction } from "@scure/btc-signer";
import { tapLeafHash } from "@scure/btc-signer/payment.js";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { type LedgerApp, openApp } from "../support/ledger-app/app.ts";
import { reader } from "../support/ledger-app/review.ts";
import {
  type LedgerClient,
  ledgerBitcoin,
  ledgerClient,
  ledgerPackage,
  TransportStatus,
} from "../support/ledger-client.ts";
import { describeReal } from "../support/real-part.ts";
import { describeVectors } from "../support/vectors.ts";

const argsSchema = z.object({
  case: z.string().optional(),
  path: z.string().default(""),
  display: z.boolean().default(false),
  name: z.string().default(""),
  descriptorTemplate: z.string().default(""),
  keys: z.array(z.string()).default([]),
  policy: z.string().default(""),
  hmac: z.string().nullable().default(null),
  change: z.literal([0, 1]).default(0),
  index: z.number().default(0),
  psbt: z.string().default(""),
  message: z.string().default(""),
});

const signatureSchema = z.object({
  pubkey: z.string(),
  signature: z.string(),
  tapleafHash: z.string(),
});
type Signed = readonly [input: number, signature: z.infer<typeof signatureSchema>];

const callSchema = z.object({
  call: z.enum([
    "getMasterFingerprint",
    "getExtendedPubkey",
    "registerWallet",
    "getWalletAddress",
    "signPsbt",
    "signMessage",
  ]),
  args: argsSchema,
  result: z
    .union([z.string(), z.array(z.string()), z.array(z.tuple([z.number(), signatureSchema]))])
    .optional(),
  error: z.object({ status: z.string() }).optional(),
  apduCount: z.number(),
  apdus: z.array(z.tuple([z.string(), z.string()])).optional(),
});
type Call = z.infer<typeof callSchema>;
type Args = Call["args"];

const recordingSchema = z.object({ seed: z.string(), calls: z.array(callSchema) });

/** Replies to the app begin with the command; the first byte of this one says YIELD. */
const YIELD = "10";

describeVectors("Ledger's app as recorded", "ledger/app-2.4.6-user.json", (text) => {
  const recording = recordingSchema.parse(JSON.parse(text));
  const { calls } = recording;

  it("has the 66 calls that this test was written for", () => {
    expect(calls).toHaveLength(66);
  });

  describeReal(ledgerBitcoin, "asked by Ledger's own client", () => {
    const leaves = leafScripts(calls);
    let client: LedgerClient;
    let apduCount = 0;
    let rejects = false;

    beforeAll(() => {
      const app = openApp({
        mnemonic: recording.seed,
        person: reader(() => (rejects ? "reject" : "approve")),
      });
      client = ledgerClient((apdu) => {
        apduCount++;
        return app.exchange(apdu);
      });
    });

    it.each(calls.map((call, i) => ({ call, title: titleOf(call, i) })))(
      "$title",
      async ({ call }) => {
        apduCount = 0;
        rejects = isRejected(call);
        const outcome = await outcomeOf(client, call, calls);
        expect(outcome.status).toEqual(call.error?.status);
        if (call.call === "signPsbt" && outcome.signed !== undefined) {
          const recorded = z.array(z.tuple([z.number(), signatureSchema])).parse(call.result);
          expect(outcome.signed.map(withoutSignature)).toEqual(recorded.map(withoutSignature));
          for (const signed of [...outcome.signed, ...recorded]) {
            expect(verifies(call.args.psbt, leaves, signed)).toBe(true);
          }
        } else {
          expect(outcome.result).toEqual(call.result);
        }
        expect(apduCount).toBe(call.apduCount);
      },
    );
  });

  describe("asked by the recorded APDUs", () => {
    const recorded = calls.flatMap((call, i) =>
      call.apdus === undefined ? [] : [{ call, apdus: call.apdus, title: titleOf(call, i) }],
    );

    it.each(recorded)("$title", async ({ call, apdus }) => {
      const app = openApp({
        mnemonic: recording.seed,
        person: reader(() => (isRejected(call) ? "reject" : "approve")),
      });
      for (const [command, response] of apdus) {
        const answer = await exchangeHex(app, command);
        // A result of signing holds a signature, and no two are the same.
        if (!(call.call === "signPsbt" && response.startsWith(YIELD)))
          expect(answer).toBe(response);
      }
    });
  });
});

interface Outcome {
  readonly status?: string;
  readonly result?: string | readonly string[];
  readonly signed?: readonly Signed[];
}

async function outcomeOf(
  client: LedgerClient,
  call: Call,
  calls: readonly Call[],
): Promise<Outcome> {
  try {
    if (call.call === "signPsbt") return { signed: await signed(client, call.args, calls) };
    return { result: await resultOf(client, call, calls) };
  } catch (error) {
    if (!(error instanceof TransportStatus)) throw error;
    return { status: `0x${error.statusCode.toString(16)}` };
  }
}

async function resultOf(
  client: LedgerClient,
  { call, args }: Call,
  calls: readonly Call[],
): Promise<string | readonly string[]> {
  switch (call) {
    case "getMasterFingerprint":
      return client.getMasterFingerprint();
    case "getExtendedPubkey":
      return client.getExtendedPubkey(args.path, args.display);
    case "registerWallet": {
      const results = await client.registerWallet(policyOf(args));
      return results.map((bytes) => bytes.toString("hex"));
    }
    case "getWalletAddress": {
      const { change, index, display } = args;
      return client.getWalletAddress(registered(args, calls), hmacOf(args), change, index, display);
    }
    default:
      return client.signMessage(Buffer.from(args.message), args.path);
  }
}

async function signed(client: LedgerClient, args: Args, calls: readonly Call[]): Promise<Signed[]> {
  const results = await client.signPsbt(args.psbt, registered(args, calls), hmacOf(args));
  return results.map(([input, { pubkey, signature, tapleafHash }]) => [
    input,
    {
      pubkey: pubkey.toString("hex"),
      signature: signature.toString("hex"),
      tapleafHash: tapleafHash?.toString("hex") ?? "",
    },
  ]);
}

function policyOf({ name, descriptorTemplate, keys }: Args) {
  const { WalletPolicy } = ledgerPackage();
  return new WalletPolicy(name, descriptorTemplate, keys);
}

function registered({ policy }: Args, calls: readonly Call[]) {
  const found = calls.find(({ call, args }) => call === "registerWallet" && args.case === policy);
  if (found === undefined) throw new Error(`no policy ${policy} was recorded`);
  return policyOf(found.args);
}

function hmacOf({ hmac }: Args): Buffer | null {
  return hmac === null ? null : Buffer.from(hmac, "hex");
}

function withoutSignature([input, { pubkey, tapleafHash, signature }]: Signed) {
  return { input, pubkey, tapleafHash, bytes: signature.length / 2 };
}

/** By `@scure/btc-signer`'s sighash over the PSBT that was handed over. */
function verifies(
  psbt: string,
  leaves: ReadonlyMap<string, Uint8Array>,
  [input, { pubkey, signature, tapleafHash }]: Signed,
): boolean {
  const transaction = Transaction.fromPSBT(base64.decode(psbt), OPTIONS);
  const utxos = Array.from({ length: transaction.inputsLength }, (_, i) => {
    const { witnessUtxo } = transaction.getInput(i);
    if (witnessUtxo === undefined) throw new Error("an input without its coin");
    return witnessUtxo;
  });
  const script = leaves.get(tapleafHash);
  if (script === undefined) throw new Error("a leaf that no recorded PSBT has");
  const bytes = hex.decode(signature);
  const message = transaction.preimageWitnessV1(
    input,
    utxos.map((utxo) => utxo.script),
    bytes[64] ?? 0,
    utxos.map(({ amount }) => amount),
    undefined,
    script,
    0xc0,
  );
  return schnorr.verify(bytes.subarray(0, 64), message, hex.decode(pubkey));
}

const OPTIONS = { allowUnknownOutputs: true, disableScriptCheck: true } as const;

/** Leaf scripts of all recorded PSBTs by their hash; some PSBTs leave theirs out. */
function leafScripts(calls: readonly Call[]): ReadonlyMap<string, Uint8Array> {
  const scripts = new Map<string, Uint8Array>();
  for (const { args } of calls.filter(({ call }) => call === "signPsbt")) {
    const transaction = Transaction.fromPSBT(base64.decode(args.psbt), OPTIONS);
    for (let i = 0; i < transaction.inputsLength; i++) {
      for (const [, leaf] of transaction.getInput(i).tapLeafScript ?? []) {
        const script = leaf.subarray(0, -1);
        scripts.set(hex.encode(tapLeafHash(script)), script);
      }
    }
  }
  return scripts;
}

function isRejected({ args }: Call): boolean {
  return /rejected/i.test(args.case ?? "");
}

function titleOf({ call, args }: Call, i: number): string {
  const rest = [args.case ?? args.policy, args.path, args.message.slice(0, 20)];
  return [`${i}: ${call}`, ...rest.filter((part) => part !== "")].join(", ");
}

async function exchangeHex(app: LedgerApp, command: string): Promise<string> {
  return hex.encode(await app.exchange(hex.decode(command)));
}
