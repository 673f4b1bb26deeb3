/**
 * Every kind of line that people, devices and stations sign, one of each. A signature over one must
 * never do for another: no two kinds have the same text, no reader takes another kind's, and no words
 * of others inside a line make it one of another kind. (attacks.md 113, 119)
 */
import { describe, expect, it } from "vitest";
import { messageHash, nodeHash, textHash } from "../../policies/bitcoin/message.ts";
import { ACTS, type Act, attestLine, eventLine, readEventLine } from "../../policies/ceremony.ts";
import { amendmentText } from "../../policies/document/amendment.ts";
import { readPolicy } from "../../policies/document/policy.ts";
import { releaseText, resumeText } from "../../policies/document/quorum.ts";
import { approvalText } from "../../policies/evidence/approval.ts";
import { fundingText } from "../../policies/evidence/funding.ts";
import { NOTICE_KINDS, readNotice, writeNotice } from "../../policies/evidence/notice.ts";
import { operationText } from "../../policies/evidence/operation.ts";
import { sats } from "../../policies/money.ts";
import { possessionHash, possessionLine, possessionText } from "../../policies/possession.ts";
import { compose } from "../../signer/station/speech.ts";
import { POLICY, party, USER_VAULT } from "../support/spend.ts";

const NETWORK = "regtest" as const;
const H = (byte: string) => byte.repeat(32);
const V = USER_VAULT.vault.id;
const policy = readPolicy(POLICY);
const key = `02${H("aa")}`;
const spend = { network: NETWORK, intent: H("1a"), spendHash: H("2b"), policy: H("3c") };

const SAID: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  mandate: { sats30d: "1", fees30d: "1", treasury: V, until: "1" },
  node: { node: key },
  delegate: { key, sats: "1", until: "1" },
  "user-lost": { to: V },
};

function notice(kind: (typeof NOTICE_KINDS)[number]): string {
  const speech = compose({ kind, network: NETWORK, vault: V, number: 1, fields: SAID[kind] ?? {} });
  if (Array.isArray(speech)) throw new Error(speech.join("; "));
  return speech.text;
}

const DETAILS: Readonly<Record<Act, Readonly<Record<string, string>>>> = {
  ...{ open: {}, seen: {}, complete: {}, close: {} },
  remind: { part: "5000", to: "cora,dan" },
  verified: { spend: H("2b"), policy: "none" },
  witnessed: { spend: H("2b") },
  approve: { psbt: H("4d"), spend: H("2b") },
  decline: { reason: "no" },
  expire: { height: "1" },
  supersede: { reason: "no" },
  broadcast: { txid: H("5e") },
  confirmed: { txid: H("5e"), height: "1" },
};

function event(act: Act, detail = DETAILS[act]): string {
  const head = { sequence: 1, previous: H("6f"), by: "cora", do: act };
  return eventLine(NETWORK, H("7a"), { ...head, detail });
}

const quorum = { network: NETWORK, role: "lsp" as const, policy: H("3c") };
const LINES: Readonly<Record<string, string>> = {
  possession: possessionLine(possessionText(USER_VAULT.vault, "user")),
  approval: approvalText(spend, { lifts: [], until: 1 }),
  operation: operationText(NETWORK, { vault: V, number: 1, do: "lock", sats: sats(1n) }),
  funding: fundingText(NETWORK, V, { user: { key }, lsp: { key }, sats: sats(1n) }),
  resume: resumeText({ ...quorum, pause: 1 }),
  release: releaseText({ ...quorum, has: "1", seen: "2" }),
  policy: amendmentText({ before: policy, after: policy }),
  attest: attestLine(
    { network: NETWORK, ceremony: H("7a") },
    { by: "cora", sequence: 1, head: H("6f") },
  ),
  ...Object.fromEntries(NOTICE_KINDS.map((kind) => [kind, notice(kind)])),
  ...Object.fromEntries(ACTS.map((act) => [`ceremony ${act}`, event(act)])),
};

describe("a line of one kind", () => {
  it.each(Object.entries(LINES))("%s begins with its own word", (kind, text) => {
    const [word = ""] = kind.split(" ");
    expect(text.startsWith(`Ballast ${word} 1 ${NETWORK} `)).toBe(true);
    const others = Object.keys(LINES).filter((other) => other.split(" ")[0] !== word);
    for (const other of others) {
      expect(text.startsWith(`Ballast ${other.split(" ")[0]} `)).toBe(false);
    }
    const act = kind.startsWith("ceremony ") ? kind.slice("ceremony ".length) : null;
    expect(readNotice(text)?.kind ?? null).toBe(SAYS.has(kind) ? kind : null);
    expect(readEventLine(text)?.event.do ?? null).toBe(act);
  });

  it("has no other's text", () => {
    expect(new Set(Object.values(LINES)).size).toBe(Object.keys(LINES).length);
  });

  it("is hashed as no other kind of signature is", () => {
    const text = possessionText(USER_VAULT.vault, "user");
    const hashes = [textHash(text), possessionHash(text), messageHash(text), nodeHash(text)];
    expect(new Set(hashes.map((hash) => Buffer.from(hash).toString("hex"))).size).toBe(4);
  });

  it.each([" ", "\n", "=", "x seq=9", "x do=approve", "\u00a0", "é", "%", "%20%0"])(
    "takes no words of others that hold %j as they are",
    (words) => {
      expect(readEventLine(event("decline", { reason: words }))).toBeNull();
      const bent = { vault: V, no: 1, node: `${key}${words}` };
      expect(readNotice(writeNotice("node", NETWORK, bent))).toBeNull();
    },
  );

  it.each([
    ["another network", (text: string) => text.replace(NETWORK, "testnet")],
    ["another version", (text: string) => text.replace(" 1 ", " 2 ")],
    ["a blank more", (text: string) => text.replace(" ", "  ")],
    ["a field more", (text: string) => `${text} x=1`],
    ["its first field twice", (text: string) => text.replace(/( \w+=\S+)/, "$1$1")],
    ["something after it", (text: string) => `${text}\nBallast stop 1 regtest`],
  ])("with %s is another line, or none", (what, bend) => {
    for (const [kind, text] of Object.entries(LINES)) {
      const bent = bend(text);
      expect(bent).not.toBe(text);
      const read = readNotice(bent) ?? readEventLine(bent);
      const known = SAYS.has(kind) || kind.startsWith("ceremony ");
      if (what !== "another network" || !known) expect(read).toBeNull();
      else expect(read).toMatchObject({ network: "testnet" });
    }
  });
});

const SAYS: ReadonlySet<string> = new Set(NOTICE_KINDS);

describe("a proof of possession", () => {
  it("differs for each network, role and byte of the policy", () => {
    const { vault } = USER_VAULT;
    const [network, role, template, ...keys] = possessionText(vault, "user").split("\n");
    const other = party("attacks/lines").text;
    const texts = [
      [network, role, template, ...keys],
      ["testnet", role, template, ...keys],
      [network, "lsp", template, ...keys],
      [network, role, template?.replace("2", "1"), ...keys],
      [network, role, template, ...keys.slice(0, -1), other],
      [network, role, template, ...[...keys].reverse()],
    ].map((parts) => parts.join("\n"));
    expect(new Set(texts.map(possessionLine)).size).toBe(texts.length);
    const hashes = texts.map((text) => Buffer.from(possessionHash(text)).toString("hex"));
    expect(new Set(hashes).size).toBe(texts.length);
  });
});
