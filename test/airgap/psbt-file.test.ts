/** Goal: a file is read whole or not at all, written whole or not at all, and never over another. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { base64 } from "@scure/base";
import { describe, expect, it } from "vitest";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { AirgapError } from "../../signer/airgap/airgap-error.ts";
import { readPsbtFile, writePsbtFile } from "../../signer/airgap/psbt-file.ts";
import { temporaryFolder } from "../support/node.ts";
import { faultOf } from "../support/signer-room.ts";
import { expectNoContent, psbtOf } from "./caught.ts";

const PSBT = psbtOf();
const TEXT = base64.encode(PSBT);
const folder = temporaryFolder();
const at = (name: string) => join(folder(), name);

async function expectFault(promise: Promise<unknown>, code: string, words: RegExp): Promise<void> {
  const fault = await faultOf(promise);
  expect(fault).toBeInstanceOf(AirgapError);
  expect(fault).toMatchObject({ code, message: expect.stringMatching(words) });
  expectNoContent(fault.message, PSBT);
}

describe("is read", () => {
  it.each([
    ["binary", PSBT],
    ["base64", TEXT],
    ["base64 with a last line break", `${TEXT}\n`],
    ["base64 with Windows' line break", `${TEXT}\r\n`],
    ["base64 in lines of 76", TEXT.replace(/.{76}/g, "$&\n")],
  ])("%s", async (_, content) => {
    writeFileSync(at("in.psbt"), content);
    expect(await readPsbtFile(at("in.psbt"))).toEqual(PSBT);
  });
});

describe("is refused", () => {
  it.each([
    ["an empty file", "", "file", /in\.psbt is empty/],
    ["base64 with a space", TEXT.replace("A", " "), "bad-part", /not base64/],
    ["base64 with a mark at its start", `\ufeff${TEXT}`, "bad-part", /not base64/],
    ["base64 with zero-width junk", TEXT.replace("A", "A\u200b"), "bad-part", /not base64/],
    ["base64 of the URL alphabet", `${TEXT.slice(0, -4)}_-==`, "bad-part", /not base64/],
    [
      "base64 without its padding",
      base64.encode(PSBT.slice(0, 100)).replace(/=+$/, ""),
      "bad-part",
      /not base64/,
    ],
    ["base64 of something else", base64.encode(new Uint8Array(90)), "wrong-content", /psbt-magic/],
    ["a picture", Uint8Array.of(0x89, 0x50, 0x4e, 0x47), "bad-part", /not base64/],
    ["a PSBT that is cut", PSBT.slice(0, -40), "wrong-content", /psbt-truncated/],
    [
      "a PSBT with something behind it",
      Uint8Array.from([...PSBT, 1]),
      "wrong-content",
      /no PSBT that can be read/,
    ],
    [
      "a binary file beyond the bound",
      Uint8Array.from([...PSBT, ...new Uint8Array(PSBT_BYTES_MAX)]),
      "oversized",
      /at most 262144 bytes/,
    ],
    [
      "a text beyond the bound",
      "A".repeat(2 * PSBT_BYTES_MAX + 1),
      "oversized",
      /at most 262144 bytes/,
    ],
  ])("%s", async (_, content, code, words) => {
    writeFileSync(at("in.psbt"), content);
    await expectFault(readPsbtFile(at("in.psbt")), code, words);
  });
  it("what is no regular file, without waiting for it", async () => {
    await expectFault(
      readPsbtFile(at("missing.psbt")),
      "file",
      /missing\.psbt cannot be opened: ENOENT/,
    );
    await expectFault(readPsbtFile(folder()), "file", /no regular file/);
    execFileSync("mkfifo", [at("pipe.psbt")]);
    await expectFault(readPsbtFile(at("pipe.psbt")), "file", /no regular file/);
  });
});

describe("is written", () => {
  it("as binary, for its owner only, and reads back", async () => {
    await writePsbtFile(at("out.psbt"), PSBT);
    expect(new Uint8Array(readFileSync(at("out.psbt")))).toEqual(PSBT);
    expect(statSync(at("out.psbt")).mode & 0o777).toBe(0o600);
    expect(await readPsbtFile(at("out.psbt"))).toEqual(PSBT);
  });
  it("never over another file, nor through a link", async () => {
    writeFileSync(at("taken.psbt"), "mine");
    symlinkSync(at("nowhere"), at("link.psbt"));
    for (const name of ["taken.psbt", "link.psbt"]) {
      await expectFault(
        writePsbtFile(at(name), PSBT),
        "file-exists",
        /is there already and is not overwritten/,
      );
    }
    expect(readFileSync(at("taken.psbt"), "utf8")).toBe("mine");
  });
  it("by one of two who want the same name", async () => {
    const both = await Promise.allSettled([
      writePsbtFile(at("race.psbt"), PSBT),
      writePsbtFile(at("race.psbt"), PSBT),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(await readPsbtFile(at("race.psbt"))).toEqual(PSBT);
  });
  it("leaving nothing behind where it cannot be", async () => {
    await expectFault(writePsbtFile(at("none/out.psbt"), PSBT), "file", /cannot be opened: ENOENT/);
    await expectFault(
      writePsbtFile(at("junk.psbt"), new Uint8Array(9)),
      "wrong-content",
      /no PSBT/,
    );
    expect(
      readdirSync(folder()).filter((name) => name.startsWith(".") || name === "junk.psbt"),
    ).toEqual([]);
  });
});
