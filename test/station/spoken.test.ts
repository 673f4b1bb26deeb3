/** Words signed by a person's key, on a Ledger over the emulated app or in a file, and heard. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AccountKey, childOf, readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import type { PolicyDocument } from "../../policies/document/policy.ts";
import { readNotice } from "../../policies/evidence/notice.ts";
import { standingOf } from "../../policies/evidence/standing.ts";
import type { EvidenceDocument } from "../../policies/evidence.ts";
import { possessionText } from "../../policies/possession.ts";
import { composeVault, type Role, readVault, type Vault } from "../../policies/vault.ts";
import { type CurvePool, openCurvePool } from "../../signer/curve.ts";
import type { Key } from "../../signer/signer.ts";
import { openSoftwareKey } from "../../signer/software.ts";
import { sightOf } from "../../signer/station/sight.ts";
import { agree, compose, type Speech, say } from "../../signer/station/speech.ts";
import { type LedgerStand, ledgerStand } from "../support/ledger-stand.ts";
import { EVIDENCE } from "../support/proofs.ts";
import {
  faultOf,
  lspKeyFile,
  openRoom,
  proofOf,
  requestOf,
  type SignerRoom,
} from "../support/signer-room.ts";
import {
  HEIGHT,
  honest,
  OTHER_VAULT,
  type Party,
  POLICY,
  party,
  TREASURY,
  USER_VAULT,
} from "../support/spend.ts";

let curve: CurvePool;
let stand: LedgerStand;
let folder = "";
let room: SignerRoom;

beforeAll(() => {
  curve = openCurvePool(1);
  stand = ledgerStand({ role: "user" });
});
afterAll(async () => {
  await stand.close();
  await curve.close();
});
beforeEach(async () => {
  stand.decide = () => "approve";
  folder = mkdtempSync(join(tmpdir(), "ballast-spoken-"));
  room = await openRoom({ folder, curve, vaults: [] });
});
afterEach(async () => {
  await room.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A user's key, and their vault, which the room has registered. */
interface Speaker {
  readonly key: Key;
  readonly vault: Vault;
}

const SPEAKERS = [
  ["a Ledger", onLedger],
  ["a software key", inFile],
] as const;

async function onLedger(): Promise<Speaker> {
  const holders = [
    { role: "user" as const, key: await stand.key.accountKey("0") },
    ...(["lsp", "trustee"] as const).map((role) => ({ role, key: held(role).text })),
  ];
  const around = { network: "regtest", kind: "user", name: "Ballast" } as const;
  const vault = readVault(composeVault({ ...around, holders }));
  const own = vault.holders.find(({ role }) => role === "user");
  const id = hex(own?.key.publicKey ?? new Uint8Array());
  const proof = await stand.key.provePossession(id, possessionText(vault, "user"));
  await register(vault, { user: hex(proof) });
  return { key: stand.key, vault };
}

async function inFile(): Promise<Speaker> {
  const file = lspKeyFile(folder, "first/user");
  const { vault } = USER_VAULT;
  await register(vault, { user: hex(proofOf(USER_VAULT, "user", vault)) });
  return { key: openSoftwareKey({ file, network: "regtest", curve }), vault };
}

function held(role: Role): Party {
  const own = USER_VAULT.parties.get(role);
  if (own === undefined) throw new Error(`no ${role}`);
  return own;
}

async function register(vault: Vault, given: Partial<Record<Role, string>>): Promise<void> {
  const proofs = {
    lsp: hex(proofOf(USER_VAULT, "lsp", vault)),
    trustee: hex(proofOf(USER_VAULT, "trustee", vault)),
    ...given,
  };
  const outcome = await room.signer.registerVault({ vault: vault.document, proofs });
  if (outcome.kind === "refused") throw new Error(outcome.reasons.join("; "));
}

const MANDATE = {
  ...{ sats30d: "5000000", fees30d: "50000", treasury: TREASURY.vault.id },
  until: String(HEIGHT + 20_000),
};
const DELEGATE = { key: `02${"3c".repeat(32)}`, sats: "250000", until: String(HEIGHT + 100) };

function speechOf(
  vault: Vault,
  kind: Parameters<typeof compose>[0]["kind"],
  number: number,
  fields: Readonly<Record<string, string>> = {},
): Speech {
  const speech = compose({ kind, network: "regtest", vault: vault.id, number, fields });
  if (Array.isArray(speech)) throw new Error(speech.join("; "));
  return speech;
}

/** What the room has heard of the vault, and what it comes to. */
function standing({ id }: Vault) {
  const rows = room.journal.database
    .prepare<[string], { text: string; height: bigint }>(
      "SELECT text, height FROM notices WHERE vault = ? ORDER BY heard",
    )
    .all(id);
  return standingOf(
    rows.flatMap(({ text, height }) => {
      const notice = readNotice(text);
      return notice === null ? [] : [{ notice, height: Number(height) }];
    }),
  );
}

