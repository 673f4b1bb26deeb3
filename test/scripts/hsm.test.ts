/** Ceremonies over a token, as people call them: real SoftHSM, real processes. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { schnorr } from "@noble/curves/secp256k1.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseKeyFile } from "../../signer/custody/key-file.ts";
import { parsePkcs11Uri } from "../../signer/pkcs11/uri.ts";
import { verifyTranscript } from "../../signer/provisioning/transcript.ts";
import { C_MODULES } from "../support/c-modules.ts";
import { describeReal } from "../support/real-part.ts";
import { type CustodyKind, type SoftToken, softToken } from "../support/soft-token.ts";

const BALLAST = join(import.meta.dirname, "../../scripts/ballast");
const PEOPLE = ["--people", "Ada, Grace"];

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function ballast(...args: readonly string[]): Promise<Ran> {
  try {
    const { stdout, stderr } = await promisify(execFile)(BALLAST, ["hsm", ...args]);
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
}

const named = ({ uri, env }: SoftToken) => [
  ...["--uri", uri, "--network", "regtest"],
  ...Object.entries(env).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
];
const CONFIRM = ["--confirm", "ballast-lsp"];

describeReal(C_MODULES, "ballast hsm", () => {
  let folder: string;
  let home: SoftToken;
  let away: SoftToken;
  const at = (name: string) => join(folder, name);
  const read = (name: string) => JSON.parse(readFileSync(at(name), "utf8"));
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ballast-hsm-"));
    [home, away] = await Promise.all([
      softToken({ custody: "sealed-module" }),
      softToken({ custody: "sealed-module" }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([home.remove(), away.remove()]);
    rmSync(folder, { recursive: true });
  });

  it("says what it would do, and does nothing, not even a login", async () => {
    const { code, out } = await ballast("init", ...named(home), "--dry-run");
    expect([code, home.calls("C_Login")]).toEqual([0, 0]);
    expect(out).toMatch(/HSM-sealed, software-signed by the module[\s\S]*sealing key/);
  });

  it("does nothing unconfirmed, with one person, or over a file that is there", async () => {
    expect((await ballast("init", ...named(home), ...PEOPLE)).code).toBe(2);
    const other = await ballast("init", ...named(home), ...PEOPLE, "--confirm", "ballast");
    expect(other.code).toBe(3);
    const alone = await ballast("init", ...named(home), "--people", "Ada", ...CONFIRM);
    expect(alone.code).toBe(2);
    writeFileSync(at("taken"), "");
    const taken = await ballast(
      "init",
      ...named(home),
      ...PEOPLE,
      ...CONFIRM,
      "--transcript",
      at("taken"),
    );
    expect(taken.code).toBe(2);
    expect(readdirSync(home.dir)).not.toContain("keys");
    expect(home.calls("C_Login")).toBe(0);
  });

  it("makes the token's keys, and an account key for each vault, each its own", async () => {
    const made = await ballast(
      "init",
      ...named(home),
      ...PEOPLE,
      ...CONFIRM,
      "--transcript",
      at("init"),
    );
    expect(made).toMatchObject({ code: 0 });
    const keys = await ballast(
      ...["keys", ...named(home), ...PEOPLE, ...CONFIRM],
      ...["--labels", "vault-1, vault-2", "--transcript", at("keys")],
    );
    expect(keys).toMatchObject({ code: 0 });
    expect(readdirSync(home.keys).sort()).toEqual(["vault-1.key.json", "vault-2.key.json"]);
    const { accounts, report } = read("keys");
    expect(
      new Set(accounts.map((account: { public_key: string }) => account.public_key)).size,
    ).toBe(2);
    const { attributes } = report.keys.find(({ kind }: { kind: string }) => kind === "sealing");
    expect(attributes).toMatchObject({
      ...{ local: true, sensitive: true, alwaysSensitive: true, neverExtractable: true },
      ...{ extractable: false, modifiable: false, copyable: false, derive: false, wrap: false },
      allowed: "0x1087",
    });
    expect(JSON.stringify([made, keys])).not.toContain(readFileSync(home.pinFile, "utf8").trim());
  });

  it("writes a transcript that verifies without the token, and shows every change", async () => {
    const genuine = await ballast("verify", at("keys"), "--key", read("init").signed.key);
    expect(genuine).toMatchObject({ code: 0 });
    expect((await ballast("verify", at("keys"), "--key", `02${"11".repeat(32)}`)).code).toBe(3);
    const since = await ballast("verify", at("keys"), "--since", at("init"));
    expect(since.code).toBe(3);
    expect(since.out).toMatch(/account vault-1 is new[\s\S]*account vault-2 is new/);
    expect(schnorr.verify(...probeOf(read("keys")))).toBe(true);
  });

  it("notices any one field of a transcript that was bent", async () => {
    const transcript = read("keys");
    for (const path of leaves(transcript)) {
      const bent = structuredClone(transcript);
      bend(bent, path);
      expect(verifyTranscript(bent, null).kind, path.join(".")).toBe("refused");
    }
  });

  it("backs up for another token, which restores every key: the drill", async () => {
    const recipient = await ballast(
      ...["init", ...named(away), ...PEOPLE, ...CONFIRM, "--recipient", at("recipient.json")],
    );
    expect(recipient).toMatchObject({ code: 0 });
    const backup = await ballast(
      ...["backup", ...named(home), ...PEOPLE, ...CONFIRM],
      ...["--for", at("recipient.json"), "--out", at("backup.json")],
    );
    expect(backup).toMatchObject({ code: 0 });
    const restored = await ballast(
      "restore",
      ...named(away),
      ...PEOPLE,
      ...CONFIRM,
      "--from",
      at("backup.json"),
    );
    expect(restored).toMatchObject({ code: 0 });
    const [here, there] = [home, away].map(({ keys }) => keysIn(keys));
    expect(there).toEqual(here);
    // The other token signs with what it was given.
    const token = await away.open();
    expect((await token.accounts()).map(({ label }) => label)).toEqual(["vault-1", "vault-2"]);
    await token.close();
  });

  it("restores nothing of a copy that was exchanged, nor at a token that it is not for", async () => {
    const backup = read("backup.json");
    const [one, two] = backup.keys;
    const swapped = { ...backup, keys: [{ ...one, ciphertext: two.ciphertext }] };
    writeFileSync(at("swapped.json"), JSON.stringify(swapped));
    const before = readdirSync(away.keys).sort();
    const fault = await ballast(
      "restore",
      ...named(away),
      ...PEOPLE,
      ...CONFIRM,
      "--from",
      at("swapped.json"),
    );
    expect(fault.code).toBe(4);
    expect(readdirSync(away.keys).sort()).toEqual(before);
    const elsewhere = await ballast(
      "restore",
      ...named(home),
      ...PEOPLE,
      ...CONFIRM,
      "--from",
      at("backup.json"),
    );
    expect([elsewhere.code, elsewhere.out]).toEqual([4, expect.stringContaining("recipient")]);
  });

  it("refuses a backup for the token itself", async () => {
    const own = await ballast(
      ...["init", ...named(home), ...PEOPLE, ...CONFIRM, "--recipient", at("own.json")],
    );
    expect(own).toMatchObject({ code: 0 });
    const backup = await ballast(
      ...[
        "backup",
        ...named(home),
        ...PEOPLE,
        ...CONFIRM,
        "--for",
        at("own.json"),
        "--out",
        at("no.json"),
      ],
    );
    expect(backup.code).toBe(4);
    expect(existsSync(at("no.json"))).toBe(false);
  });

  it("rotates: the same account keys under a new sealing key, and the old still there", async () => {
    const next = join(home.dir, "keys-2");
    const rotated = await ballast(
      ...["rotate", ...named(home), ...PEOPLE, ...CONFIRM, "--object", "kek-2", "--keys", next],
    );
    expect(rotated).toMatchObject({ code: 0 });
    expect(keysIn(next)).toEqual(keysIn(home.keys));
    const uri = /pkcs11:\S+/.exec(rotated.out)?.[0] ?? "";
    expect(parsePkcs11Uri(uri)).toMatchObject({ object: "kek-2", keys: next });
    for (const how of [{ uri }, {}]) {
      const token = await home.open(how);
      expect(await token.accounts()).toHaveLength(2);
      expect(token.headKey?.publicKey).toMatch(/^0[23]/);
      await token.close();
    }
  });

  it("of a native token makes keys and attests; copies it has none", async () => {
    const native = await softToken({ custody: "native" satisfies CustodyKind });
    const init = await ballast(
      "init",
      ...named(native),
      ...PEOPLE,
      ...CONFIRM,
      "--transcript",
      at("native"),
    );
    expect(init).toMatchObject({ code: 0 });
    const keys = await ballast(
      "keys",
      ...named(native),
      ...PEOPLE,
      ...CONFIRM,
      "--labels",
      "vault-1",
    );
    expect(keys).toMatchObject({ code: 0 });
    expect(read("native").custody).toMatch(/^HSM-native/);
    const backup = await ballast(
      ...["backup", ...named(native), ...PEOPLE, ...CONFIRM],
      ...["--for", at("recipient.json"), "--out", at("none.json")],
    );
    expect([backup.code, backup.out]).toEqual([4, expect.stringContaining("vendor")]);
    await native.remove();
  });
});

/** Labels and public keys of a folder. */
function keysIn(folder: string) {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".key.json"))
    .sort()
    .map((name) => parseKeyFile(readFileSync(join(folder, name), "utf8")))
    .map((key) => [key?.label, key?.publicKey, key?.chainCode]);
}

function probeOf({ report }: { report: { probe: Record<string, string> } }) {
  const { publicKey = "", challenge = "", signature = "" } = report.probe;
  const tag = schnorr.utils.taggedHash("ballast/probe", Buffer.from(challenge, "hex"));
  return [Buffer.from(signature, "hex"), tag, Buffer.from(publicKey.slice(2), "hex")] as const;
}

type Path = readonly (string | number)[];

/** The places of all texts, numbers and words of truth. */
function leaves(value: unknown, path: Path = []): readonly Path[] {
  if (typeof value !== "object" || value === null) return value === null ? [] : [path];
  return Object.entries(value).flatMap(([key, each]) => leaves(each, [...path, key]));
}

function bend(value: Record<string, unknown>, path: Path): void {
  const [key = "", ...rest] = path;
  const each = value[key];
  if (rest.length > 0) bend(each as Record<string, unknown>, rest);
  else if (typeof each === "string")
    value[key] = each.startsWith("0") ? `1${each.slice(1)}` : `0${each.slice(1)}`;
  else if (typeof each === "number") value[key] = each + 1;
  else value[key] = each !== true;
}
