/** The two apps: what distinguishes Bitcoin from its test networks. */

/** Version bytes of extended keys. */
export interface Versions {
  readonly private: number;
  readonly public: number;
}

export interface Network {
  /** The name by which clients know the app. */
  readonly appName: string;
  /** What the first screen says. */
  readonly home: string;
  readonly ticker: string;
  /** The second step of every path, hardened. */
  readonly coinType: number;
  readonly bech32: string;
  readonly pubKeyHash: number;
  readonly scriptHash: number;
  readonly versions: Versions;
}

/** By the name of the app. */
export const NETWORKS: Readonly<Record<"Bitcoin" | "Bitcoin Test", Network>> = {
  Bitcoin: {
    appName: "Bitcoin",
    home: "Bitcoin",
    ticker: "BTC",
    coinType: 0,
    bech32: "bc",
    pubKeyHash: 0x00,
    scriptHash: 0x05,
    versions: { private: 0x0488ade4, public: 0x0488b21e },
  },
  "Bitcoin Test": {
    appName: "Bitcoin Test",
    home: "Bitcoin Testnet",
    ticker: "TEST",
    coinType: 1,
    bech32: "tb",
    pubKeyHash: 0x6f,
    scriptHash: 0xc4,
    versions: { private: 0x04358394, public: 0x043587cf },
  },
};