describe.each(SPEAKERS)("words signed by %s", (_, open) => {
  it("are a mandate, which a higher number replaces and revoke ends", async () => {
    const { key, vault } = await open();
    const mandate = async (number: number, sats30d: string) =>
      await room.signer.tell(
        await say(key, speechOf(vault, "mandate", number, { ...MANDATE, sats30d }), vault),
      );
    expect(await mandate(2, "5000000")).toMatchObject({ kind: "heard", notice: "mandate" });
    expect(standing(vault).mandate?.mandate).toMatchObject({ no: 2, sats30d: 5_000_000n });
    await mandate(3, "4000000");
    expect(standing(vault).mandate?.mandate).toMatchObject({ no: 3, sats30d: 4_000_000n });
    // A lower number comes too late.
    await mandate(1, "9000000");
    expect(standing(vault).mandate?.mandate).toMatchObject({ no: 3 });
    const revoke = await say(key, speechOf(vault, "revoke", 3), vault);
    expect(await room.signer.tell(revoke)).toMatchObject({ kind: "heard", notice: "revoke" });
    expect(standing(vault).mandate).toBeNull();
    await mandate(4, "3000000");
    expect(standing(vault).mandate?.mandate).toMatchObject({ no: 4 });
  });

  it("are a delegation, and a recovery that a word stops", async () => {
    const { key, vault } = await open();
    const tell = async (speech: Speech) => await room.signer.tell(await say(key, speech, vault));
    await tell(speechOf(vault, "delegate", 1, DELEGATE));
    expect(standing(vault).delegates).toEqual([
      { key: DELEGATE.key, sats: 250_000n, until: HEIGHT + 100 },
    ]);
    await tell(speechOf(vault, "delegate", 2, { ...DELEGATE, sats: "1" }));
    expect(standing(vault).delegates).toMatchObject([{ sats: 1n }]);
    await tell(speechOf(vault, "lsp-gone", 1));
    expect(standing(vault).recoveries).toMatchObject([{ way: "lsp-gone", height: HEIGHT }]);
    await tell(speechOf(vault, "stop", 1));
    expect(standing(vault).recoveries).toEqual([]);
  });

  it("that were edited afterwards are refused", async () => {
    const { key, vault } = await open();
    const words = await say(key, speechOf(vault, "mandate", 1, MANDATE), vault);
    for (const [from, to] of [
      ["no=1", "no=2"],
      ["sats30d=5000000", "sats30d=50000000"],
      ["regtest", "signet"],
      [vault.id, OTHER_VAULT.vault.id],
      ["mandate", "revoke"],
    ] as const) {
      const text = words.text.replace(from, to);
      expect(await room.signer.tell({ ...words, text })).toMatchObject({ kind: "refused" });
    }
    expect(standing(vault).mandate).toBeNull();
    expect(await room.signer.tell(words)).toMatchObject({ kind: "heard" });
  });

  it("of a vault that is not theirs are refused before anything is signed", async () => {
    const { key, vault } = await open();
    const other = speechOf(OTHER_VAULT.vault, "stop", 1);
    for (const spoken of [
      say(key, other, vault),
      say(key, speechOf(vault, "stop", 1), OTHER_VAULT.vault),
      // The recovery key says this, not the lost user.
      say(key, speechOf(vault, "user-lost", 1, { to: OTHER_VAULT.vault.id }), vault),
    ]) {
      expect(await faultOf(spoken)).toMatchObject({ name: "KeyError", code: "unsupported" });
    }
    // Another holds the user's key there.
    const unknown = { name: "KeyError", code: "unknown-account" };
    expect(await faultOf(say(key, other, OTHER_VAULT.vault))).toMatchObject(unknown);
  });

  it("of a house vault are nobody's", async () => {
    const { key } = await open();
    const spoken = say(key, speechOf(TREASURY.vault, "stop", 1), TREASURY.vault);
    expect((await faultOf(spoken)).message).toContain("has no user who could say a stop");
  });
});

describe("words signed in another way", () => {
  const user = () => held("user");
  const sign = (text: string, secret: Uint8Array) => hex(ecc.signSchnorr(textHash(text), secret));

  it.each<readonly [string, () => Uint8Array]>([
    ["by the path beside it", () => user().secretAt(0, 1)],
    ["on the branch of change", () => user().secretAt(1, 0)],
    ["by the account itself", () => user().account.privateKey ?? new Uint8Array()],
    ["by the trustee", () => held("trustee").secretAt(0, 0)],
    ["by another user", () => party("other/user").secretAt(0, 0)],
  ])("%s are refused", async (_, secret) => {
    const { vault } = await inFile();
    const { text } = speechOf(vault, "mandate", 1, MANDATE);
    expect(await room.signer.tell({ text, signature: sign(text, secret()) })).toMatchObject({
      ...{ kind: "refused", reasons: ["the words are not signed by the key that may say them"] },
    });
    const right = sign(text, user().secretAt(0, 0));
    expect(await room.signer.tell({ text, signature: right })).toMatchObject({ kind: "heard" });
  });

  it("for another network are refused", async () => {
    const { vault } = await inFile();
    const text = speechOf(vault, "stop", 1).text.replace("regtest", "testnet");
    const words = { text, signature: sign(text, user().secretAt(0, 0)) };
    expect(await room.signer.tell(words)).toMatchObject({ reasons: ["this signer is on regtest"] });
  });

  it("by a key that signs something else do not leave the station", async () => {
    const { key, vault } = await inFile();
    const liar: Key = { ...key, signLine: async () => new Uint8Array(64) };
    const { signLine: _, ...mute } = key;
    const speech = speechOf(vault, "stop", 1);
    expect(await faultOf(say(liar, speech, vault))).toMatchObject({ code: "unverified" });
    expect(await faultOf(say(mute, speech, vault))).toMatchObject({ code: "unsupported" });
  });

  it("rejected on the device are not said", async () => {
    const { key, vault } = await onLedger();
    stand.decide = () => "reject";
    const spoken = faultOf(say(key, speechOf(vault, "stop", 1), vault));
    expect(await spoken).toMatchObject({ name: "KeyError", code: "rejected" });
  });
});

