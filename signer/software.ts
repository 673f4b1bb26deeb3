/**
 * A key in a file: for tests, tours and trials. It refuses mainnet, because a secret that lies on a
 * disk guards nothing.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import * as ecc from "tiny-secp256k1";
import { z } from "zod";
import { fingerprintOf, HARDENED, writePath, writeXpub } from "../policies/bitcoin/account-key.ts";
import { fromHex, hex, hmacSha512 } from "../policies/bitcoin/hash.ts";
import { textHash } from "../policies/bitcoin/message.ts";
import { NETWORKS, type Network, PARAMETERS } from "../policies/bitcoin/network.ts";
import { concat } from "../policies/bitcoin/wire.ts";
import { isApproval } from "../policies/decide.ts";
import { possessionHash, possessionKey } from "../policies/possession.ts";
import type { CurvePool } from "./curve.ts";
import { KeyError } from "./key-error.ts";
import { checkLine } from "./signed-line.ts";
import type { Key } from "./signer.ts";

const fileSchema = z.strictObject({
  format: z.literal("ballast/software-key@1"),
  network: z.enum(NETWORKS),
  /** 32 bytes: the BIP32 seed. */
  seed: z.string().regex(/^[0-9a-f]{64}$/),
  /** Labels of accounts in the order of their numbers. */
  accounts: z.array(z.string().min(1).max(64)),
});

/** Writes a new key file; refuses mainnet and refuses to overwrite. */
export function createSoftwareKey(
  file: string,
  network: Network,
  accounts: readonly string[],
): void {
  refuseMainnet(network);
  const content = fileSchema.parse({
    format: "ballast/software-key@1",
    network,
    seed: randomBytes(32).toString("hex"),
    accounts,
  });
  const handle = openSync(file, "wx", 0o600);
  try {
    writeSync(handle, `${JSON.stringify(content)}\n`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

export interface SoftwareKeyOptions {
  readonly file: string;
  readonly network: Network;
  readonly curve: CurvePool;
}

export function openSoftwareKey({ file, network, curve }: SoftwareKeyOptions): Key {
  refuseMainnet(network);
  const content = readKeyFile(file);
  if (content.network !== network) {
    throw new KeyError("damaged", `key file ${file} is for ${content.network}, not ${network}`);
  }
  const master = masterOf(fromHex(content.seed));
  const fingerprint = fingerprintOf(publicKeyOf(master.secret));
  const accounts = content.accounts.map((label, number) => {
    const path = [48, PARAMETERS[network].coinType, number, 2].map((step) => step + HARDENED);
    const account = path.reduce(hardenedChild, master);
    const publicKey = publicKeyOf(account.secret);
    const xpub = writeXpub({ publicKey, chainCode: account.chainCode }, network, {
      depth: path.length,
      parentFingerprint: account.parent,
      childNumber: path.at(-1) ?? 0,
    });
    return {
      label,
      secret: account.secret,
      id: hex(publicKey),
      key: { publicKey, chainCode: account.chainCode },
      text: `[${fingerprint}/${writePath(path)}]${xpub}`,
    };
  });

  function accountOf(id: string) {
    const account = accounts.find((candidate) => candidate.id === id);
    if (account === undefined) {
      throw new KeyError("unknown-account", `key file ${file} has no account with key ${id}`);
    }
    return account;
  }

  return {
    name: `software:${fingerprint}`,
    custody: "software key in a file, for trials only",
    sign: async (approval) => {
      if (!isApproval(approval))
        throw new KeyError("not-approved", "no decision stands behind this");
      const jobs = approval.inputs.map(({ account, tweak, sighash }) => ({
        secret: accountOf(account).secret,
        tweak,
        message: sighash,
      }));
      const signatures = await curve.sign(jobs);
      return approval.inputs.map(({ input }, i) => ({
        input,
        signature: signatures[i] ?? NOTHING,
      }));
    },
    provePossession: async (id, text) => {
      const { secret, key } = accountOf(id);
      const { tweak } = possessionKey(key);
      const [proof] = await curve.sign([{ secret, tweak, message: possessionHash(text) }]);
      return proof ?? NOTHING;
    },
    signLine: async (id, text) => {
      checkLine(text);
      const { secret, key } = accountOf(id);
      const { tweak } = possessionKey(key);
      const [signature] = await curve.sign([{ secret, tweak, message: textHash(text) }]);
      return signature ?? NOTHING;
    },
    accountKey: async (label) => {
      const account = accounts.find((candidate) => candidate.label === label);
      if (account === undefined) {
        throw new KeyError("unknown-account", `key file ${file} has no account "${label}"`);
      }
      return account.text;
    },
    close: async () => {
      for (const { secret } of accounts) secret.fill(0);
    },
  };
}

const NOTHING = new Uint8Array(0);

interface Node {
  readonly secret: Uint8Array;
  readonly chainCode: Uint8Array;
  /** Fingerprint of the parent. */
  readonly parent: string;
}

/** BIP32 master key generation. */
function masterOf(seed: Uint8Array): Node {
  const mac = hmacSha512(new TextEncoder().encode("Bitcoin seed"), seed);
  return { secret: mac.slice(0, 32), chainCode: mac.slice(32), parent: "00000000" };
}

/** BIP32 CKDpriv for a hardened index. */
function hardenedChild(parent: Node, index: number): Node {
  const step = new Uint8Array(4);
  new DataView(step.buffer).setUint32(0, index, false);
  const mac = hmacSha512(parent.chainCode, concat([Uint8Array.of(0), parent.secret, step]));
  const secret = ecc.privateAdd(parent.secret, mac.subarray(0, 32));
  if (secret === null) throw new KeyError("damaged", "the seed yields no key at this path");
  return { secret, chainCode: mac.slice(32), parent: fingerprintOf(publicKeyOf(parent.secret)) };
}

function publicKeyOf(secret: Uint8Array): Uint8Array {
  const publicKey = ecc.pointFromScalar(secret, true);
  if (publicKey === null) throw new KeyError("damaged", "the seed yields no key");
  return publicKey;
}

function readKeyFile(file: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    // The cause could quote the file, so it is left out.
    const reason =
      error instanceof Error && "code" in error ? String(error.code) : "not a key file";
    throw new KeyError("damaged", `key file ${file} cannot be read: ${reason}`);
  }
}

function refuseMainnet(network: Network): void {
  if (network === "bitcoin") {
    throw new KeyError("mainnet", "a software key refuses mainnet: use a Ledger or an HSM");
  }
}
