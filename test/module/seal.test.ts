/** The sealed module makes keys and moves them to other sealing keys; each bend has one answer. */
import { randomBytes } from "node:crypto";
import { schnorr, secp256k1 } from "@noble/curves/secp256k1.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import { bindingBytes } from "../../signer/custody/key-file.ts";
import { C_MODULES } from "../support/c-modules.ts";
import { CKR, type OpenModule } from "../support/pkcs11-process.ts";
import { describeReal } from "../support/real-part.ts";
import {
  concat,
  flipped,
  number16,
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

const GCM = 1;
const RSA_SHA1 = 2;
const RSA_SHA256 = 3;
const RSA_BYTES = 256;

const makeParameter = (prefix: Uint8Array, suffix: Uint8Array) =>
  concat(Uint8Array.of(2), number16(prefix.length), prefix, suffix);

interface Move {
  readonly from: number;
  readonly to: number;
  /** The handle of the key that opens. */
  readonly key: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly toAad: Uint8Array;
  readonly fromAad: Uint8Array;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

function moveParameter(move: Move): Uint8Array {
  // A handle is a CK_ULONG of this machine, and big-endian in the parameter.
  const handle = move.key.toReversed();
  return concat(
    ...[Uint8Array.of(3, move.from, move.to), handle, move.publicKey],
    ...[number16(move.toAad.length), move.toAad, number16(move.fromAad.length), move.fromAad],
    ...[move.iv, move.ciphertext],
  );
}

describeReal(C_MODULES, "the sealed module seals", () => {
  let world: SealedModule;
  let module: OpenModule;
  let rsa: { readonly publicKey: Uint8Array; readonly privateKey: Uint8Array };
  let sealed: Sealed;

  const none = new Uint8Array();
  const init = (parameter: Uint8Array, key = world.kek) =>
    module.ckr("C_EncryptInit", module.session, sealedMechanism(parameter), key);
  const run = async (data: Uint8Array, room: number) =>
    (await module.must("C_Encrypt", module.session, data, new Uint8Array(room))) as Uint8Array;
  const runCkr = (data: Uint8Array = randomBytes(32), room = 512) =>
    module.ckr("C_Encrypt", module.session, data, new Uint8Array(room));

  async function make(prefix: Uint8Array, suffix: Uint8Array, entropy = randomBytes(32)) {
    expect(await init(makeParameter(prefix, suffix))).toBe(CKR.ok);
    const made = await run(entropy, 93);
    expect(made).toHaveLength(93);
    const publicKey = made.slice(0, 33);
    const aad = concat(prefix, scalar(33n, 4), publicKey, suffix);
    return { publicKey, iv: made.slice(33, 45), ciphertext: made.slice(45), aad };
  }

  async function signs(key: Sealed): Promise<boolean> {
    const message = randomBytes(32);
    const tweak = randomBytes(32);
    const mechanism = sealedMechanism(signParameter(key, tweak));
    await module.must("C_SignInit", module.session, mechanism, world.kek);
    const signature = await module.must("C_Sign", module.session, message, new Uint8Array(64));
    return schnorr.verify(signature as Uint8Array, message, xOnly(key.publicKey, tweak));
  }

  /** A move of the sealed key under the same sealing key, with other additional data. */
  const honest = (): Move => ({
    ...{ from: GCM, to: GCM, key: world.kek, publicKey: sealed.publicKey },
    ...{ toAad: randomBytes(60), fromAad: sealed.aad, iv: sealed.iv },
    ciphertext: sealed.ciphertext,
  });

  async function moved(move: Move, key = world.kek): Promise<Uint8Array> {
    expect(await init(moveParameter(move), key)).toBe(CKR.ok);
    return run(none, 512);
  }

  async function toRsa(): Promise<Uint8Array> {
    return moved({ ...honest(), to: RSA_SHA1, toAad: none }, rsa.publicKey);
  }

  beforeAll(async () => {
    world = await sealedModule();
    module = world.module;
    const [publicKey, privateKey] = await generateRsa(module);
    rsa = { publicKey, privateKey };
    sealed = await make(randomBytes(40), randomBytes(8));
  });
  afterAll(() => world?.remove());

  it("a key that signs, bound to what the key file says", async () => {
    const [prefix, suffix] = around(bindingBytes({ ...binding, publicKey: "00".repeat(33) }));
    const key = await make(prefix, suffix);
    expect(key.aad).toEqual(bindingBytes({ ...binding, publicKey: hex(key.publicKey) }));
    expect(await signs(key)).toBe(true);
  });

  it("another key each time, whatever the caller's entropy", async () => {
    const entropy = new Uint8Array(32);
    const keys = [
      await make(none, none, Buffer.from(entropy)),
      await make(none, none, Buffer.from(entropy)),
    ];
    expect(new Set(keys.map(({ publicKey }) => hex(publicKey))).size).toBe(2);
    expect(new Set(keys.map(({ iv }) => hex(iv))).size).toBe(2);
    for (const key of keys) expect(await signs(key)).toBe(true);
  });

  // Four bytes of length and 33 of the public key come between prefix and suffix.
  it.each([
    [475, 0],
    [0, 475],
    [400, 75],
  ])("with a prefix of %i and a suffix of %i", async (prefix, suffix) => {
    expect(await signs(await make(randomBytes(prefix), randomBytes(suffix)))).toBe(true);
  });

  const making: Record<string, Uint8Array> = {
    "a prefix one too long": makeParameter(randomBytes(476), none),
    "a suffix one too long": makeParameter(none, randomBytes(476)),
    "both one too long together": makeParameter(randomBytes(400), randomBytes(76)),
    "a prefix that ends beyond the parameter": concat(
      Uint8Array.of(2),
      number16(5),
      randomBytes(4),
    ),
    "half a length": Uint8Array.of(2, 0),
    "the form alone": Uint8Array.of(2),
    "the form of sign": concat(Uint8Array.of(1), randomBytes(200)),
    "an unknown form": concat(Uint8Array.of(4), number16(0)),
  };
  it.each(Object.entries(making))("nothing with %s", async (_, parameter) => {
    expect(await init(parameter)).toBe(CKR.mechanismParamInvalid);
    expect(await runCkr()).toBe(CKR.operationNotInitialized);
  });

  it.each([0, 31, 33])("nothing of %i bytes of entropy", async (length) => {
    await init(makeParameter(none, none));
    expect(await runCkr(randomBytes(length))).toBe(CKR.dataLenRange);
    expect(await runCkr()).toBe(CKR.operationNotInitialized);
  });

  it("after a length query and after a buffer that was too small", async () => {
    await init(makeParameter(none, none));
    expect(await runCkr(randomBytes(32), 0)).toBe(CKR.ok);
    expect(await runCkr(randomBytes(32), 92)).toBe(CKR.bufferTooSmall);
    expect(await init(makeParameter(none, none))).toBe(CKR.operationActive);
    expect(await run(randomBytes(32), 93)).toHaveLength(93);
    expect(await runCkr()).toBe(CKR.operationNotInitialized);
  });

  it.each([
    ["C_EncryptUpdate", [randomBytes(32), new Uint8Array(128)]],
    ["C_EncryptFinal", [new Uint8Array(128)]],
  ] as const)("not in parts: %s ends the operation", async (call, args) => {
    await init(makeParameter(none, none));
    expect(await module.ckr(call, module.session, ...args)).toBe(CKR.functionNotSupported);
    expect(await runCkr()).toBe(CKR.operationNotInitialized);
  });

  it("to other additional data, and the old ciphertext stays good", async () => {
    const move = honest();
    const output = await moved(move);
    expect(output).toHaveLength(60);
    const key = { publicKey: sealed.publicKey, aad: move.toAad };
    const rest = { iv: output.slice(0, 12), ciphertext: output.slice(12) };
    expect(await signs({ ...key, ...rest })).toBe(true);
    expect(await signs(sealed)).toBe(true);
  });

  it("to an RSA key and back", async () => {
    const wrapped = await toRsa();
    expect(wrapped).toHaveLength(RSA_BYTES);
    const back = { ...honest(), from: RSA_SHA1, key: rsa.privateKey, fromAad: none, iv: none };
    const output = await moved({ ...back, ciphertext: wrapped });
    const key = { publicKey: sealed.publicKey, aad: back.toAad };
    expect(await signs({ ...key, iv: output.slice(0, 12), ciphertext: output.slice(12) })).toBe(
      true,
    );
  });

  it("whatever 32 bytes of data say, and over none", async () => {
    for (const data of [none, randomBytes(32)]) {
      await init(moveParameter(honest()));
      expect(await run(data, 60)).toHaveLength(60);
    }
  });

  it.each([1, 31, 33])("nothing over %i bytes of data when it moves", async (length) => {
    await init(moveParameter(honest()));
    expect(await runCkr(randomBytes(length))).toBe(CKR.dataLenRange);
    expect(await runCkr()).toBe(CKR.operationNotInitialized);
  });

  it("to RSA after a buffer that was too small", async () => {
    await init(moveParameter({ ...honest(), to: RSA_SHA1, toAad: none }), rsa.publicKey);
    expect(await runCkr(none, RSA_BYTES - 1)).toBe(CKR.bufferTooSmall);
    expect(await run(none, RSA_BYTES)).toHaveLength(RSA_BYTES);
  });

  it("not by SHA-256 where the token has none, in the token's own words", async () => {
    await init(moveParameter({ ...honest(), to: RSA_SHA256, toAad: none }), rsa.publicKey);
    expect(await runCkr(none)).toBe(CKR.argumentsBad);
    expect(await runCkr()).toBe(CKR.operationNotInitialized);
  });

  const moves: Record<string, () => Uint8Array> = {
    "from no kind": () => moveParameter({ ...honest(), from: 0 }),
    "from an unknown kind": () => moveParameter({ ...honest(), from: 4 }),
    "to no kind": () => moveParameter({ ...honest(), to: 0 }),
    "to an unknown kind": () => moveParameter({ ...honest(), to: 4 }),
    "no public key": () => moveParameter({ ...honest(), publicKey: new Uint8Array(33) }),
    "nothing to bind to": () => moveParameter({ ...honest(), toAad: none }),
    "nothing it is bound to": () => moveParameter({ ...honest(), fromAad: none }),
    "513 bytes to bind to": () => moveParameter({ ...honest(), toAad: randomBytes(513) }),
    "513 bytes it is bound to": () => moveParameter({ ...honest(), fromAad: randomBytes(513) }),
    "a ciphertext of 47": () =>
      moveParameter({ ...honest(), ciphertext: sealed.ciphertext.slice(1) }),
    "a ciphertext of 49": () =>
      moveParameter({ ...honest(), ciphertext: concat(sealed.ciphertext, none, Uint8Array.of(0)) }),
    "no RSA ciphertext": () =>
      moveParameter({ ...honest(), from: RSA_SHA1, fromAad: none, iv: none, ciphertext: none }),
    "an RSA ciphertext of 1025": () =>
      moveParameter({
        ...{ ...honest(), from: RSA_SHA1, fromAad: none, iv: none },
        ciphertext: randomBytes(1025),
      }),
    "the kinds alone": () => Uint8Array.of(3, 1, 1),
  };
  it.each(Object.entries(moves))("nothing with %s", async (_, parameter) => {
    expect(await init(parameter())).toBe(CKR.mechanismParamInvalid);
    expect(await runCkr()).toBe(CKR.operationNotInitialized);
  });

  it("512 bytes of additional data on either side", async () => {
    const aad = randomBytes(512);
    const first = await moved({ ...honest(), toAad: aad });
    const rest = { iv: first.slice(0, 12), ciphertext: first.slice(12) };
    expect(await moved({ ...honest(), ...rest, fromAad: aad })).toHaveLength(60);
  });

  const openings: Record<string, { readonly bend: () => Partial<Move>; readonly ckr: number }> = {
    "additional data with one bit off": {
      bend: () => ({ fromAad: flipped(sealed.aad) }),
      ckr: CKR.general,
    },
    "a ciphertext with one bit off": {
      bend: () => ({ ciphertext: flipped(sealed.ciphertext) }),
      ckr: CKR.general,
    },
    "another key's public key": {
      bend: () => ({ publicKey: secp256k1.getPublicKey(secp256k1.utils.randomSecretKey()) }),
      ckr: CKR.encryptedDataInvalid,
    },
    "the public key's other half": {
      bend: () => ({ publicKey: flipped(sealed.publicKey) }),
      ckr: CKR.encryptedDataInvalid,
    },
  };
  it.each(Object.entries(openings))("nothing of %s", async (_, { bend, ckr }) => {
    expect(await init(moveParameter({ ...honest(), ...bend() }))).toBe(CKR.ok);
    expect(await runCkr(none)).toBe(ckr);
    expect(await runCkr()).toBe(CKR.operationNotInitialized);
  });

  it("nothing that is longer than a key, though the key is in it", async () => {
    const secret = secp256k1.utils.randomSecretKey();
    const longer = concat(secret, Uint8Array.of(0));
    const mechanism = { mechanism: 9, parameter: { type: 4, hashAlg: 0x220, mgf: 1, source: 1 } };
    await module.must("C_EncryptInit", module.session, mechanism, rsa.publicKey);
    const wrapped = await module.must(
      ...(["C_Encrypt", module.session, longer, new Uint8Array(RSA_BYTES)] as const),
    );
    const move = { ...honest(), from: RSA_SHA1, key: rsa.privateKey, fromAad: none, iv: none };
    const key = { publicKey: secp256k1.getPublicKey(secret), ciphertext: wrapped as Uint8Array };
    await init(moveParameter({ ...move, ...key }));
    expect(await runCkr(none)).toBe(CKR.encryptedDataInvalid);
  });

  it("a key that a person sealed by hand, too", async () => {
    const secret = secp256k1.utils.randomSecretKey();
    const by = { kek: world.kek, secret, aad: randomBytes(9) };
    const key = { publicKey: secp256k1.getPublicKey(secret), ...(await sealByHand(module, by)) };
    expect(await signs(key)).toBe(true);
    expect(toNumber(key.iv)).not.toBe(0n);
  });
});

const binding = { network: "regtest", label: "vault-1", epoch: 1 } as const;

/** What stands before and after the public key's field, of 33 zero bytes. */
function around(bound: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const field = concat(scalar(33n, 4), new Uint8Array(33));
  const at = Buffer.from(bound).indexOf(field);
  return [bound.slice(0, at), bound.slice(at + field.length)];
}

async function generateRsa(module: OpenModule): Promise<readonly [Uint8Array, Uint8Array]> {
  const pair = (await module.must(
    "C_GenerateKeyPair",
    module.session,
    { mechanism: 0 },
    [
      { type: 0x121, value: RSA_BYTES * 8 },
      { type: 0x122, value: Uint8Array.of(1, 0, 1) },
      { type: 0x104, value: true },
    ],
    [{ type: 0x105, value: true }],
  )) as { publicKey: Uint8Array; privateKey: Uint8Array };
  return [pair.publicKey, pair.privateKey];
}
