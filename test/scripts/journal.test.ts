/** `ballast journal` and `ballast audit`, called as a person calls them. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hex, sha256 } from "../../policies/bitcoin/hash.ts";
import { textHash } from "../../policies/bitcoin/message.ts";
import { u32 } from "../../policies/bitcoin/wire.ts";
import { decide } from "../../policies/decide.ts";
import { signHead, softwareHeadKey } from "../../signer/audit.ts";
import { openJournal } from "../../signer/journal.ts";
import { createJournal } from "../../signer/journal-file.ts";
import type { HeadKey } from "../../signer/signer.ts";
import { victimClaim } from "../support/journal-claims.ts";
import { honest, POLICY } from "../support/spend.ts";

const ROOT = join(import.meta.dirname, "../..");
const SECRETS = [1, 2].map((n) => sha256(u32(n)));
const FILE_KEY = softwareHeadKey(sha256(u32(3)));
const TOKEN_KEY: HeadKey = {
  publicKey: hex(ecc.pointFromScalar(sha256(u32(4)), true) ?? new Uint8Array()),
  sign: async (hash) => ecc.sign(hash, sha256(u32(4))),
};
let folder = "";
const file = (name: string) => join(folder, name);
const at = () => ({ file: file("journal.db"), network: "regtest", role: "lsp" }) as const;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ballast-journal-"));
  createJournal(at());
  const people = SECRETS.map((secret, i) => ({
    name: `person-${i}`,
    key: hex(ecc.pointFromScalar(secret, true) ?? new Uint8Array()),
  }));
  writeFileSync(
    file("policy.json"),
    JSON.stringify({ ...POLICY, quorum: { approvals: 2, people } }),
  );
  const journal = openJournal(at());
  const approved = decide(honest().case);
  for (let n = 0; n < 20; n += 1) {
    journal.claim(victimClaim(n), () => approved);
    const place = journal.unattested();
    // The key was in a file at first, and is one of a token since.
    const key = n < 16 ? FILE_KEY : TOKEN_KEY;
    if ((n === 15 || n === 19) && place !== null) journal.attest(await signHead(key, place));
  }
  journal.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function ballast(...parts: readonly string[]) {
  const run = spawnSync(join(ROOT, "scripts/ballast"), parts, { encoding: "utf8" });
  return { code: run.status, out: run.stdout, err: run.stderr };
}

function journal(verb: string, ...more: readonly string[]) {
  const whose = ["--journal", file("journal.db"), "--network", "regtest", "--role", "lsp"];
  return ballast("journal", verb, ...whose, ...more);
}

describe("ballast audit verify", () => {
  it("finds the log of a journal intact, with its heads, and an edit in it", () => {
    const log = journal("audit").out;
    writeFileSync(file("log"), log);
    const [old, young] = [FILE_KEY, TOKEN_KEY].map(({ publicKey }) => ["--key", publicKey]);
    expect(ballast("audit", "verify", ...(old ?? []), ...(young ?? []), file("log"))).toMatchObject(
      {
        code: 0,
        out: "intact: 20 records, 2 signed heads\n",
      },
    );
    expect(ballast("audit", "verify", file("log"), ...(young ?? []))).toMatchObject({
      code: 3,
      out: expect.stringContaining("broken at record 16"),
    });
    writeFileSync(file("bent"), log.replace("approved", "refused"));
    const bent = ballast("audit", "verify", file("bent"), "--json");
    expect(bent.code).toBe(3);
    expect(JSON.parse(bent.out)).toMatchObject({ kind: "broken", sequence: 1 });
  });

  it("says what is not a log: exit 2", () => {
    writeFileSync(file("none"), "hello\n");
    expect(ballast("audit", "verify", file("none")).code).toBe(2);
    expect(ballast("audit", "verify", file("log"), "--head", "1").code).toBe(2);
    const wrong = `04${FILE_KEY.publicKey}`;
    expect(ballast("audit", "verify", file("log"), "--key", wrong).code).toBe(2);
    expect(ballast("audit", "verify", file("missing")).code).toBe(2);
  });
});

describe("ballast journal", () => {
  it("makes an empty one with its mark, and never in the place of another", () => {
    const third = ["--journal", file("third.db"), "--network", "regtest", "--role", "lsp"];
    const made = ballast("journal", "create", ...third, "--mirror", file("third.mark"));
    expect(made).toMatchObject({ code: 0, out: "made\n" });
    openJournal({ ...at(), file: file("third.db"), mirror: file("third.mark") }).close();
    const again = ballast("journal", "create", ...third);
    expect(again.code).toBe(2);
    expect(again.err).toContain("there is a journal at");
  });

  it("exports, and imports into another", () => {
    writeFileSync(file("export.json"), journal("export").out);
    createJournal({ ...at(), file: file("second.db") });
    const second = ["--journal", file("second.db"), "--network", "regtest", "--role", "lsp"];
    const added = ballast("journal", "import", file("export.json"), ...second);
    expect(JSON.parse(added.out)).toMatchObject({ added: { claims: 20 } });
    expect(ballast("journal", "export", ...second).out).toBe(journal("export").out);
  });

  it("is refused while the signer runs", () => {
    const open = openJournal(at());
    try {
      expect(journal("export")).toMatchObject({ code: 2, out: "" });
    } finally {
      open.close();
    }
  });

  it("resumes a paused signer on the word of the quorum, each word once", () => {
    const policy = ["--policy", file("policy.json")];
    expect(journal("resume", ...policy).err).toContain("not paused");
    expect(journal("pause").out).toBe("paused, pause 1\n");
    expect(journal("pause").out).toBe("paused, pause 1\n");
    const text = journal("resume", ...policy).out.trim();
    const words = SECRETS.map((secret, i) =>
      [`person-${i}`, hex(ecc.signSchnorr(textHash(text), secret))].join("="),
    );
    const one = journal("resume", ...policy, "--agree", words[0] ?? "");
    expect([one.code, one.err]).toEqual([2, expect.stringContaining("1 of 2 people agree")]);
    const both = journal("resume", ...policy, "--agree", ...words);
    expect(both).toMatchObject({ code: 0, out: "resumed by person-0, person-1\n" });
    journal("pause");
    const replayed = journal("resume", ...policy, "--agree", ...words);
    expect(replayed).toMatchObject({ code: 2, out: "" });
  }, 120_000);

  it("lets an older journal go on only on the word of the quorum", () => {
    const [mirror, old] = [file("mirror"), file("old.db")];
    createJournal({ ...at(), file: file("mirrored.db"), mirror });
    const approved = decide(honest().case);
    const where = { ...at(), file: file("mirrored.db"), mirror };
    const first = openJournal(where);
    first.claim(victimClaim(1), () => approved);
    first.close();
    cpSync(file("mirrored.db"), old);
    const second = openJournal(where);
    second.claim(victimClaim(2), () => approved);
    second.close();
    expect(() => openJournal({ ...where, file: old })).toThrow("not the one that last signed");
    const whose = ["--journal", old, "--network", "regtest", "--role", "lsp", "--mirror", mirror];
    const release = (...more: readonly string[]) =>
      ballast("journal", "release", ...whose, "--policy", file("policy.json"), ...more);
    const text = release().out.trim();
    expect(text).toMatch(/^Ballast release 1 regtest role=lsp policy=\w+ has=1:\w+ seen=2:\w+$/);
    const words = SECRETS.map((secret, i) =>
      [`person-${i}`, hex(ecc.signSchnorr(textHash(text), secret))].join("="),
    );
    expect(release("--agree", words[0] ?? "").err).toContain("1 of 2 people agree");
    expect(() => openJournal({ ...where, file: old })).toThrow("not the one that last signed");
    expect(release("--agree", ...words)).toMatchObject({ code: 0 });
    openJournal({ ...where, file: old }).close();
    expect(release("--agree", ...words).err).toContain("the one that last signed");
  }, 120_000);
});
