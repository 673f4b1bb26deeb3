/**
 * Vaults of Pulser, as its deposit service recorded them: `tr(K,multi_a(2,lsp/*,trustee/*,user/*))`,
 * one descriptor a branch. Their addresses derive bit for bit, and they are watched, never signed
 * for: `watchOnlyReasons` says why. No signer registers one, for `readVault` knows no such document.
 */
import * as ecc from "tiny-secp256k1";
import { z } from "zod";
import {
  type AccountKey,
  AccountKeyError,
  childOf,
  readAccountKey,
} from "./bitcoin/account-key.ts";
import { descriptorChecksum } from "./bitcoin/descriptor.ts";
import { fromHex, hex } from "./bitcoin/hash.ts";
import { NETWORKS, type Network } from "./bitcoin/network.ts";
import {
  leafHashOf,
  multiLeaf,
  type TaprootOutput,
  taprootOutput,
  UNSPENDABLE,
} from "./bitcoin/taproot.ts";
import { equal } from "./bitcoin/wire.ts";
import { type Branch, CHANGE, RECEIVE, THRESHOLD } from "./vault.ts";

/** The keys of the leaf in their order, which is not sorted. */
const PULSER_ROLES = ["lsp", "trustee", "user"] as const;
type PulserRole = (typeof PULSER_ROLES)[number];

/** The imported vault, format `ballast/pulser-vault@1`: descriptors and keys as recorded. */
const documentSchema = z.strictObject({
  format: z.literal("ballast/pulser-vault@1"),
  network: z.enum(NETWORKS),
  /** Pulser's number of the user. */
  user: z.string().regex(/^[0-9]{1,20}$/),
  /** Of addresses given out, and of change: Pulser's "internal descriptor". */
  descriptors: z.tuple([z.string(), z.string()]),
  keys: z.strictObject({ lsp: z.string(), trustee: z.string(), user: z.string() }),
});

export type PulserDocument = z.infer<typeof documentSchema>;

/** Pulser's `user_N_public.json`. Its code knows one network; some files name it. */
const recordSchema = z.strictObject({
  user_id: z.union([z.int().nonnegative().transform(String), z.string()]),
  network: z.enum(NETWORKS).default("testnet"),
  wallet_descriptor: z.string(),
  internal_descriptor: z.string(),
  lsp_pubkey: z.string(),
  trustee_pubkey: z.string(),
  user_pubkey: z.string(),
});

export interface PulserVault {
  readonly document: PulserDocument;
  readonly network: Network;
  /** What the record says of the user's key; the leaf may have a child of it. */
  readonly userKey: AccountKey;
  readonly branches: Readonly<Record<Branch, PulserBranch>>;
}

interface PulserBranch {
  /** 32 bytes, the same for every index. */
  readonly internalKey: Uint8Array;
  readonly keys: Readonly<Record<PulserRole, PulserKey>>;
}

interface PulserKey {
  readonly key: AccountKey;
  /** As it stands between the brackets; null without any. */
  readonly origin: string | null;
}

/** The file is no record of Pulser that addresses derive from; every reason is listed. */
export class PulserError extends Error {
  override readonly name = "PulserError";
  readonly reasons: readonly string[];
  constructor(reasons: readonly string[]) {
    super(`not a vault of Pulser: ${reasons.join("; ")}`);
    this.reasons = reasons;
  }
}

/** Reads Pulser's `user_N_public.json` into the document that Ballast keeps. */
export function importPulser(record: unknown): PulserDocument {
  const { user_id, network, ...said } = checked(recordSchema, record);
  return {
    format: "ballast/pulser-vault@1",
    network,
    user: user_id,
    descriptors: [said.wallet_descriptor, said.internal_descriptor],
    keys: { lsp: said.lsp_pubkey, trustee: said.trustee_pubkey, user: said.user_pubkey },
  };
}

export function readPulserVault(value: unknown): PulserVault {
  const document = checked(documentSchema, value);
  const { network, descriptors, keys } = document;
  const reasons: string[] = [];
  const attempt = <Value>(about: string, read: () => Value): Value | null => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof AccountKeyError || error instanceof PulserError)) throw error;
      reasons.push(
        ...(error instanceof PulserError ? error.reasons : [`${about}: ${error.message}`]),
      );
      return null;
    }
  };
  const [receive, change] = descriptors.map((text, i) => {
    const about = i === RECEIVE ? "wallet descriptor" : "internal descriptor";
    const branch = attempt(about, () => readBranch(about, text, network));
    for (const role of ["lsp", "trustee"] as const) {
      if (branch === null || branch.keys[role].key.text === keys[role]) continue;
      reasons.push(`${about}: its key of the ${role} is not the recorded one`);
    }
    return branch;
  });
  const userKey = attempt("user's key", () => readAccountKey(keys.user, network));
  if (!receive || !change || userKey === null || reasons.length > 0) throw new PulserError(reasons);
  return { document, network, userKey, branches: { [RECEIVE]: receive, [CHANGE]: change } };
}

function checked<Value>(schema: z.ZodType<Value>, value: unknown): Value {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new PulserError(
    result.error.issues.map((issue) => `${issue.path.join(".") || "document"}: ${issue.message}`),
  );
}

