/** `ballast policy`, called as a person calls it. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import { decide } from "../../policies/decide.ts";
import { amendmentText, verifyAmendment } from "../../policies/document/amendment.ts";
import { readPolicy } from "../../policies/document/policy.ts";
import { readSignedPolicy } from "../../policies/document/signed-policy.ts";
import { readDocumentFile } from "../../scripts/input.ts";
import { openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { openLaw } from "../../signer/law.ts";
import { victimClaim } from "../support/journal-claims.ts";
import { honest, POLICY } from "../support/spend.ts";

const ROOT = join(import.meta.dirname, "../..");
const SECRETS = [1, 2].map((n) => sha256(u32(n)));
const NAMES = ["ann", "ben"];
const people = SECRETS.map((secret, i) => ({
  name: NAMES[i] ?? "",
  key: hex(ecc.pointFromScalar(secret, true) ?? new Uint8Array()),
}));
const OLD = { ...POLICY, quorum: { approvals: 2, people } };
const NEW = {
  ...OLD,
  version: 2,
  chain: { confirmations: 4 },
  fees: { ...OLD.fees, sats: 100_001 },
};

let folder = "";
const file = (name: string) => join(folder, name);
function save(name: string, content: unknown): string {
  writeFileSync(file(name), typeof content === "string" ? content : JSON.stringify(content));
  return file(name);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-policy-"));
  save("old", OLD);
  save("new", NEW);
  for (const [i, secret] of SECRETS.entries()) save(`${NAMES[i]}.key`, `${hex(secret)}\n`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function policy(...words: readonly string[]) {
  const run = spawnSync(join(ROOT, "scripts/ballast"), ["policy", ...words], { encoding: "utf8" });
  return { code: run.status, out: run.stdout, err: run.stderr };
}

function word(person: number, text: string): string {
  const secret = SECRETS[person] ?? new Uint8Array();
  return `${NAMES[person]}=${hex(ecc.signSchnorr(textHash(text), secret))}`;
}

describe("ballast policy lint", () => {
  it("says ok, and what is worth a second thought", () => {
    expect(policy("lint", file("new"))).toMatchObject({
      code: 0,
      out: expect.stringContaining("ok: lsp.regtest v2"),
    });
    const lonely = policy("lint", save("lonely", POLICY), "--json");
    expect(JSON.parse(lonely.out)).toMatchObject({
      ok: true,
      notes: [expect.stringContaining("no quorum")],
    });
  });

  it("says every reason with its place: exit 2", () => {
    const bent = save("bent", { ...OLD, feez: 1, fees: { ...OLD.fees, share_bps: 10_001 } });
    const run = policy("lint", bent);
    expect(run.code).toBe(2);
    expect(run.err.trim().split("\n")).toEqual([
      expect.stringContaining("fees.share_bps"),
      expect.stringContaining("feez"),
    ]);
    expect(JSON.parse(policy("lint", bent, "--json").out)).toMatchObject({ ok: false });
  });

  it("does not guess what a repeated key means: exit 2", () => {
    expect(policy("lint", save("odd", "name: a\nname: b\n")).code).toBe(2);
  });

  it("finds every policy of the project in order", () => {
    for (const name of ["lsp.bitcoin", "lsp.regtest", "trustee.regtest", "user.regtest"]) {
      const document = readDocumentFile("policy", join(ROOT, "policies", `${name}.yaml`));
      expect(readSignedPolicy(document).policy.name).toBe(name);
    }
  });
});

describe("ballast policy diff", () => {
  it("tells each difference with its direction, and the verdict", () => {
    const { code, out } = policy("diff", file("old"), file("new"));
    expect(code).toBe(0);
    expect(out).toContain("tightening  chain.confirmations: 3 -> 4");
    expect(out).toContain("loosening   fees.sats: 100000 -> 100001");
    expect(out).toContain("loosening, waits 24 h");
  });

  it("prints one JSON object, faults included", () => {
    const { out } = policy("diff", file("new"), file("old"), "--json");
    expect(JSON.parse(out)).toMatchObject({
      verdict: "loosening",
      old: { version: 2 },
      new: { version: 1 },
      differences: [
        { path: "chain.confirmations", before: 4, after: 3, direction: "loosening" },
        { path: "fees.sats", before: 100_001, after: 100_000, direction: "tightening" },
        { path: "version", direction: "neutral" },
      ],
      faults: ["version 1 is older than 2, which is in force"],
    });
  });

  it("reads standard input once: exit 2", () => {
    expect(policy("diff", "-", "-").code).toBe(2);
  });
});

describe("ballast policy sign", () => {
  const text = amendmentText({ before: readPolicy(OLD), after: readPolicy(NEW) });

  it("has a text only for what may be an amendment", () => {
    expect(text).toMatch(/^Ballast policy 1 regtest role=lsp name=lsp\.regtest from=[0-9a-f]{64}/);
    expect(policy("text", file("new"), file("old"))).toMatchObject({ code: 2, out: "" });
    const lonely = save("lonely", POLICY);
    expect(policy("text", lonely, file("new")).err).toContain("names no quorum");
  });

  it("collects agreements one after the other into a file that a signer takes", () => {
    const [one, both] = [file("signed.1"), file("signed.2")];
    const first = policy("sign", file("old"), file("new"), "--agree", word(0, text), "--out", one);
    expect(first).toMatchObject({ code: 0, out: "", err: "1 of 2 people agree: ann\n" });
    const second = policy("sign", file("old"), one, "--key-file", file("ben.key"), "--out", both);
    expect(second.err).toBe("2 of 2 people agree: ann, ben\n");
    const { document, agreements } = readSignedPolicy(JSON.parse(readFileSync(both, "utf8")));
    expect(verifyAmendment({ inForce: OLD, next: document, agreements }).kind).toBe("accepted");
    expect(policy("lint", both).out).toContain("2 agreements");
  });

  it("prints the file where no place is given", () => {
    const keys = NAMES.map((name) => file(`${name}.key`));
    const { out } = policy("sign", file("old"), file("new"), "--key-file", ...keys);
    expect(readSignedPolicy(JSON.parse(out)).agreements).toHaveLength(2);
  });

  it.each<[string, () => readonly string[]]>([
    ["nobody", () => []],
    ["a word over another text", () => ["--agree", word(0, "other")]],
    ["a stranger", () => ["--agree", word(0, text).replace("ann", "dora")]],
    ["one twice", () => ["--agree", word(0, text), "--key-file", file("ann.key")]],
    ["no signature", () => ["--agree", "ann=00"]],
    ["a key that nobody has", () => ["--key-file", save("none.key", "11".repeat(32))]],
    ["a file without a key", () => ["--key-file", file("old")]],
  ])("with %s writes nothing: exit 2", (_, words) => {
    const out = file("refused");
    expect(policy("sign", file("old"), file("new"), ...words(), "--out", out).code).toBe(2);
    expect(existsSync(out)).toBe(false);
  });
});

describe("ballast policy simulate", () => {
  const at = () => ({ file: file("journal.db"), network: "regtest", role: "lsp" }) as const;
  const tight = (sats: number) => {
    const withdrawal = { ...POLICY.purposes.withdrawal, windows: [{ hours: 24, sats }] };
    return save("tight", { ...POLICY, purposes: { withdrawal } });
  };

  it("says which spends of a journal it would have refused, and what it cannot say", () => {
    createJournal(at());
    const journal = openJournal(at());
    const approved = decide(honest().case);
    for (let n = 0; n < 5; n += 1) journal.claim(victimClaim(n), () => approved);
    journal.close();
    const run = policy("simulate", "--journal", file("journal.db"), "--policy", tight(3_000));
    expect(run.code).toBe(0);
    expect(run.out).toContain("would have refused 2 (2000 sat, 0 sat fees) of 5 (5000 sat");
    expect(run.out).toContain(
      "purposes.withdrawal.windows.24h: 4000 sat within 24 h, at most 3000",
    );
    expect(run.out).toContain("fees.sat_per_vbyte");
    expect(run.out).toContain("5 spends that carry not all their charges");
    const enough = policy("simulate", "--journal", file("journal.db"), "--policy", tight(5_000));
    expect(enough.out).toContain("would have refused 0 ");
  });

  it("reads a history document, and prints one JSON object", () => {
    const page = readFileSync(join(ROOT, "policies/README.md"), "utf8");
    const history = save("history", /```json history\n([\s\S]*?)\n```/.exec(page)?.[1] ?? "");
    const run = policy("simulate", "--history", history, "--policy", tight(249_999), "--json");
    expect(JSON.parse(run.out)).toMatchObject({
      spends: { count: 1, sats: "249500", feeSats: "500" },
      refused: { count: 1 },
      limits: { "purposes.withdrawal.windows.24h": 1 },
    });
  });

  it.each<[string, () => readonly string[]]>([
    ["neither", () => []],
    ["both", () => ["--journal", file("journal.db"), "--history", file("old")]],
    ["another document", () => ["--history", file("old")]],
    ["no journal", () => ["--journal", file("nothing.db")]],
  ])("of %s ends with 2", (_, words) => {
    expect(policy("simulate", "--policy", tight(1), ...words()).code).toBe(2);
  });
});

describe("ballast policy schema", () => {
  it("is what is published in policies/policy.schema.json", () => {
    const published = readFileSync(join(ROOT, "policies/policy.schema.json"), "utf8");
    expect(JSON.parse(policy("schema").out)).toEqual(JSON.parse(published));
  });
});

describe("ballast journal, of a signer whose law is pinned", () => {
  const whose = () => ["--journal", file("pinned.db"), "--network", "regtest", "--role", "lsp"];
  const journal = (...words: readonly string[]) => {
    const all = ["journal", words[0] ?? "", ...whose(), ...words.slice(1)];
    const run = spawnSync(join(ROOT, "scripts/ballast"), all, { encoding: "utf8" });
    return { code: run.status, out: run.stdout, err: run.stderr };
  };

  beforeAll(() => {
    createJournal({ file: file("pinned.db"), network: "regtest", role: "lsp" });
    const open = openJournal({ file: file("pinned.db"), network: "regtest", role: "lsp" });
    const configured = readSignedPolicy(OLD);
    openLaw({ journal: open, configured, now: Date.now, log: () => undefined });
    open.pause();
    open.close();
  });

  it("prints it", () => {
    expect(JSON.parse(journal("policies").out)).toMatchObject({
      inForce: { name: "lsp.regtest", version: 1, looseningHours: 24 },
      announced: null,
      past: [],
    });
  });

  it("resumes by that law, and by no other file", () => {
    expect(journal("resume", "--policy", file("new")).err).toContain("is not in force");
    const text = journal("resume", "--policy", file("old")).out.trim();
    const words = [word(0, text), word(1, text)];
    expect(journal("resume", "--policy", file("old"), "--agree", ...words).code).toBe(0);
  });
});
