/**
 * What is left of a key in a process that signed with it. The module's process is scanned whole for
 * the secret in every order that a library keeps numbers in; the same is done to a process that
 * signed in JavaScript, where copies are known to stay: a scanner that found none there would prove
 * nothing here.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { C_MODULES } from "../support/c-modules.ts";
import { memoryHidden, scanMemory } from "../support/memory-scan.ts";
import type { OpenModule } from "../support/pkcs11-process.ts";
import { describeReal } from "../support/real-part.ts";
import {
  N,
  type SealedModule,
  scalar,
  sealByHand,
  sealedMechanism,
  sealedModule,
  signParameter,
  toNumber,
} from "../support/sealed-module.ts";

const SIGNATURES = 50;
/** Less than any Node process has: a scan below it did not scan. */
const SCANNED_BYTES_MIN = 20 << 20;

/** Four 8-byte limbs, little-endian and lowest first, are the whole number little-endian. */
function orders(name: string, secret: Uint8Array): Record<string, Uint8Array> {
  const limbs = [24, 16, 8, 0].flatMap((at) => [...secret.slice(at, at + 8)]);
  return {
    [`${name}, big-endian`]: secret,
    [`${name}, little-endian`]: secret.toReversed(),
    [`${name}, big-endian limbs, lowest first`]: Uint8Array.from(limbs),
    [`${name}, little-endian limbs, highest first`]: Uint8Array.from(limbs).toReversed(),
  };
}

const negated = (secret: Uint8Array) => scalar(N - toNumber(secret));
const total = (copies: Readonly<Record<string, number>>) =>
  Object.values(copies).reduce((sum, count) => sum + count, 0);

/** A process that signs in JavaScript, scanned when it is done. */
async function javascriptCopies(secret: Uint8Array, signatures: number): Promise<number> {
  const script = fileURLToPath(new URL("../support/memory-victim.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    child.stdin.write(`${signatures} ${Buffer.from(secret).toString("hex")}\n`);
    await once(child.stdout, "data");
    const { bytes, copies } = scanMemory(child.pid ?? 0, orders("secret", secret));
    expect(bytes).toBeGreaterThan(SCANNED_BYTES_MIN);
    return total(copies);
  } finally {
    child.kill("SIGKILL");
    await once(child, "close");
  }
}

describeReal(C_MODULES, "a key in memory", () => {
  let world: SealedModule;
  let sealer: OpenModule;

  beforeAll(async () => {
    world = await sealedModule();
    sealer = await world.another();
  });
  afterAll(() => world?.remove());

  it("is in no byte of the module's process after it signed", async (context) => {
    const { module, kek } = world;
    const hidden = memoryHidden(module.pid);
    if (hidden !== null) return context.skip(hidden);
    const secret = secp256k1.utils.randomSecretKey();
    const tweak = randomBytes(32);
    const tweaked = scalar((toNumber(secret) + toNumber(tweak)) % N);
    const publicKey = secp256k1.getPublicKey(secret);
    const [sealersKek] = await sealer.find("kek");
    const by = { kek: sealersKek ?? kek, secret, aad: randomBytes(100) };
    const key = { publicKey, ...(await sealByHand(sealer, by)) };

    const mechanism = sealedMechanism(signParameter(key, tweak));
    for (let i = 0; i < SIGNATURES; i += 1) {
      await module.must("C_SignInit", module.session, mechanism, kek);
      // As the signer's child does it: in a thread of libuv's, and once in the main thread.
      const call = i === 0 ? "C_Sign" : "C_SignAsync";
      await module.must(call, module.session, randomBytes(32), new Uint8Array(64));
    }

    const seen = scanMemory(module.pid, { "public key": publicKey });
    expect(seen.copies["public key"]).toBeGreaterThan(0);
    const { bytes, copies } = scanMemory(module.pid, {
      ...orders("secret", secret),
      ...orders("tweaked", tweaked),
      ...orders("negated", negated(secret)),
      ...orders("tweaked and negated", negated(tweaked)),
    });
    expect(bytes).toBeGreaterThan(SCANNED_BYTES_MIN);
    expect(Object.entries(copies).filter(([, count]) => count > 0)).toEqual([]);
  });

  it("stays in a process that signs in JavaScript, so the scan can see", async (context) => {
    const hidden = memoryHidden(process.pid);
    if (hidden !== null) return context.skip(hidden);
    const secret = secp256k1.utils.randomSecretKey();
    // The Buffer alone leaves nothing when it is zeroised: what stays comes from signing.
    expect(await javascriptCopies(secret, 0)).toBe(0);
    expect(await javascriptCopies(secret, SIGNATURES)).toBeGreaterThan(0);
  });
});
