/** The networks and what tells their keys and addresses apart. */
import { networks } from "bitcoinjs-lib";

export const NETWORKS = ["bitcoin", "testnet", "signet", "regtest"] as const;
export type Network = (typeof NETWORKS)[number];

interface NetworkParameters {
  /** Version bytes of an extended public key (BIP32): `xpub` or `tpub`. */
  readonly xpubVersion: number;
  /** Second step of a key origin (SLIP44): 0' is mainnet, 1' every test network. */
  readonly coinType: number;
  /** What bitcoinjs-lib needs to write and read addresses. */
  readonly addresses: typeof networks.bitcoin;
}

export const PARAMETERS: Readonly<Record<Network, NetworkParameters>> = {
  bitcoin: { xpubVersion: 0x0488b21e, coinType: 0, addresses: networks.bitcoin },
  testnet: { xpubVersion: 0x043587cf, coinType: 1, addresses: networks.testnet },
  // Signet shares testnet's prefixes.
  signet: { xpubVersion: 0x043587cf, coinType: 1, addresses: networks.testnet },
  regtest: { xpubVersion: 0x043587cf, coinType: 1, addresses: networks.regtest },
};
