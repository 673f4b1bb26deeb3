/** The formats of evidence: hashes and texts recomputed by other code, and each form refused once. */
import { createHash } from "node:crypto";
import { p2ms, p2wsh } from "@scure/btc-signer";
import fc from "fast-check";
import * as ecc from "tiny-secp256k1";
import { describe, expect, it } from "vitest";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { messageHash } from "../../policies/bitcoin/message.ts";
import { compare } from "../../policies/bitcoin/wire.ts";
import {
  type LogEntry,
  logStart,
  nextLogHead,
  unexplained,
} from "../../policies/evidence/account-log.ts";
import { fundingScript } from "../../policies/evidence/funding.ts";
import {
  messageKey,
  type NoticeKind,
  readNotice,
  recoveryHash,
  signsNotice,
  writeNotice,
} from "../../policies/evidence/notice.ts";
import { operationId, operationText } from "../../policies/evidence/operation.ts";
import { reservesOutpoint } from "../../policies/evidence/reserves.ts";
import { standingOf } from "../../policies/evidence/standing.ts";
import { leafNode, statementHash } from "../../policies/evidence/statement.ts";
import { climb, type SumNode, sumTree } from "../../policies/evidence/sum-tree.ts";
import { voteHash } from "../../policies/evidence/vote.ts";
import { EvidenceError, readEvidence } from "../../policies/evidence.ts";
import { cents, msats, sats } from "../../policies/money.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import { EVIDENCE, notice, signatory, userSecret, votes, wordOf } from "../support/proofs.ts";
import { OTHER_VAULT, TREASURY, USER_VAULT } from "../support/spend.ts";

const USER = USER_VAULT.vault.id;

