/**
 * What a token can do wrong, in every custody mode: each fault ends as a typed error that says
 * whether asking again may help, is in the log, and never lets a wrong signature out.
 */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { schnorr } from "@noble/curves/secp256k1.js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { hex } from "../../policies/bitcoin/hash.ts";
import type { Token } from "../../signer/pkcs11/token.ts";
import { TokenError, type TokenFault } from "../../signer/pkcs11/token-error.ts";
import { BALLAST_MODULE, C_MODULES } from "../support/c-modules.ts";
import { describeReal } from "../support/real-part.ts";
import { type CustodyKind, readyToken, type SoftToken, softToken } from "../support/soft-token.ts";

const KINDS = ["sealed-javascript", "sealed-module", "native"] as const;
const LIMITS = { requestMs: 400, operationMs: 10, pauseMs: 20, pauseMaxMs: 100, crashesMax: 100 };

interface Fault {
  /** A line of native-token.c. */
  readonly line: string;
  /** Where the call that it spoils is made. */
  readonly kinds: readonly CustodyKind[];
  readonly code: TokenFault;
  readonly passing: boolean;
  /** What the log must have said. */
  readonly event: string;
}

const NATIVE = ["native"] as const;
const WRONG = { kinds: NATIVE, code: "signature-invalid", passing: true } as const;
const UNVERIFIED = { ...WRONG, event: "ALARM token signature does not verify" } as const;

const faults: readonly Fault[] = [
  { line: "bad-signature", ...UNVERIFIED },
  { line: "ec-sdsa", ...UNVERIFIED },
  { line: "ecdsa", ...UNVERIFIED },
  { line: "other-key", ...UNVERIFIED },
  { line: "short", ...UNVERIFIED },
  {
    ...{ line: "device-error", kinds: KINDS, event: "token process ended" },
    ...{ code: "token-failed", passing: true },
  },
  {
    ...{ line: "session-lost", kinds: KINDS, event: "token process ended" },
    ...{ code: "token-failed", passing: true },
  },
  {
    ...{ line: "delay 3000", kinds: KINDS, event: "token process hangs" },
    ...{ code: "timeout", passing: true },
  },
  {
    ...{ line: "delay-init 3000", kinds: NATIVE, event: "token process hangs" },
    ...{ code: "timeout", passing: true },
  },
];

describe.each(KINDS)("custody %s", (custody) => {
  describeReal(C_MODULES, "whose token", () => {
    let soft: SoftToken;
    let token: Token;
    let account: Uint8Array;
    beforeAll(async () => {
      soft = await readyToken({ custody, maxSessions: 4 });
      token = await soft.open({ limits: LIMITS });
      account = (await token.createAccount("vault-1")).publicKey;
    });
    afterEach(() => soft.fault(null));
    afterAll(() => soft.remove());

    const item = () => ({
      account: hex(account),
      tweak: new Uint8Array(32),
      message: randomBytes(32),
    });
    const sign = async () => {
      const one = item();
      const [signature = new Uint8Array(64)] = await token.sign([one]);
      return schnorr.verify(signature, one.message, account.slice(1));
    };

    it.each(faults.filter(({ kinds }) => kinds.includes(custody)))(
      "does $line: $code",
      async ({ line, code, passing, event }) => {
        expect(await sign()).toBe(true);
        soft.log.length = 0;
        soft.fault(line);
        const error = await token.sign([item(), item()]).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(TokenError);
        expect(error).toMatchObject({ code, passing });
        soft.fault(null);
        expect(await signsAgain(sign)).toBe(true);
        expect(soft.log.map((each) => each.event)).toContain(event);
      },
    );

    it("answers while it hangs: the process that asked is free", async () => {
      soft.fault("delay 3000");
      const hanging = token.sign([item()]).catch(() => "failed");
      let turns = 0;
      while (turns < 20) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        turns += 1;
      }
      expect(await hanging).toBe("failed");
      expect(turns).toBe(20);
      soft.fault(null);
      expect(await signsAgain(sign)).toBe(true);
    });

    it("is asked for nothing by what is refused before it", async () => {
      await sign();
      const before = soft.calls("C_Sign") + soft.calls("C_Decrypt");
      for (const bent of [
        { ...item(), message: new Uint8Array(31) },
        { ...item(), tweak: new Uint8Array(33) },
        { ...item(), tweak: new Uint8Array(32).fill(0xff) },
      ]) {
        await expect(token.sign([bent])).rejects.toMatchObject({ code: "request" });
      }
      expect(soft.calls("C_Sign") + soft.calls("C_Decrypt")).toBe(before);
    });
  });

  describeReal(C_MODULES, "whose token refuses the PIN", () => {
    it.each(["pin-incorrect", "pin-locked"] as const)(
      "%s: one C_Login, over restarts",
      async (line) => {
        const soft = await readyToken({ custody });
        const before = soft.calls("C_Login");
        soft.fault(line);
        await expect(soft.open()).rejects.toMatchObject({ code: line, passing: false });
        for (let start = 0; start < 3; start += 1) {
          await expect(soft.open()).rejects.toMatchObject({ code: "pin-latched", passing: false });
        }
        expect(soft.calls("C_Login")).toBe(before + 1);
        // A person looks, and opens the way again.
        soft.fault(null);
        rmSync(soft.latchFile);
        const token = await soft.open();
        expect(await token.health()).toMatchObject({ kind: "healthy" });
        expect(soft.calls("C_Login")).toBe(before + 2);
        await soft.remove();
      },
    );
  });

  describeReal(C_MODULES, "whose token is another one under its label", () => {
    it("signs nothing, and says which token is missing", async () => {
      const soft = await readyToken({ custody });
      const token = await soft.open({ limits: LIMITS });
      const { publicKey } = await token.createAccount("vault-1");
      await token.close();
      await soft.swap();
      // The new token has no keys; and when it has, they are others.
      await expect(soft.open()).rejects.toMatchObject({ code: "key-missing", passing: false });
      await soft.init();
      const other = await soft.open();
      const zero = new Uint8Array(32);
      const request = [{ account: hex(publicKey), tweak: zero, message: zero }];
      const code = custody === "native" ? "key-file-foreign" : "key-file-damaged";
      await expect(other.sign(request)).rejects.toMatchObject({ code, passing: false });
      await soft.remove();
    });
  });
});

