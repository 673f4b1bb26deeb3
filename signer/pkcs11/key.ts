/** A `Key` over a token. It translates and decides nothing. */
import { fingerprintOf, writeXpub } from "../../policies/bitcoin/account-key.ts";
import { fromHex } from "../../policies/bitcoin/hash.ts";
import type { Network } from "../../policies/bitcoin/network.ts";
import { isApproval } from "../../policies/decide.ts";
import { possessionHash, possessionKey } from "../../policies/possession.ts";
import { chainCodeOf } from "../custody/key-file.ts";
import { KeyError } from "../key-error.ts";
import type { Key } from "../signer.ts";
import type { Token, TokenHealth } from "./token.ts";
import { TokenError } from "./token-error.ts";

export interface TokenKeyOptions {
  readonly token: Token;
  readonly network: Network;
  /** The token's label, for logs. */
  readonly name: string;
}

export function tokenKey({ token, network, name }: TokenKeyOptions): Key {
  return {
    name: `pkcs11:${name}`,
    custody: token.custody,
    sign: async (approval) => {
      if (!isApproval(approval)) {
        throw new KeyError("not-approved", "no decision stands behind this");
      }
      const signatures = await inWords(
        token.sign(
          approval.inputs.map(({ account, tweak, sighash }) => ({
            account,
            tweak,
            message: sighash,
          })),
        ),
      );
      return approval.inputs.map(({ input }, i) => ({
        input,
        signature: signatures[i] ?? new Uint8Array(0),
      }));
    },
    provePossession: async (account, text) => {
      const publicKey = fromHex(account);
      const { tweak } = possessionKey({ publicKey, chainCode: chainCodeOf(publicKey) });
      const message = possessionHash(text);
      const [proof] = await inWords(token.sign([{ account, tweak, message }]));
      return proof ?? new Uint8Array(0);
    },
    accountKey: async (label) => {
      const { publicKey, chainCode } = await inWords(token.createAccount(label));
      // Each vault's key is a root of its own: its origin is its own fingerprint and no path.
      return `[${fingerprintOf(publicKey)}]${writeXpub({ publicKey, chainCode }, network)}`;
    },
    health: freshHealth(token),
    process: token.process,
    ...(token.headKey !== null && { headKey: token.headKey }),
    close: () => token.close(),
  };
}

/** A probe costs a signature: who asks often is told what the last one said, while it is young. */
function freshHealth(token: Token): NonNullable<Key["health"]> {
  let last: { readonly at: number; readonly health: Promise<TokenHealth> } | null = null;
  return async (maxAgeMs) => {
    const now = performance.now();
    if (last === null || now - last.at > maxAgeMs) last = { at: now, health: token.health() };
    const health = await last.health;
    if (health.kind === "healthy") return { kind: "healthy", probeMs: health.probeMs };
    // What is wrong may be over: the next who asks makes a probe of its own.
    last = null;
    return { kind: "unhealthy", code: health.code, message: health.message };
  };
}

/** The token's faults as the key's, their words kept. */
async function inWords<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    const code = error.code === "account-unknown" ? "unknown-account" : "unavailable";
    throw new KeyError(code, error.message, { passing: error.passing, cause: error });
  }
}
