import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { schnorr } from "@noble/curves/secp256k1.js";
import { HDKey } from "@scure/bip32";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hex, hmacSha512 } from "../../policies/bitcoin/hash.ts";
import {
  type AccountKey,
  chainCodeOf,
  formatKeyFile,
  parseKeyFile,
  SEALED_FORMAT,
  type SealedKey,
} from "../../signer/custody/key-file.ts";
import { provisionSoftHsm } from "../../signer/pkcs11/softhsm.ts";
import type { Token } from "../../signer/pkcs11/token.ts";
import { TokenError } from "../../signer/pkcs11/token-error.ts";
import { describeReal } from "../support/real-part.ts";
import { SOFTHSM } from "../support/soft-hsm.ts";
import { readyToken, type SoftToken, softToken } from "../support/soft-token.ts";

const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const ZERO = new Uint8Array(32);

describeReal(SOFTHSM, "a sealed token", () => {
  let soft: SoftToken;
  let token: Token;
  let account: AccountKey;
  beforeAll(async () => {
    soft = await readyToken();
    token = await soft.open();
    account = await token.createAccount("vault-1");
  });
  afterAll(() => soft.remove());

  it("makes an account once: the same label is the same key, also after a restart", async () => {
    const again = await Promise.all(
      Array.from({ length: 4 }, () => token.createAccount("vault-1")),
    );
    expect(again).toEqual([account, account, account, account]);
    const second = await soft.open();
    expect(await second.createAccount("vault-1")).toEqual(account);
    // Two processes that race for one label end up with one key.
    const raced = await Promise.all([token.createAccount("race"), second.createAccount("race")]);
    expect(raced[0]).toEqual(raced[1]);
    await second.close();
    const files = readdirSync(soft.keys).sort();
    expect(files).toEqual(["race.key.json", "vault-1.key.json"]);
    expect(statSync(join(soft.keys, "vault-1.key.json")).mode & 0o777).toBe(0o600);
    expect((await token.accounts()).map(({ label }) => label)).toEqual(["race", "vault-1"]);
  });

  it("refuses labels that are no file names", async () => {
    for (const label of ["", "A", "../x", "a/b", ".hidden", "x".repeat(65)]) {
      await expect(token.createAccount(label)).rejects.toMatchObject({ code: "request" });
    }
  });

  it("signs for the account itself, and a second library agrees", async () => {
    const message = randomBytes(32);
    const items = [{ account: hex(account.publicKey), tweak: ZERO, message }];
    const [first, second] = [await token.sign(items), await token.sign(items)];
    for (const signature of [first[0], second[0]]) {
      expect(signature).toHaveLength(64);
      expect(verify(signature, message, account.publicKey)).toBe(true);
    }
    // Fresh auxiliary randomness: two signatures of one message differ.
    expect(hex(first[0] ?? ZERO)).not.toBe(hex(second[0] ?? ZERO));
  });

  it("signs for BIP32 children of even and odd account keys", async () => {
    const accounts = await bothParities(token);
    for (const each of accounts) {
      for (const path of [
        [0, 0],
        [1, 5],
      ]) {
        const child = publicChild(each, path);
        const message = randomBytes(32);
        const item = { account: hex(each.publicKey), tweak: tweakOf(each, path), message };
        const [signature] = await token.sign([item]);
        expect(verify(signature, message, child)).toBe(true);
      }
    }
  });

  it("answers many items in order, for several accounts, 32 calls at a time", async () => {
    const accounts = await bothParities(token);
    const calls = Array.from({ length: 32 }, async (_, call) => {
      const items = Array.from({ length: 1 + (call % 5) }, (_unused, index) => {
        const each = accounts[(call + index) % accounts.length] ?? account;
        const path = [0, call];
        return { each, path, message: randomBytes(32) };
      });
      const signatures = await token.sign(
        items.map(({ each, path, message }) => ({
          account: hex(each.publicKey),
          tweak: tweakOf(each, path),
          message,
        })),
      );
      return items.every(({ each, path, message }, index) =>
        verify(signatures[index], message, publicChild(each, path)),
      );
    });
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 32 }, () => true));
  });

  it("refuses requests that are no requests, and signs none of their items", async () => {
    const good = { account: hex(account.publicKey), tweak: ZERO, message: ZERO };
    const n = bytesOf(N);
    const cases = [
      [[good, { ...good, account: "02".repeat(33) }], "account-unknown"],
      [[good, { ...good, tweak: n }], "request"],
      [[good, { ...good, tweak: new Uint8Array(31) }], "request"],
      [[good, { ...good, message: new Uint8Array(33) }], "request"],
      [Array.from({ length: 251 }, () => good), "request"],
    ] as const;
    for (const [items, code] of cases) {
      await expect(token.sign(items)).rejects.toMatchObject({ code, passing: false });
    }
    expect(await token.sign([])).toEqual([]);
  });

  it("is healthy by a real signature and says what it is", async () => {
    expect(await token.health()).toMatchObject({ kind: "healthy" });
    expect(await token.info()).toMatchObject({
      custody: expect.stringMatching(/^HSM-sealed, software-signed (by the module|in JavaScript)$/),
      token: "ballast-lsp",
      manufacturer: "SoftHSM project",
      moduleSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it("never writes a PIN or a secret to its log", () => {
    const pin = readFileSync(soft.pinFile, "utf8").trim();
    expect(JSON.stringify(soft.log)).not.toContain(pin);
    expect(soft.log.length).toBeGreaterThan(0);
  });
});

describeReal(SOFTHSM, "a sealed key's file that was changed", () => {
  let soft: SoftToken;
  let token: Token;
  let path: string;
  let original: SealedKey;
  let other: SealedKey;
  beforeAll(async () => {
    soft = await readyToken();
    token = await soft.open();
    await token.createAccount("vault-1");
    await token.createAccount("vault-2");
    path = join(soft.keys, "vault-1.key.json");
    original = read(path);
    other = read(join(soft.keys, "vault-2.key.json"));
  });
  afterAll(() => soft.remove());

  type Bend = { readonly bent: () => string; readonly code: string };
  const bends: Record<Exclude<keyof SealedKey, "format"> | "swapped" | "text", Bend> = {
    network: { bent: () => bend({ network: "signet" }), code: "key-file-foreign" },
    label: { bent: () => bend({ label: "vault-3" }), code: "key-file-damaged" },
    publicKey: {
      bent: () => bend({ publicKey: other.publicKey, chainCode: other.chainCode }),
      code: "key-file-damaged",
    },
    chainCode: { bent: () => bend({ chainCode: other.chainCode }), code: "key-file-damaged" },
    epoch: { bent: () => bend({ epoch: 2 }), code: "key-file-damaged" },
    kek: {
      bent: () => bend({ kek: { token: "ballast-lsp", object: "other" } }),
      code: "key-file-foreign",
    },
    iv: { bent: () => bend({ iv: flip(original.iv) }), code: "key-file-damaged" },
    ciphertext: {
      bent: () => bend({ ciphertext: flip(original.ciphertext) }),
      code: "key-file-damaged",
    },
    // The ciphertext and IV of another account, under this one's name.
    swapped: {
      bent: () => bend({ iv: other.iv, ciphertext: other.ciphertext }),
      code: "key-file-damaged",
    },
    text: { bent: () => formatKeyFile(original).slice(0, -20), code: "key-file-damaged" },
  };
  const bend = (change: Partial<SealedKey>) => formatKeyFile({ ...original, ...change });

  it.each(Object.entries(bends))("is refused by its name: %s", async (_, { bent, code }) => {
    writeFileSync(path, bent());
    try {
      const account = parseKeyFile(bent())?.publicKey ?? original.publicKey;
      const refusal = { code, message: expect.stringContaining(path) };
      for (const each of new Set([account, original.publicKey])) {
        const item = { account: each, tweak: ZERO, message: ZERO };
        // vault-2's own file is sound: its key may still be used, whoever else claims it.
        if (each === other.publicKey) continue;
        await expect(token.sign([item])).rejects.toMatchObject(refusal);
      }
      await expect(token.accounts()).rejects.toMatchObject(refusal);
      await expect(token.createAccount("vault-1")).rejects.toMatchObject(refusal);
      // A damaged neighbour stops nobody else, and nothing was overwritten.
      const item = { account: other.publicKey, tweak: ZERO, message: ZERO };
      expect(await token.sign([item])).toHaveLength(1);
      expect(readFileSync(path, "utf8")).toBe(bent());
    } finally {
      writeFileSync(path, formatKeyFile(original));
    }
    const item = { account: original.publicKey, tweak: ZERO, message: ZERO };
    expect(await token.sign([item])).toHaveLength(1);
    expect((await token.health()).process.starts).toBe(1);
  });

  it("is noticed with one session, too, where no session can be thrown away", async () => {
    const single = await soft.open({ uri: soft.uri.replace("max-sessions=2", "max-sessions=1") });
    writeFileSync(path, bend({ epoch: 2 }));
    const item = { account: original.publicKey, tweak: ZERO, message: ZERO };
    await expect(single.sign([item])).rejects.toMatchObject({ code: "key-file-damaged" });
    writeFileSync(path, formatKeyFile(original));
    expect(await single.sign([item])).toHaveLength(1);
    expect((await single.health()).process.starts).toBe(1);
    await single.close();
  });
});

describeReal(SOFTHSM, "a token that must not be used", () => {
  let soft: SoftToken;
  beforeAll(async () => {
    soft = await softToken();
  });
  afterAll(() => soft.remove());

  async function refusal(open: () => Promise<Token>): Promise<unknown> {
    const error: unknown = await open().then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(TokenError);
    return error;
  }

  it("has no sealing key", async () => {
    expect(await refusal(soft.open)).toMatchObject({ code: "key-missing" });
  });

  it.each([["extractable-key"], ["imported-key"]] as const)("has an %s", async (act) => {
    await soft.intrude(act);
    expect(await refusal(soft.open)).toMatchObject({ code: "key-unsafe" });
    await expect(soft.init()).rejects.toMatchObject({ code: "key-unsafe" });
    await soft.intrude("destroy-keys");
  });

  it("has two sealing keys of one name", async () => {
    expect(await soft.init()).toBe("made");
    expect(await soft.init()).toBe("existed");
    await (await soft.open()).close();
    await soft.intrude("second-key");
    expect(await refusal(soft.open)).toMatchObject({ code: "key-ambiguous" });
    await soft.intrude("destroy-keys");
    await soft.init();
  });

  it("is not there, or has another serial", async () => {
    const uri = soft.uri.replace("token=ballast-lsp", "token=elsewhere");
    expect(await refusal(() => soft.open({ uri }))).toMatchObject({ code: "token-missing" });
    const serial = soft.uri.replace(";object", ";serial=0000000000000000;object");
    expect(await refusal(() => soft.open({ uri: serial }))).toMatchObject({
      code: "token-missing",
    });
  });

  it("is SoftHSM on mainnet, whatever a profile says of it", async () => {
    const network = "bitcoin" as const;
    expect(await refusal(() => soft.open({ network }))).toMatchObject({ code: "profile" });
    const uri = soft.profiled({ networks: ["bitcoin"] }, "&opened-by=javascript");
    const error = await refusal(() => soft.open({ network, uri }));
    expect(error).toMatchObject({ code: "token-unfit" });
  });

  it("is another vendor's than its profile's", async () => {
    const uri = soft.profiled({ manufacturer: "Acme" });
    expect(await refusal(() => soft.open({ uri }))).toMatchObject({ code: "token-unfit" });
  });

  it("is asked for what its profile does not give", async () => {
    for (const bend of [{ sealed: null }, { format: "ballast/hsm-profile@2" }, { more: 1 }]) {
      const uri = soft.profiled(bend);
      expect(await refusal(() => soft.open({ uri }))).toMatchObject({ code: "profile" });
    }
    const native = soft.uri.replace("mode=sealed", "mode=native");
    expect(await refusal(() => soft.open({ uri: native }))).toMatchObject({ code: "profile" });
    const busy = soft.profiled({ limits: { max_sessions: 1, operation_ms: 100 } });
    expect(await refusal(() => soft.open({ uri: busy }))).toMatchObject({ code: "profile" });
    const gone = soft.uri.replace("profile=softhsm", "profile=nowhere");
    expect(await refusal(() => soft.open({ uri: gone }))).toMatchObject({ code: "profile" });
  });

  it("has a library that is none", async () => {
    const uri = soft.uri.replace(/module-path=[^&]*/, `module-path=${soft.pinFile}`);
    expect(await refusal(() => soft.open({ uri }))).toMatchObject({ code: "module-unusable" });
    // A library that loads and is no PKCS#11 module must not crash the process either.
    const libc = findLibc();
    if (libc !== null) {
      const other = soft.uri.replace(/module-path=[^&]*/, `module-path=${libc}`);
      const error = await refusal(() => soft.open({ uri: other }));
      expect(error).toMatchObject({ code: "module-unusable" });
    }
  });

  it("has a PIN file that others may read", async () => {
    chmodSync(soft.pinFile, 0o644);
    expect(await refusal(soft.open)).toMatchObject({ code: "pin-unreadable" });
    chmodSync(soft.pinFile, 0o400);
  });

  it("shares its label with another token", async () => {
    const pins = ["so.pin", "user.pin"].map((name) => join(soft.dir, name));
    const conf = join(soft.dir, "softhsm2.conf");
    const text = readFileSync(conf, "utf8");
    // Under another label first, then both tokens in one place: provisioning makes no second one.
    await provisionSoftHsm({ dir: soft.dir, label: "second" });
    const before = soft.uri.replace("token=ballast-lsp", "token=second");
    expect(await refusal(() => soft.open({ uri: before }))).toMatchObject({ code: "key-missing" });
    await softHsmTwin(soft);
    expect(await refusal(soft.open)).toMatchObject({ code: "token-ambiguous" });
    expect(readFileSync(conf, "utf8")).toBe(text);
    expect(pins.every((path) => existsSync(path))).toBe(true);
  });
});

describeReal(SOFTHSM, "a wrong PIN", () => {
  it("is tried exactly once, over restarts, until a person clears the latch", async () => {
    const soft = await readyToken();
    const right = readFileSync(soft.pinFile, "utf8");
    const before = soft.logins();
    writeFileSync(soft.pinFile, "0000000000000000\n");
    await expect(soft.open()).rejects.toMatchObject({ code: "pin-incorrect", passing: false });
    for (let restart = 0; restart < 2; restart += 1) {
      const refusal = { code: "pin-latched", message: expect.stringContaining(soft.latchFile) };
      await expect(soft.open()).rejects.toMatchObject(refusal);
    }
    // Neither does the right PIN pass the latch: a person has to look.
    writeFileSync(soft.pinFile, right);
    await expect(soft.open()).rejects.toMatchObject({ code: "pin-latched" });
    expect(soft.logins() - before).toBe(1);
    expect(JSON.parse(readFileSync(soft.latchFile, "utf8"))).toMatchObject({
      state: "refused",
      token: "ballast-lsp",
      logins: 1,
      answer: expect.stringContaining("CKR_PIN_INCORRECT"),
    });
    rmSync(soft.latchFile);
    const token = await soft.open();
    expect(await token.health()).toMatchObject({ kind: "healthy" });
    expect(existsSync(soft.latchFile)).toBe(false);
    await soft.remove();
  });

  it("is suspected after a login whose end nobody saw", async () => {
    const soft = await readyToken();
    const seen = soft.logins();
    const trying = {
      format: "ballast/pin-latch@1",
      state: "trying",
      token: "ballast-lsp",
      serial: "",
      time: new Date(0).toISOString(),
      logins: 1,
      answer: null,
    };
    // The token says that no wrong PIN came: one unknown outcome is forgiven, two are not.
    writeFileSync(soft.latchFile, JSON.stringify({ ...trying, logins: 2 }));
    await expect(soft.open()).rejects.toMatchObject({ code: "pin-latched" });
    writeFileSync(soft.latchFile, "{}");
    await expect(soft.open()).rejects.toMatchObject({ code: "pin-latched" });
    expect(soft.logins()).toBe(seen);
    writeFileSync(soft.latchFile, JSON.stringify(trying));
    await soft.open();
    expect(soft.logins()).toBe(seen + 1);
    await soft.remove();
  });
});

describeReal(SOFTHSM, "a token that goes away", () => {
  it("is refused while it is gone and used again when it is back", async () => {
    const soft = await readyToken();
    const token = await soft.open();
    const account = await token.createAccount("vault-1");
    const item = { account: hex(account.publicKey), tweak: ZERO, message: ZERO };
    const tokens = join(soft.dir, "tokens");
    renameSync(tokens, `${tokens}-away`);
    const fault = await token.sign([item]).catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(TokenError);
    expect(fault).toMatchObject({ passing: true });
    expect(await token.health()).toMatchObject({ kind: "unhealthy" });
    renameSync(`${tokens}-away`, tokens);
    const signatures = await eventually(() => token.sign([item]));
    expect(verify(signatures[0], ZERO, account.publicKey)).toBe(true);
    await soft.remove();
  });

  it("lost its sealing key while it was used", async () => {
    const soft = await readyToken();
    const token = await soft.open();
    const account = await token.createAccount("vault-1");
    await soft.intrude("destroy-keys");
    const item = { account: hex(account.publicKey), tweak: ZERO, message: ZERO };
    await expect(token.sign([item])).rejects.toMatchObject({ code: "token-failed" });
    const codes = new Set<string>();
    for (let attempt = 0; attempt < 5 && !codes.has("key-missing"); attempt += 1) {
      const health = await token.health();
      if (health.kind === "unhealthy") codes.add(health.code);
    }
    expect([...codes]).toContain("key-missing");
    await soft.remove();
  });
});

describe("provisioning SoftHSM", () => {
  describeReal(SOFTHSM, "twice", () => {
    it("gives the same token, with files that only their owner reads", async () => {
      const soft = await softToken();
      const again = await provisionSoftHsm({ dir: soft.dir, label: "ballast-lsp" });
      expect(again.uri).toBe(soft.uri);
      expect(soft.env).toMatchObject(again.env);
      expect(readdirSync(join(soft.dir, "tokens"))).toHaveLength(1);
      for (const name of ["so.pin", "user.pin"]) {
        expect(statSync(join(soft.dir, name)).mode & 0o777).toBe(0o600);
      }
      await soft.remove();
    });
  });
});

function verify(signature: Uint8Array | undefined, message: Uint8Array, key: Uint8Array): boolean {
  return signature !== undefined && schnorr.verify(signature, message, key.subarray(1));
}

/** The child's public key as @scure/bip32 derives it from the account's public half alone. */
function publicChild({ publicKey, chainCode }: AccountKey, path: readonly number[]): Uint8Array {
  let key = new HDKey({ publicKey, chainCode });
  for (const index of path) key = key.deriveChild(index);
  return key.publicKey ?? ZERO;
}

/** The sum mod n of the steps' scalars: what the signer is given instead of a path. */
function tweakOf({ publicKey, chainCode }: AccountKey, path: readonly number[]): Uint8Array {
  let key = new HDKey({ publicKey, chainCode });
  let sum = 0n;
  for (const index of path) {
    const data = new Uint8Array(37);
    data.set(key.publicKey ?? ZERO);
    new DataView(data.buffer).setUint32(33, index);
    const left = hmacSha512(key.chainCode ?? ZERO, data).subarray(0, 32);
    sum = (sum + BigInt(`0x${hex(left)}`)) % N;
    key = key.deriveChild(index);
  }
  return bytesOf(sum);
}

function bytesOf(value: bigint): Uint8Array {
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(64, "0"), "hex"));
}