/** BIP340's tagged hash by another library. */
function tagged(tag: string, ...parts: readonly (Uint8Array | string)[]): string {
  const name = createHash("sha256").update(tag).digest();
  const hash = createHash("sha256").update(name).update(name);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

describe("hashes and texts are as written down", () => {
  it("vote", () => {
    const vote = { pool: "usd", index: 7, time: 1_800_000_000, price: 10_000_000n };
    expect(hex(voteHash("regtest", vote))).toBe(
      tagged("ballast/vote@1", "regtest\nusd\n7\n1800000000\n10000000"),
    );
  });

  const leaf = {
    vault: "ab".repeat(20),
    outpoints: [`${"01".repeat(32)}:0`, `${"02".repeat(32)}:1`],
    hedgedCents: 1n,
    poolMsats: 2n,
    channelCents: 3n,
    idleSats: 4n,
    deficitSince: 5,
    sequence: 6,
    log: "0a".repeat(32),
    salt: "0b".repeat(32),
  };

  it("statement: leaf, node, header", () => {
    const text = [
      leaf.vault,
      `${"01".repeat(32)}:0,${"02".repeat(32)}:1`,
      ...["1", "2", "3", "4", "5", "6"],
      leaf.log,
      leaf.salt,
    ].join("\n");
    const one = leafNode(leaf);
    expect(hex(one.hash)).toBe(tagged("ballast/statement-leaf@1", text));
    const other = leafNode({ ...leaf, salt: "0c".repeat(32) });
    const bytes = (node: SumNode) => {
      const sums = Buffer.alloc(32);
      [node.hedgedCents, node.poolMsats, node.channelCents, node.idleSats].forEach((sum, i) => {
        sums.writeBigUInt64LE(sum, 8 * i);
      });
      return Buffer.concat([node.hash, sums]);
    };
    const [left, right] = [one, other].sort((a, b) => compare(a.hash, b.hash));
    if (left === undefined || right === undefined) throw new Error("two leaves");
    const { root } = sumTree([one, other]);
    expect(hex(root.hash)).toBe(tagged("ballast/statement-node@1", bytes(left), bytes(right)));
    expect(root).toMatchObject({ hedgedCents: 2n, poolMsats: 4n, channelCents: 6n, idleSats: 8n });
    const header = {
      ...{ network: "regtest", index: 1, height: 2, block: "00".repeat(32) },
      ...{ hedgedCents: 2n, poolMsats: 4n, channelCents: 6n, idleSats: 8n, root: hex(root.hash) },
    };
    expect(hex(statementHash(header))).toBe(
      tagged(
        "ballast/statement@1",
        `regtest\n1\n2\n${"00".repeat(32)}\n2\n4\n6\n8\n${hex(root.hash)}`,
      ),
    );
  });

  it("account log, operation, reserves, recovery key", () => {
    const entry: LogEntry = {
      ...{ kind: "fee", reference: "2026-11" },
      ...{ hedgedCents: -5n, poolMsats: 0n, channelCents: 0n, idleSats: 0n },
    };
    const start = logStart("ab".repeat(20));
    expect(start).toBe(tagged("ballast/account-log@1", "ab".repeat(20)));
    expect(nextLogHead(start, entry)).toBe(
      tagged("ballast/account-log-entry@1", `${start}\nfee\n2026-11\n-5\n0\n0\n0`),
    );
    const lock = { vault: USER, number: 3, do: "lock", sats: sats(9n) } as const;
    expect(operationText("regtest", lock)).toBe(
      `Ballast operation 1 regtest vault=${USER} no=3 do=lock sats=9`,
    );
    expect(operationId("regtest", lock)).toBe(
      tagged("ballast/operation@1", operationText("regtest", lock)),
    );
    const attested = { message: "November", root: "5e".repeat(32), height: 7 };
    expect(reservesOutpoint("regtest", attested)).toBe(
      `${tagged("ballast/reserves@1", `regtest\n${attested.root}\n7\nNovember`)}:0`,
    );
    expect(recoveryHash({ text: "tpub…" })).toBe(
      tagged("ballast/recovery@1", "tpub…").slice(0, 40),
    );
  });

  it("funding output, as @scure/btc-signer makes it", () => {
    const keys = [signatory("a").key, signatory("b").key].sort().map(fromHex);
    const [one, two] = keys;
    if (one === undefined || two === undefined) throw new Error("two keys");
    const expected = p2wsh(p2ms(2, [one, two])).script;
    expect(fundingScript([one, two])).toEqual(expected);
    expect(fundingScript([two, one])).toEqual(expected);
  });
});

describe("a Merkle-sum tree", () => {
  const amount = fc.bigInt({ min: 0n, max: 1n << 40n });
  const leaves = fc.uniqueArray(
    fc.record({
      hash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      hedgedCents: amount,
      poolMsats: amount,
      channelCents: amount,
      idleSats: amount,
    }),
    { minLength: 1, maxLength: 40, selector: ({ hash }) => hex(hash) },
  );

  it("leads from every leaf to its root, and from no other leaf", () => {
    fc.assert(
      fc.property(leaves, (all) => {
        const { root, pathOf } = sumTree(all);
        const total = all.reduce((sum, { idleSats }) => sum + idleSats, 0n);
        expect(root.idleSats).toBe(total);
        for (const leaf of all) {
          const path = pathOf(leaf.hash);
          expect(climb(leaf, path)).toEqual(root);
          expect(climb({ ...leaf, idleSats: leaf.idleSats + 1n }, path)).not.toEqual(root);
          path.forEach((step, i) => {
            const side = step.side === "left" ? ("right" as const) : ("left" as const);
            expect(climb(leaf, path.with(i, { ...step, side }))).not.toEqual(root);
            expect(
              climb(leaf, path.with(i, { ...step, poolMsats: step.poolMsats + 1n })),
            ).not.toEqual(root);
          });
        }
      }),
      { numRuns: 60 },
    );
  });

  it("has no sum below nothing, and none that would wrap", () => {
    const zero = { hedgedCents: 0n, poolMsats: 0n, channelCents: 0n, idleSats: 0n };
    const leaf = { hash: new Uint8Array(32), ...zero };
    const step = { side: "left" as const, ...leaf };
    expect(climb(leaf, [step])).not.toBeNull();
    expect(climb(leaf, [{ ...step, idleSats: -1n }])).toBeNull();
    expect(climb({ ...leaf, idleSats: 1n << 62n }, [step])).not.toBeNull();
    expect(climb({ ...leaf, idleSats: 1n << 62n }, [{ ...step, idleSats: 1n }])).toBeNull();
  });
});

describe("an account's log", () => {
  const entry = (part: Partial<LogEntry>): LogEntry => ({
    ...{ kind: "deposit", reference: "r" },
    ...{ hedgedCents: 0n, poolMsats: 0n, channelCents: 0n, idleSats: 0n },
    ...part,
  });
  const first = entry({ hedgedCents: 100n });
  const second = entry({ kind: "operation", hedgedCents: -40n, poolMsats: 400n });
  const before = {
    vault: USER,
    hedgedCents: cents(100n),
    poolMsats: msats(0n),
    channelCents: cents(0n),
    idleSats: sats(0n),
    sequence: 1,
    log: nextLogHead(logStart(USER), first),
  };
  const account = {
    ...before,
    outpoints: [],
    hedgedCents: cents(60n),
    poolMsats: msats(400n),
    deficitSince: 0,
    sequence: 2,
    log: nextLogHead(before.log, second),
  };

  it("explains a claim from nothing, from what is remembered, and from itself", () => {
    expect(unexplained(account, { remembered: null, entries: [first, second] })).toBeNull();
    expect(unexplained(account, { remembered: before, entries: [second] })).toBeNull();
    expect(unexplained(account, { remembered: account, entries: [] })).toBeNull();
  });

  it.each([
    ["an entry left out", before, []],
    ["an entry too many", before, [first, second]],
    ["entries in another order", null, [second, first]],
    ["another entry", before, [entry({ kind: "operation", hedgedCents: -40n, poolMsats: 401n })]],
    ["an older state than is remembered", { ...account, sequence: 3 }, []],
    ["another log than is remembered", { ...before, log: "00".repeat(32) }, [second]],
    ["another claim than is remembered", { ...before, hedgedCents: cents(101n) }, [second]],
  ])("does not explain it with %s", (_, remembered, entries) => {
    expect(unexplained(account, { remembered, entries })).not.toBeNull();
  });
});

const FIELDS: Readonly<Record<NoticeKind, Readonly<Record<string, string | number>>>> = {
  mandate: {
    ...{ vault: USER, no: 1, may: "collect,top-up,consolidation,cancel" },
    ...{ sats30d: 1_000_000_000, fees30d: 100_000, bump: 20_000, refresh: 12, claimbps: 100 },
    ...{ treasury: TREASURY.vault.id, recovery: "ab".repeat(20), until: 926_000 },
  },
  revoke: { vault: USER, no: 1 },
  node: { vault: USER, no: 1, node: signatory("n").key },
  delegate: { vault: USER, no: 1, key: signatory("k").key, sats: 5, until: 9 },
  "lsp-gone": { vault: USER, no: 1 },
  "user-lost": { vault: USER, no: 1, to: OTHER_VAULT.vault.id },
  stop: { vault: USER, no: 1 },
};

describe.each(Object.entries(FIELDS))("a notice: %s", (kind, fields) => {
  const text = writeNotice(kind as NoticeKind, "bitcoin", fields);

  it("is one line of at most 300 bytes that is read back", () => {
    expect(text).toMatch(/^[\x20-\x7e]{1,300}$/);
    expect(readNotice(text)).toMatchObject({ kind, network: "bitcoin", vault: USER });
  });

  it.each([
    ["a space more", text.replace(" vault=", "  vault=")],
    ["a space at its end", `${text} `],
    ["a line break", text.replace(" vault=", "\nvault=")],
    ["another version", text.replace(" 1 ", " 2 ")],
    ["another network", text.replace(" bitcoin ", " mainnet ")],
    ["another kind", text.replace(`Ballast ${kind}`, "Ballast resume")],
    ["a number with a leading zero", text.replace(" no=1", " no=01")],
    ["a negative number", text.replace(" no=1", " no=-1")],
    ["an unknown field", `${text} more=1`],
    ["a field twice", `${text} vault=${USER}`],
    ["its fields in another order", text.replace(/(vault=\S+) (no=\S+)/, "$2 $1")],
    ["a vault in capitals", text.replace(USER, USER.toUpperCase())],
    ["no vault", text.replace(` vault=${USER}`, "")],
  ])("with %s is none", (_, bent) => {
    expect(bent).not.toBe(text);
    expect(readNotice(bent)).toBeNull();
  });

  it("is signed by the one who may say it, as software and as a Ledger signs", () => {
    const read = readNotice(text);
    if (read === null) throw new Error("no notice");
    const [vault, to] = [USER_VAULT.vault, OTHER_VAULT.vault];
    const secret = userSecret(kind === "user-lost" ? OTHER_VAULT : USER_VAULT);
    const { signature, recoveryId } = ecc.signRecoverable(messageHash(text), secret);
    const device = Uint8Array.of(31 + recoveryId, ...signature);
    const software = fromHex(wordOf(text, secret));
    const by = (bytes: Uint8Array, where = { vault, to }) =>
      signsNotice(read, { text, signature: bytes }, where);
    expect([by(software), by(device)]).toEqual([true, true]);
    expect(by(fromHex(wordOf(`${text} `, secret)))).toBe(false);
    expect(by(new Uint8Array(64))).toBe(false);
    expect(by(new Uint8Array(0))).toBe(false);
    expect(by(software, { vault: TREASURY.vault, to: TREASURY.vault })).toBe(false);
    for (const [branch, index] of [
      [RECEIVE, 1],
      [CHANGE, 0],
    ] as const) {
      const other = USER_VAULT.parties.get("user")?.secretAt(branch, index) ?? secret;
      expect(by(fromHex(wordOf(text, other)))).toBe(false);
    }
  });
});

it("a house vault has nobody who could give a notice", () => {
  expect(messageKey(TREASURY.vault)).toBeNull();
});

describe("a standing", () => {
  const numbered = (kind: NoticeKind, no: number, height = 100, more = {}) => {
    const { text, height: heard } = notice(kind, { ...FIELDS[kind], no, ...more }, height);
    return { notice: text, height: heard };
  };
  const mandateNo = (...heard: readonly ReturnType<typeof numbered>[]) =>
    standingOf(heard).mandate?.mandate.no ?? null;
  const ways = (...heard: readonly ReturnType<typeof numbered>[]) =>
    standingOf(heard).recoveries.map(({ way }) => way);

  it("holds the mandate of the highest number, whatever was heard last", () => {
    expect(mandateNo(numbered("mandate", 2), numbered("mandate", 1))).toBe(2);
    expect(mandateNo()).toBeNull();
  });

  it("holds the first text of a number", () => {
    const [one, two] = [1, 2].map((refresh) => numbered("mandate", 1, 100, { refresh }));
    if (one === undefined || two === undefined) throw new Error("two mandates");
    expect(standingOf([one, two]).mandate?.mandate.refresh).toBe(1);
  });

  it("ends by a revocation of its number or a higher one, in any order", () => {
    expect(mandateNo(numbered("mandate", 2), numbered("revoke", 1))).toBe(2);
    expect(mandateNo(numbered("mandate", 2), numbered("revoke", 2))).toBeNull();
    expect(mandateNo(numbered("revoke", 3), numbered("mandate", 2))).toBeNull();
  });

  it("opens a recovery until it is stopped", () => {
    expect(ways(numbered("lsp-gone", 2))).toEqual(["lsp-gone"]);
    expect(ways(numbered("lsp-gone", 2), numbered("stop", 1))).toEqual(["lsp-gone"]);
    expect(ways(numbered("stop", 2), numbered("lsp-gone", 2))).toEqual([]);
  });

  it("takes any word of the old key at or after the announcement for a sign of life", () => {
    const lost = numbered("user-lost", 1, 100);
    expect(ways(lost)).toEqual(["user-lost"]);
    expect(ways(numbered("mandate", 1, 99), lost)).toEqual(["user-lost"]);
    expect(ways(numbered("mandate", 1, 100), lost)).toEqual([]);
    expect(ways(lost, numbered("revoke", 1, 101))).toEqual([]);
    expect(ways(lost, numbered("user-lost", 2, 101))).toEqual(["user-lost", "user-lost"]);
  });

  it("knows the newest node and operating key only", () => {
    const keys = [1, 2].map((no) => numbered("delegate", no, 100, { sats: no }));
    expect(standingOf(keys).delegates.map((key) => key.sats)).toEqual([2n]);
    expect(standingOf([...keys].reverse()).delegates.map((key) => key.sats)).toEqual([2n]);
    expect(standingOf([numbered("node", 1)]).node).toBe(signatory("n").key);
  });
});

describe("an evidence document", () => {
  const [vote] = votes();

  it("may be empty", () => {
    expect(readEvidence(EVIDENCE)).toMatchObject({ votes: [], logs: [], approvals: [] });
  });

  it.each([
    ["no format", {}],
    ["another format", { format: "ballast/evidence@2" }],
    ["an unknown key", { ...EVIDENCE, more: 1 }],
    ["a vote with an unknown key", { ...EVIDENCE, votes: [{ ...vote, more: 1 }] }],
    ["a price of nothing", { ...EVIDENCE, votes: [{ ...vote, price: "0" }] }],
    ["a price below nothing", { ...EVIDENCE, votes: [{ ...vote, price: "-1" }] }],
    ["a price with a leading zero", { ...EVIDENCE, votes: [{ ...vote, price: "01" }] }],
    ["a float", { ...EVIDENCE, votes: [{ ...vote, price: 1.5 }] }],
    ["a signature in capitals", { ...EVIDENCE, votes: [{ ...vote, signature: "AB".repeat(64) }] }],
    ["a short signature", { ...EVIDENCE, votes: [{ ...vote, signature: "ab".repeat(63) }] }],
    ["more votes than there are guardians", { ...EVIDENCE, votes: Array(51).fill(vote) }],
    ["an original that is no PSBT", { ...EVIDENCE, original: "AAAA" }],
    ["an original that is no base64", { ...EVIDENCE, original: "*" }],
    ["a null", null],
    ["a list", []],
  ])("with %s is refused in words", (_, value) => {
    expect(() => readEvidence(value)).toThrow(EvidenceError);
  });
});