const DESCRIPTOR =
  /^tr\((?<internal>[0-9a-f]{64}),multi_a\(2,(?<keys>[^()]*)\)\)(?:#(?<checksum>[a-z0-9]{8}))?$/;
const KEY = /^(?:\[(?<origin>[0-9a-f]{8}[0-9/']*)\])?(?<xpub>[1-9A-HJ-NP-Za-km-z]+)\/\*$/;

function readBranch(about: string, text: string, network: Network): PulserBranch {
  const no = (reason: string) => new PulserError([`${about}: ${reason}`]);
  const groups = DESCRIPTOR.exec(text)?.groups;
  const expressions = groups?.["keys"]?.split(",") ?? [];
  if (groups === undefined || expressions.length !== PULSER_ROLES.length) {
    throw no("is not tr(KEY,multi_a(2,LSP/*,TRUSTEE/*,USER/*))");
  }
  const { checksum } = groups;
  if (checksum !== undefined && descriptorChecksum(text.replace(/#.*$/, "")) !== checksum) {
    throw no("its checksum is wrong");
  }
  const internalKey = fromHex(groups["internal"] ?? "");
  if (!ecc.isXOnlyPoint(internalKey)) throw no("its internal key is no point on the curve");
  const [lsp, trustee, user] = expressions.map((expression) => {
    const parts = KEY.exec(expression)?.groups;
    if (parts === undefined) throw no(`"${expression.slice(0, 24)}…" is no key with /* behind it`);
    // The origin stays beside the key: Pulser's contradict their keys, which a reader would refuse.
    return { key: readAccountKey(parts["xpub"] ?? "", network), origin: parts["origin"] ?? null };
  });
  if (lsp === undefined || trustee === undefined || user === undefined) {
    throw new Error("BUG: three expressions were counted");
  }
  return { internalKey, keys: { lsp, trustee, user } };
}

export interface PulserScript extends TaprootOutput {
  readonly leaf: Uint8Array;
  readonly leafHash: Uint8Array;
}

/** An address of the vault: the keys of the leaf stand in the order lsp, trustee, user. */
export function pulserScriptAt(vault: PulserVault, branch: Branch, index: number): PulserScript {
  const { internalKey, keys } = vault.branches[branch];
  const leaf = multiLeaf(
    THRESHOLD,
    PULSER_ROLES.map((role) => childOf(keys[role].key, index).publicKey.slice(1)),
  );
  const leafHash = leafHashOf(leaf);
  return { leaf, leafHash, ...taprootOutput(internalKey, leafHash) };
}

/** Why nothing but its end, a migration of all its coins, may ever be signed: for people. */
export function watchOnlyReasons(vault: PulserVault): readonly string[] {
  const branches = [vault.branches[RECEIVE], vault.branches[CHANGE]] as const;
  const internals = [...new Set(branches.map(({ internalKey }) => hex(internalKey)))];
  return [
    ...internals
      .filter((key) => !equal(fromHex(key), UNSPENDABLE))
      .map(
        (key) =>
          `its internal key ${key} is not provably unspendable: whoever knows its secret takes every coin alone`,
      ),
    ...masterReasons(vault),
    ...originReasons(vault),
    ...PULSER_ROLES.filter((role) =>
      equal(branches[0].keys[role].key.publicKey, branches[1].keys[role].key.publicKey),
    ).map((role) => `the ${role} has one key for addresses and change`),
    "its keys stand in a fixed order (multi_a): no template that a signer registers",
    "nobody has proven to hold a key of it, and Pulser's server made the users' seed words itself",
    "its user has no way to leave alone",
  ];
}

/** Pulser's wallets took the children m/0/0 and m/1/0 of the recorded master key. */
const STEPS: Readonly<Record<Branch, readonly number[]>> = { [RECEIVE]: [0, 0], [CHANGE]: [1, 0] };

function masterReasons({ userKey, branches }: PulserVault): readonly string[] {
  const traced = ([RECEIVE, CHANGE] as const).map((branch) => {
    const own = branches[branch].keys.user.key.publicKey;
    if (equal(own, userKey.publicKey)) return "same";
    const child = STEPS[branch].reduce<Pick<AccountKey, "publicKey" | "chainCode">>(
      (key, step) => childOf(key, step),
      userKey,
    );
    return equal(own, child.publicKey) ? "child" : "strange";
  });
  return [
    ...(userKey.depth === 0 || traced.includes("child")
      ? [
          "the user's keys are unhardened children of a master key on record: one child's secret gives away all",
        ]
      : []),
    ...(traced[RECEIVE] === "strange" ? ["the user's key is not traced to the recorded one"] : []),
    ...(traced[CHANGE] === "strange"
      ? ["the user's key of the change is not traced to the recorded one"]
      : []),
  ];
}

function originReasons({ branches }: PulserVault): readonly string[] {
  const keys = [branches[RECEIVE], branches[CHANGE]].flatMap((branch) =>
    Object.values(branch.keys),
  );
  return [
    ...(keys.some(({ origin }) => origin === null)
      ? ["keys without an origin: no device finds its own among them"]
      : []),
    ...(keys.some(({ origin }) => origin?.startsWith("00000000") === true)
      ? ["keys of the master 00000000, which is none: no device finds its own among them"]
      : []),
  ];
}