/** Two million sat are more than this law lets go, unless one of its people agrees. */
function lawOf(account: AccountKey): PolicyDocument {
  const key = hex(childOf(childOf(account, 0), 0).publicKey);
  const withdrawal = { ...POLICY.purposes.withdrawal, sats_per_spend: 1_000_000 };
  return {
    ...POLICY,
    purposes: { withdrawal },
    quorum: { approvals: 1, people: [{ name: "anna", key }] },
    lifts: [{ rule: "spend-limit", people: 1 }],
  };
}

describe.each(SPEAKERS)("an approval signed by %s", (kind) => {
  async function judged() {
    const file = lspKeyFile(folder, "anna");
    const key =
      kind === "a Ledger" ? stand.key : openSoftwareKey({ file, network: "regtest", curve });
    const account = readAccountKey(
      await key.accountKey(kind === "a Ledger" ? "0" : "vault"),
      "regtest",
    );
    const law = lawOf(account);
    const at = await openRoom({ folder: mkdtempSync(join(folder, "law-")), curve, policy: law });
    const spend = honest();
    at.chain.show(spend);
    const request = requestOf(spend);
    const sight = sightOf(await at.signer.review(request), null);
    const asked = {
      ...{ person: "anna", account, lifts: ["spend-limit"], until: HEIGHT + 10 },
      ...{ policy: at.status().policy.hash, network: "regtest" as const },
    };
    const judge = async (approvals: EvidenceDocument["approvals"]) => {
      const evidence = { ...EVIDENCE, approvals };
      const { verdict } = await at.signer.review({ ...request, evidence });
      return [verdict.verdict, ...verdict.violations.map(({ rule }) => rule)].join(" ");
    };
    return { at, key, sight, asked, judge, request };
  }

  it("lifts the rule that it names, of the spend that was seen", async () => {
    const { at, key, sight, asked, judge, request } = await judged();
    expect([sight.verdict, ...sight.violations.map(({ rule }) => rule)]).toEqual([
      ...["refused", "spend-limit"],
    ]);
    const approval = await agree(key, sight, asked);
    expect(await judge([approval])).toBe("approved");
    const evidence = { ...EVIDENCE, approvals: [approval] };
    expect(await at.signer.sign({ ...request, evidence })).toMatchObject({ kind: "signed" });
    await at.close();
  });

  it("lifts nothing else, and no other spend, law, or time", async () => {
    const { at, key, sight, asked, judge } = await judged();
    const other = "5a".repeat(32);
    for (const [seen, bend] of [
      [sight, { lifts: [] }],
      [sight, { lifts: ["fee-limit"] }],
      [sight, { until: HEIGHT - 1 }],
      [sight, { policy: other }],
      [sight, { network: "signet" as const }],
      [sight, { person: "bert" }],
      [{ ...sight, spendHash: other }, {}],
      [{ ...sight, intent: other }, {}],
    ] as const) {
      const approval = await agree(key, seen, { ...asked, ...bend });
      expect([bend, await judge([approval])]).toEqual([
        bend,
        expect.stringMatching(/^refused .*spend-limit/),
      ]);
    }
    const twice = await agree(key, sight, asked);
    expect(await judge([{ ...twice, until: twice.until + 1 }])).toMatch(/spend-limit/);
    await at.close();
  });

  it("is not given in the name of another account, or in more words than a device shows", async () => {
    const { at, key, sight, asked } = await judged();
    const liar: Key = { ...key, signLine: async () => new Uint8Array(64) };
    expect(await faultOf(agree(liar, sight, asked))).toMatchObject({ code: "unverified" });
    const account = readAccountKey(held("user").text, "regtest");
    expect(await faultOf(agree(key, sight, { ...asked, account }))).toMatchObject({
      code: "unknown-account",
    });
    const lifts = Array.from({ length: 4 }, () => "destination-allowed");
    expect(await faultOf(agree(key, sight, { ...asked, lifts }))).toMatchObject({
      code: "unsupported",
    });
    await at.close();
  });
});