async function bothParities(token: Token): Promise<readonly AccountKey[]> {
  const found = new Map<number, AccountKey>();
  // Each new key is odd with probability one half: 40 misses are not chance.
  for (let draw = 0; draw < 40 && found.size < 2; draw += 1) {
    const each = await token.createAccount(`parity-${draw}`);
    found.set(each.publicKey[0] ?? 0, each);
  }
  expect([...found.keys()].sort()).toEqual([2, 3]);
  return [...found.values()];
}

async function eventually<T>(body: () => Promise<T>): Promise<T> {
  const until = Date.now() + 15_000;
  for (;;) {
    try {
      return await body();
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function read(path: string): SealedKey {
  const blob = parseKeyFile(readFileSync(path, "utf8"));
  if (blob?.format !== SEALED_FORMAT) throw new Error(`${path} is no sealed key`);
  expect(hex(chainCodeOf(Uint8Array.from(Buffer.from(blob.publicKey, "hex"))))).toBe(
    blob.chainCode,
  );
  return blob;
}

function flip(text: string): string {
  return `${text.startsWith("0") ? "1" : "0"}${text.slice(1)}`;
}

function findLibc(): string | null {
  const places = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
  return places.find((path) => existsSync(path)) ?? null;
}

/** A second token with the first one's label, as a botched restore leaves it. */
async function softHsmTwin(soft: SoftToken): Promise<void> {
  const { execFile } = await import("node:child_process");
  const { promisify } = await import("node:util");
  const args = ["--init-token", "--free", "--label", "ballast-lsp"];
  await promisify(execFile)(
    "softhsm2-util",
    [...args, "--so-pin", "12345678", "--pin", "12345678"],
    {
      env: { ...process.env, ...soft.env },
    },
  );
}
