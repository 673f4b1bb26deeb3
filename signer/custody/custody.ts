/**
 * How a token keeps account keys and signs with them: one interface, a file for each way. It runs in
 * the child process. Nothing falls back from one way to another.
 */
import type { Cryptoki, KeyHandle, TokenDescription } from "../pkcs11/cryptoki.ts";
import type { ChildConfig } from "../pkcs11/protocol.ts";
import type { SessionPool } from "../pkcs11/session-pool.ts";
import type { KeyFile } from "./key-file.ts";
import type { SealedEngine } from "./sealed.ts";

/** A token that is logged in. */
export interface TokenAccess {
  readonly config: ChildConfig;
  readonly cryptoki: Cryptoki;
  readonly token: TokenDescription;
  readonly pool: SessionPool;
}

export interface Custody {
  /** A key of no account, which every health check signs with. */
  readonly probe: KeyFile;
  /** The account key of this label: a new one, or the token's own of that name. */
  make(label: string): Promise<KeyFile>;
  /**
   * 64 bytes that should be a BIP340 signature by `account + tweak`; whoever asked verifies them.
   * The tweak is the sum of the BIP32 steps and is added to the full secret key, before BIP340
   * chooses the even-Y key; it is no Taproot output tweak.
   */
  sign(item: SignItem): Promise<Uint8Array>;
  /** The engine itself has verified what it signs, by other code than whoever asked. */
  readonly verifies: boolean;
  /** What copies of keys are made with; a token that keeps its keys itself gives none. */
  readonly sealed?: { readonly engine: SealedEngine; readonly kek: KeyHandle };
}

export interface SignItem {
  readonly file: KeyFile;
  readonly tweak: Uint8Array;
  readonly message: Uint8Array;
}

export interface CustodyKind {
  /** Null where the key that this way needs is not in the token. */
  open(access: TokenAccess): Promise<Custody | null>;
  /** Makes that key. Refuses where there is one. */
  init(access: TokenAccess): Promise<void>;
}
