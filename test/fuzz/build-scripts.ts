/** The vaults, scripts and coins that the names of a plan stand for: fixed keys, derived once. */
import * as ecc from "tiny-secp256k1";
import { fromHex, hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { type Tx, txidOf } from "../../policies/bitcoin/transaction.ts";
import { concat, sized, u8 } from "../../policies/bitcoin/wire.ts";
import { fundingScript } from "../../policies/evidence/funding.ts";
import { type ReservesDocument, reservesOutpoint } from "../../policies/evidence/reserves.ts";
import { signatory } from "../support/proofs.ts";
import {
  ESCROW,
  EXIT_VAULT,
  OTHER_VAULT,
  recipient,
  type TestVault,
  TREASURY,
  testVault,
  USER_VAULT,
} from "../support/spend.ts";
import {
  type Address,
  addressKey,
  isPlace,
  type Payee,
  type Plan,
  type VaultName,
} from "./plan.ts";

const RECOVERY = testVault({ seed: "recovery" });

function held(role: "user" | "lsp", by: TestVault) {
  const party = by.parties.get(role);
  if (party === undefined) throw new Error(`the vault has no ${role}`);
  return { [role]: party };
}

export const TEST_VAULTS: Readonly<Record<VaultName, TestVault>> = {
  user: USER_VAULT,
  other: OTHER_VAULT,
  exit: EXIT_VAULT,
  recovery: RECOVERY,
  stale: testVault({
    seed: "stale",
    held: { ...held("user", RECOVERY), ...held("lsp", USER_VAULT) },
  }),
  treasury: TREASURY,
  false: testVault({ seed: "false house", kind: "treasury" }),
  escrow: ESCROW,
};

export const RESERVES: ReservesDocument = {
  message: "Ballast, November",
  root: "5e".repeat(32),
  height: 1_000,
};

const hashOf = (text: string) => sha256(new TextEncoder().encode(text));
export const hexOf = (text: string) => hex(hashOf(text));

function keyNumber(n: number): Uint8Array {
  const point = ecc.pointFromScalar(hashOf(`key ${n}`), true);
  if (point === null) throw new Error("no point");
  return point;
}

const FUNDING_KEYS = ["user-funding", "lsp-funding"].map((name) => fromHex(signatory(name).key));

const SCRIPTS: Readonly<Record<Payee["pay"], (n: number) => Uint8Array>> = {
  p2wpkh: recipient,
  p2wsh: (n) => concat([Uint8Array.of(0x00, 0x20), hashOf(`p2wsh ${n}`)]),
  p2pkh: (n) =>
    concat([
      Uint8Array.of(0x76, 0xa9, 0x14),
      hashOf(`p2pkh ${n}`).subarray(0, 20),
      Uint8Array.of(0x88, 0xac),
    ]),
  p2sh: (n) => concat([Uint8Array.of(0xa9, 0x14), hashOf(`p2sh ${n}`).subarray(0, 20), u8(0x87)]),
  p2tr: (n) => concat([Uint8Array.of(0x51, 0x20), keyNumber(n).subarray(1)]),
  funding: () => {
    const [first, second] = FUNDING_KEYS;
    if (first === undefined || second === undefined) throw new Error("a channel has two keys");
    return fundingScript([first, second]);
  },
  "op-return": (n) => Uint8Array.of(0x6a, 1, n & 0xff),
  future: (n) => concat([Uint8Array.of(0x52, 0x20), hashOf(`future ${n}`)]),
  anchor: () => Uint8Array.of(0x51, 2, 0x4e, 0x73),
  bare: (n) => concat([sized(keyNumber(n)), u8(0xac)]),
  "no-point": () => concat([Uint8Array.of(0x51, 0x20), new Uint8Array(32).fill(0xff)]),
};

const known = new Map<string, Uint8Array>();

export function scriptOf(to: Address): Uint8Array {
  if (isPlace(to)) return TEST_VAULTS[to.vault].scripts.at(to.branch, to.index).script;
  const key = addressKey(to);
  const script = known.get(key) ?? SCRIPTS[to.pay](to.n);
  known.set(key, script);
  return script;
}

/** The transaction that paid a coin. */
export function previousTx(name: string, { at, sats }: { at: Address; sats: bigint }): Tx {
  return {
    version: 2,
    inputs: [{ txid: hashOf(name), vout: 0, sequence: 0xfffffffd }],
    outputs: [
      { script: recipient(100), sats: 1_000n },
      { script: scriptOf(at), sats },
    ],
    locktime: 0,
  };
}

/** A named transaction's id, in the order in which people read it. */
export const txidNamed = (name: string) => hexOf(`tx ${name}`);

/** Where a coin lies: paid by a transaction of its own, or, as `TX#N`, by a named one. */
export function outpointOf({ coins }: Plan, name: string): string {
  if (name === "virtual") return reservesOutpoint("regtest", RESERVES);
  const [tx = "", vout] = name.split("#");
  const coin = coins.get(name);
  if (vout !== undefined || coin === undefined) return `${txidNamed(tx)}:${vout ?? 0}`;
  return `${hex(Uint8Array.from(txidOf(previousTx(name, coin))).reverse())}:1`;
}

export function outpointBytes(outpoint: string): { txid: Uint8Array; vout: number } {
  const [txid = "", vout = ""] = outpoint.split(":");
  return { txid: fromHex(txid).reverse(), vout: Number(vout) };
}