describeReal(C_MODULES, "a native token at the start", () => {
  let soft: SoftToken;
  beforeAll(async () => {
    soft = await readyToken({ custody: "native" });
  });
  afterEach(() => soft.fault(null));
  afterAll(() => soft.remove());

  it.each(["ec-sdsa", "ecdsa", "bad-signature", "other-key", "short"])(
    "is refused when its mechanism answers with %s",
    async (line) => {
      soft.fault(line);
      await expect(soft.open()).rejects.toMatchObject({ code: "mechanism", passing: false });
    },
  );

  it("is refused when it does not sign by the mechanism", async () => {
    soft.fault("no-sign");
    await expect(soft.open()).rejects.toMatchObject({ code: "mechanism", passing: false });
  });

  it("is refused when it lacks the mechanism", async () => {
    const uri = soft.profiled({ native: { mechanism: "0x80340341", parameter: "tweak32" } });
    await expect(soft.open({ uri })).rejects.toMatchObject({ code: "mechanism" });
  });

  it("is refused when it cannot tweak", async () => {
    const uri = soft.profiled({ native: { mechanism: "0x80340340", parameter: "none" } });
    await expect(soft.open({ uri })).rejects.toMatchObject({ code: "profile" });
  });

  it("is refused on mainnet, whatever a profile says of it", async () => {
    const uri = soft.profiled({ networks: ["bitcoin"] });
    const opening = soft.open({ uri, network: "bitcoin" });
    await expect(opening).rejects.toMatchObject({ code: "token-unfit" });
  });

  it("is refused when its probe key could leave it, or came from outside", async () => {
    for (const act of ["extractable-pair", "imported-pair"] as const) {
      const other = await softToken({ custody: "native" });
      await other.intrude(act);
      await expect(other.open()).rejects.toMatchObject({ code: "key-unsafe", passing: false });
      await expect(other.init()).rejects.toMatchObject({ code: "key-unsafe" });
      await other.remove();
    }
  });
});

describeReal(C_MODULES, "the sealed module", () => {
  it("is refused before itself, and before what is no PKCS#11 library", async () => {
    const soft = await softToken({ custody: "sealed-module" });
    for (const library of [BALLAST_MODULE, soft.pinFile]) {
      const uri = soft.uri.replace(/module-path=[^&]*/, `module-path=${library}`);
      await expect(soft.open({ uri })).rejects.toMatchObject({ code: "module-unusable" });
    }
    await soft.remove();
  });
});

/** The child that failed is replaced after a pause. */
async function signsAgain(sign: () => Promise<boolean>): Promise<boolean> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await sign();
    } catch (error) {
      if (tries === 100 || !(error instanceof TokenError) || !error.passing) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
