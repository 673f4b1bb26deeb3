/** One URI, one key. The scheme says where the secret is; nothing falls back to another. */
import type { Network } from "../policies/bitcoin/network.ts";
import type { AirgapPerson } from "./airgap/exchange.ts";
import { openAirgapKey } from "./airgap/open.ts";
import type { CurvePool } from "./curve.ts";
import { KeyError } from "./key-error.ts";
import { type LedgerParts, openLedgerKey } from "./ledger/open.ts";
import { tokenKey } from "./pkcs11/key.ts";
import { openToken } from "./pkcs11/token.ts";
import { parsePkcs11Uri } from "./pkcs11/uri.ts";
import type { Key } from "./signer.ts";
import { openSoftwareKey } from "./software.ts";

export interface OpenKeyOptions {
  readonly network: Network;
  readonly curve: CurvePool;
  /** Added to the environment of a token's process, where its library is configured by it. */
  readonly env?: Readonly<Record<string, string>>;
  readonly log: (event: string, fields: Record<string, unknown>) => void;
  /** For a device that a person uses; without them none is opened. */
  readonly ledger?: LedgerParts;
  /** Who carries PSBTs to an air-gapped device. */
  readonly person?: AirgapPerson;
}

/** Opens `software:/path/to/key.json`, `pkcs11:token=…?module-path=…` or `ledger:hid`. */
export async function openKey(uri: string, options: OpenKeyOptions): Promise<Key> {
  const scheme = uri.slice(0, uri.indexOf(":") + 1);
  switch (scheme) {
    case "software:":
      return openSoftwareKey({ file: uri.slice(scheme.length), ...options });
    case "pkcs11:": {
      const { network, env, log } = options;
      const token = await openToken({ uri, network, log, ...(env && { env }) });
      const { token: label, serial } = parsePkcs11Uri(uri);
      return tokenKey({ token, network, name: label ?? serial ?? "" });
    }
    case "ledger:": {
      const { network, ledger, log } = options;
      if (ledger === undefined) throw new KeyError("unsupported", "a Ledger needs a journal");
      return openLedgerKey(uri, { network, log, ...ledger });
    }
    case "airgap:": {
      const { network, ledger, person } = options;
      if (ledger === undefined || person === undefined) {
        throw new KeyError("unsupported", "an air-gapped device needs a person: use a station");
      }
      return openAirgapKey(uri, { network, person, vaultOf: ledger.vaultOf });
    }
    default:
      throw new KeyError(
        "unsupported",
        scheme === ""
          ? "the key is no URI: expected software:, pkcs11:, ledger: or airgap:"
          : `no key can be opened by "${scheme}": expected software:, pkcs11:, ledger: or airgap:`,
      );
  }
}
