/**
 * The sealed module's signatures, called through pkcs11js in a process of their own: honest keys and
 * tweaks verify by @noble/curves; then one thing is bent, and exactly one answer is right.
 */
import { randomBytes } from "node:crypto";
import { schnorr, secp256k1 } from "@noble/curves/secp256k1.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { C_MODULES } from "../support/c-modules.ts";
import { type Answer, CKR, type OpenModule } from "../support/pkcs11-process.ts";
import { describeReal } from "../support/real-part.ts";
import {
  AES_GCM,
  concat,
  flipped,
  gcm,
  N,
  SEALED_BIP340,
  type Sealed,
  type SealedModule,
  scalar,
  sealByHand,
  sealedMechanism,
  sealedModule,
  signParameter,
  toNumber,
  xOnly,
} from "../support/sealed-module.ts";

const ZERO = new Uint8Array(32);
const NO_SUCH_HANDLE = scalar(0xffn << 48n, 8);

describeReal(C_MODULES, "the sealed module signs", () => {
  let world: SealedModule;
  let module: OpenModule;
  let even: Sealed;
  let odd: Sealed;
  let evenSecret: Uint8Array;

  /** A key of the test's own, sealed by hand: the test knows its secret. */
  async function sealed(secret: Uint8Array, aad = randomBytes(100)): Promise<Sealed> {
    const publicKey = secp256k1.getPublicKey(secret);
    return { publicKey, ...(await sealByHand(module, { kek: world.kek, secret, aad })) };
  }

  function secretOf(parity: 2 | 3): Uint8Array {
    const secret = secp256k1.utils.randomSecretKey();
    const found = secp256k1.getPublicKey(secret)[0] === parity;
    return found ? secret : scalar(N - toNumber(secret));
  }

  const init = (parameter: Uint8Array, key = world.kek) =>
    module.ckr("C_SignInit", module.session, sealedMechanism(parameter), key);
  const sign = (message: Uint8Array, room = 64): Promise<Answer> =>
    module.call("C_Sign", module.session, message, new Uint8Array(room));
  const signCkr = async (message: Uint8Array = randomBytes(32), room = 64) => {
    const answer = await sign(message, room);
    return answer.kind === "ckr" ? answer.ckr : CKR.ok;
  };

  beforeAll(async () => {
    world = await sealedModule();
    module = world.module;
    evenSecret = secretOf(2);
    even = await sealed(evenSecret);
    odd = await sealed(secretOf(3));
  });
  afterAll(() => world?.remove());

  it("is listed beside what the token has, and described", async () => {
    const listed = (await module.must("C_GetMechanismList", module.slot)) as readonly number[];
    expect(listed).toContain(AES_GCM);
    expect(listed.filter((type) => type === SEALED_BIP340)).toHaveLength(1);
    expect(await module.must("C_GetMechanismInfo", module.slot, SEALED_BIP340)).toEqual({
      minKeySize: 256,
      maxKeySize: 256,
      flags: 0x800 | 0x100,
    });
    const gcmInfo = await module.must("C_GetMechanismInfo", module.slot, AES_GCM);
    expect(gcmInfo).toMatchObject({ maxKeySize: 32 });
  });

  it.each([
    ["zero", 0n],
    ["one", 1n],
    ["n - 1", N - 1n],
    ...Array.from(
      { length: 12 },
      (_, i) => [`random ${i}`, toNumber(randomBytes(32)) % N] as const,
    ),
  ] as const)("under even and odd keys with the tweak %s", async (_, value) => {
    const tweak = scalar(value);
    for (const key of [even, odd]) {
      const message = randomBytes(32);
      expect(await init(signParameter(key, tweak))).toBe(CKR.ok);
      const answer = await sign(message);
      expect(answer.kind).toBe("ok");
      const signature = (answer as { value: Uint8Array }).value;
      expect(signature).toHaveLength(64);
      expect(schnorr.verify(signature, message, xOnly(key.publicKey, tweak))).toBe(true);
    }
  });

  it("never twice the same over one message: the randomness is fresh", async () => {
    const message = randomBytes(32);
    const signatures = new Set<string>();
    for (let i = 0; i < 3; i += 1) {
      await init(signParameter(even));
      const { value } = (await sign(message)) as { value: Uint8Array };
      signatures.add(Buffer.from(value).toString("hex"));
    }
    expect(signatures.size).toBe(3);
  });

  it.each([1, 511, 512])("with %i bytes of additional data", async (length) => {
    const key = await sealed(secretOf(2), randomBytes(length));
    expect(await init(signParameter(key))).toBe(CKR.ok);
    expect(await signCkr()).toBe(CKR.ok);
  });

  const parameters: Record<string, () => Uint8Array> = {
    "the form 0": () => signParameter(even, ZERO, 0),
    "the form of make": () => signParameter(even, ZERO, 2),
    "the form of move": () => signParameter(even, ZERO, 3),
    "an unknown form": () => signParameter(even, ZERO, 4),
    "the form alone": () => Uint8Array.of(1),
    "a tweak cut off": () => signParameter(even).slice(0, 32),
    "a ciphertext cut off": () => signParameter({ ...even, aad: new Uint8Array() }).slice(0, -1),
    "no additional data": () => signParameter({ ...even, aad: new Uint8Array() }),
    "513 bytes of additional data": () => signParameter({ ...even, aad: randomBytes(513) }),
    "a tweak of n": () => signParameter(even, scalar(N)),
    "a tweak of 2^256 - 1": () => signParameter(even, scalar((1n << 256n) - 1n)),
    "a tweak that cancels the key": () => signParameter(even, scalar(N - toNumber(evenSecret))),
    "a public key at infinity": () => signParameter({ ...even, publicKey: new Uint8Array(33) }),
    "an uncompressed key's first byte": () =>
      signParameter({ ...even, publicKey: concat(Uint8Array.of(4), even.publicKey.slice(1)) }),
    // x = 5 is on no point of secp256k1.
    "an x coordinate off the curve": () =>
      signParameter({ ...even, publicKey: concat(Uint8Array.of(2), scalar(5n)) }),
  };
  it.each(Object.entries(parameters))("not with %s", async (_, parameter) => {
    expect(await init(parameter())).toBe(CKR.mechanismParamInvalid);
    expect(await signCkr()).toBe(CKR.operationNotInitialized);
  });

  it("not without a parameter", async () => {
    const bare = { mechanism: SEALED_BIP340 };
    expect(await module.ckr("C_SignInit", module.session, bare, world.kek)).toBe(
      CKR.mechanismParamInvalid,
    );
  });

  const openings: Record<string, { readonly bend: () => Sealed; readonly ckr: number }> = {
    // SoftHSM's own word for a tag that does not fit, passed on.
    "additional data with one bit off": {
      bend: () => ({ ...even, aad: flipped(even.aad, 40) }),
      ckr: CKR.general,
    },
    "a ciphertext with one bit off": {
      bend: () => ({ ...even, ciphertext: flipped(even.ciphertext, 31) }),
      ckr: CKR.general,
    },
    "a tag with one bit off": {
      bend: () => ({ ...even, ciphertext: flipped(even.ciphertext, 47) }),
      ckr: CKR.general,
    },
    "an IV with one bit off": { bend: () => ({ ...even, iv: flipped(even.iv) }), ckr: CKR.general },
    "another account's public key": {
      bend: () => ({ ...even, publicKey: odd.publicKey }),
      ckr: CKR.encryptedDataInvalid,
    },
    "the public key's other half": {
      bend: () => ({ ...even, publicKey: flipped(even.publicKey) }),
      ckr: CKR.encryptedDataInvalid,
    },
  };
  it.each(Object.entries(openings))("not with %s", async (_, { bend, ckr }) => {
    expect(await init(signParameter(bend()))).toBe(CKR.ok);
    expect(await signCkr()).toBe(ckr);
    expect(await signCkr()).toBe(CKR.operationNotInitialized);
    expect(await init(signParameter(even))).toBe(CKR.ok);
    expect(await signCkr()).toBe(CKR.ok);
  });

  it.each([
    ["zero", 0n],
    ["n", N],
  ])("not with a sealed secret of %s", async (_, secret) => {
    const { publicKey } = even;
    const by = { kek: world.kek, secret: scalar(secret), aad: even.aad };
    const key = { publicKey, ...(await sealByHand(module, by)) };
    expect(await init(signParameter(key))).toBe(CKR.ok);
    expect(await signCkr()).toBe(CKR.encryptedDataInvalid);
  });

  it("not under a key that the token does not have, in the token's own words", async () => {
    const mechanism = gcm(even.iv, even.aad);
    const own = await module.ckr("C_DecryptInit", module.session, mechanism, NO_SUCH_HANDLE);
    expect(own).not.toBe(CKR.ok);
    expect(await init(signParameter(even), NO_SUCH_HANDLE)).toBe(CKR.ok);
    expect(await signCkr()).toBe(own);
    expect(await signCkr()).toBe(CKR.operationNotInitialized);
  });

  it.each([0, 31, 33])("not over %i bytes, and the operation has ended", async (length) => {
    await init(signParameter(even));
    expect(await signCkr(randomBytes(length))).toBe(CKR.dataLenRange);
    expect(await signCkr()).toBe(CKR.operationNotInitialized);
  });

  it("after a length query and after a buffer that was too small", async () => {
    await init(signParameter(even));
    // pkcs11js hands an empty buffer on as NULL: a query.
    expect(await signCkr(randomBytes(32), 0)).toBe(CKR.ok);
    expect(await signCkr(randomBytes(32), 63)).toBe(CKR.bufferTooSmall);
    const message = randomBytes(32);
    const { value } = (await sign(message, 80)) as { value: Uint8Array };
    expect(schnorr.verify(value, message, xOnly(even.publicKey, ZERO))).toBe(true);
    expect(await signCkr()).toBe(CKR.operationNotInitialized);
  });

  it("one operation of a session at a time", async () => {
    await init(signParameter(even));
    expect(await init(signParameter(odd))).toBe(CKR.operationActive);
    const hmac = { mechanism: 0x251 };
    expect(await module.ckr("C_SignInit", module.session, hmac, world.kek)).toBe(
      CKR.operationActive,
    );
    const message = randomBytes(32);
    const { value } = (await sign(message)) as { value: Uint8Array };
    expect(schnorr.verify(value, message, xOnly(even.publicKey, ZERO))).toBe(true);
  });

  it.each([
    ["C_SignUpdate", [randomBytes(32)]],
    ["C_SignFinal", [new Uint8Array(64)]],
  ] as const)("not in parts: %s ends the operation", async (call, args) => {
    await init(signParameter(even));
    expect(await module.ckr(call, module.session, ...args)).toBe(CKR.functionNotSupported);
    expect(await signCkr()).toBe(CKR.operationNotInitialized);
  });

  it("not after the session was closed, nor in one that never was", async () => {
    const session = await module.openSession();
    const mechanism = sealedMechanism(signParameter(even));
    expect(await module.ckr("C_SignInit", session, mechanism, world.kek)).toBe(CKR.ok);
    await module.must("C_CloseSession", session);
    const late = await module.ckr("C_Sign", session, randomBytes(32), new Uint8Array(64));
    expect(late).toBe(CKR.sessionHandleInvalid);
    expect(await module.ckr("C_SignInit", NO_SUCH_HANDLE, mechanism, world.kek)).toBe(
      CKR.sessionHandleInvalid,
    );
  });

  it.each(["C_CloseAllSessions", "C_Finalize"])("not after %s", async (call) => {
    const other = await world.another();
    const [kek] = await other.find("kek");
    const mechanism = sealedMechanism(signParameter(even));
    expect(await other.ckr("C_SignInit", other.session, mechanism, kek)).toBe(CKR.ok);
    await other.must(call, ...(call === "C_Finalize" ? [] : [other.slot]));
    const gone = call === "C_Finalize" ? CKR.notInitialized : CKR.sessionHandleInvalid;
    const late = await other.ckr("C_Sign", other.session, randomBytes(32), new Uint8Array(64));
    expect(late).toBe(gone);
    expect(await other.ckr("C_SignInit", other.session, mechanism, kek)).toBe(gone);
  });

  it.each([4, 40])("in %i sessions at once", async (sessions) => {
    const other = await world.another({ UV_THREADPOOL_SIZE: "40" });
    const [kek] = await other.find("kek");
    const keys = [even, odd];
    const rounds = Array.from({ length: sessions }, async (_, i) => {
      const session = await other.openSession();
      const key = keys[i % 2] ?? even;
      for (let round = 0; round < 10; round += 1) {
        const tweak = scalar(BigInt(i * 10 + round));
        const message = randomBytes(32);
        const mechanism = sealedMechanism(signParameter(key, tweak));
        await other.must("C_SignInit", session, mechanism, kek);
        const signature = await other.must("C_SignAsync", session, message, new Uint8Array(64));
        const verified = schnorr.verify(
          signature as Uint8Array,
          message,
          xOnly(key.publicKey, tweak),
        );
        expect(verified).toBe(true);
      }
    });
    await Promise.all(rounds);
  });
});
