import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openCurvePool } from "../../signer/curve.ts";
import { KeyError } from "../../signer/key-error.ts";
import { openKey } from "../../signer/open.ts";
import { tokenKey } from "../../signer/pkcs11/key.ts";
import { createSoftwareKey, openSoftwareKey } from "../../signer/software.ts";
import { C_MODULES } from "../support/c-modules.ts";
import { temporaryFolder } from "../support/node.ts";
import { describeReal, type RealPart } from "../support/real-part.ts";
import { faultOf } from "../support/signer-room.ts";
import { SOFTHSM } from "../support/soft-hsm.ts";
import { type CustodyKind, readyToken } from "../support/soft-token.ts";
import { keyContract } from "./key.ts";

const LABELS = Array.from({ length: 16 }, (_, n) => `vault-${n}`);
const curve = openCurvePool(2);
afterAll(() => curve.close());

describe("software:", () => {
  keyContract(async () => {
    const folder = mkdtempSync(join(tmpdir(), "ballast-key-"));
    const file = join(folder, "key.json");
    createSoftwareKey(file, "regtest", LABELS);
    const key = openSoftwareKey({ file, network: "regtest", curve });
    return {
      key,
      labels: LABELS,
      close: async () => {
        await key.close();
        rmSync(folder, { recursive: true });
      },
    };
  });

  describe("the key file", () => {
    const folder = temporaryFolder();
    const at = (name: string) => join(folder(), name);
    const codeOf = (act: () => unknown) => {
      try {
        act();
      } catch (error) {
        return error instanceof KeyError ? error.code : error;
      }
      return "no fault";
    };

    it("is refused for mainnet, made or opened, whatever it says of itself", () => {
      expect(codeOf(() => createSoftwareKey(at("main"), "bitcoin", ["a"]))).toBe("mainnet");
      createSoftwareKey(at("regtest"), "regtest", ["a"]);
      const open = () => openSoftwareKey({ file: at("regtest"), network: "bitcoin", curve });
      expect(codeOf(open)).toBe("mainnet");
      const forged = readFileSync(at("regtest"), "utf8").replace("regtest", "bitcoin");
      writeFileSync(at("forged"), forged);
      const other = () => openSoftwareKey({ file: at("forged"), network: "regtest", curve });
      expect(codeOf(other)).toBe("damaged");
    });

    it("is never overwritten, and is its owner's alone", () => {
      createSoftwareKey(at("once"), "regtest", ["a"]);
      const before = readFileSync(at("once"), "utf8");
      expect(codeOf(() => createSoftwareKey(at("once"), "regtest", ["b"]))).not.toBe("no fault");
      expect(readFileSync(at("once"), "utf8")).toBe(before);
      expect(statSync(at("once")).mode & 0o077).toBe(0);
    });

    it.each([
      ["missing", null],
      ["empty", ""],
      ["of another format", '{"format":"ballast/software-key@2"}'],
      ["with a short seed", seeded("00")],
      ["with a field too many", seeded("00".repeat(32), ',"more":1')],
    ])("%s is damaged, and the fault quotes nothing of it", (_, content) => {
      const file = at("bad");
      rmSync(file, { force: true });
      if (content !== null) writeFileSync(file, content);
      const open = () => openSoftwareKey({ file, network: "regtest", curve });
      expect(codeOf(open)).toBe("damaged");
      expect(open).not.toThrow(/seed|00/);
    });

    it("has the accounts that it was made with, and no other", async () => {
      createSoftwareKey(at("labels"), "regtest", ["a"]);
      const key = openSoftwareKey({ file: at("labels"), network: "regtest", curve });
      expect(await faultOf(key.accountKey("b"))).toMatchObject({ code: "unknown-account" });
    });
  });
});

const KINDS: readonly [CustodyKind, RealPart][] = [
  ["sealed", SOFTHSM],
  ["sealed-javascript", C_MODULES],
  ["sealed-module", C_MODULES],
  ["native", C_MODULES],
];

describe.each(KINDS)("pkcs11: %s", (custody, part) => {
  describeReal(part, "on SoftHSM", () => {
    keyContract(async () => {
      const token = await readyToken({ custody });
      const key = tokenKey({
        token: await token.open(),
        network: "regtest",
        name: "ballast-lsp",
      });
      return {
        key,
        labels: LABELS,
        close: async () => {
          await key.close();
          await token.remove();
        },
      };
    });
  });
});

describe("a key's URI", () => {
  it.each(["", "key.json", "Software:/key.json", "file:/key.json", "https://signer", "ledger:"])(
    "%j opens nothing",
    async (uri) => {
      const options = { network: "regtest", curve, log: () => undefined } as const;
      expect(await faultOf(openKey(uri, options))).toMatchObject({ code: "unsupported" });
    },
  );
});

function seeded(seed: string, more = ""): string {
  return `{"format":"ballast/software-key@1","network":"regtest","seed":"${seed}","accounts":["a"]${more}}`;
}
