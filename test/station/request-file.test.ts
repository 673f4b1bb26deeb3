/** A request as a file: what is read, and each part of it bent once. */
import { expect, it } from "vitest";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { writeIntent } from "../../policies/intent.ts";
import { readRequestFile } from "../../signer/station/request-file.ts";
import { StationError } from "../../signer/station/requests.ts";
import { EVIDENCE } from "../support/proofs.ts";
import { registrationOf } from "../support/signer-room.ts";
import { honest, USER_VAULT } from "../support/spend.ts";

const spend = honest();
const registration = registrationOf(USER_VAULT);
const file = {
  format: "ballast/request@1",
  intent: writeIntent(spend.intent),
  psbt: Buffer.from(spend.bytes).toString("base64"),
  evidence: EVIDENCE,
  vaults: [registration],
};

/** As a file gives it: without what JSON does not carry. */
const read = (value: unknown) => readRequestFile(JSON.parse(JSON.stringify(value)));

it("is read, and waits for nobody", () => {
  expect(read(file)).toEqual({
    id: spend.intent.id,
    request: { intent: file.intent, psbt: spend.bytes, evidence: EVIDENCE },
    vaults: [registration],
    ...{ deadline: null, ceremony: null },
  });
});

it("needs neither evidence nor vaults", () => {
  const { request, vaults } = read({ ...file, evidence: undefined, vaults: undefined });
  expect([Object.hasOwn(request, "evidence"), vaults]).toEqual([false, []]);
});

it.each([
  ["nothing", null, "document: "],
  ["a text", "ballast/request@1", "document: "],
  ["another format", { ...file, format: "ballast/request@2" }, "format: "],
  ["a word too many", { ...file, sign: true }, "document: "],
  ["no intent", { ...file, intent: undefined }, "intent: "],
  ["a bent intent", { ...file, intent: { ...file.intent, vault: "00" } }, "vault"],
  ["no PSBT", { ...file, psbt: undefined }, "psbt: "],
  ["a PSBT that is no base64", { ...file, psbt: "cHNid P8=" }, "psbt: is not base64"],
  ["a PSBT in hex", { ...file, psbt: Buffer.from(spend.bytes).toString("hex") }, "psbt: "],
  ["a PSBT that is cut off", { ...file, psbt: file.psbt.slice(0, 40) }, "psbt: "],
  ["an empty PSBT", { ...file, psbt: "" }, "psbt: "],
  ["a PSBT too long", { ...file, psbt: "A".repeat(4 * Math.ceil(PSBT_BYTES_MAX / 3) + 1) }, "psbt"],
  ["evidence that is none", { ...file, evidence: { format: "ballast/evidence@9" } }, "evidence"],
  ["evidence of nothing", { ...file, evidence: null }, "evidence"],
  ["a vault without its proofs", { ...file, vaults: [{ vault: registration.vault }] }, "vaults.0"],
  [
    "a proof that is none",
    { ...file, vaults: [{ ...registration, proofs: { user: "00" } }] },
    "vaults.0",
  ],
  [
    "a proof by nobody",
    { ...file, vaults: [{ ...registration, proofs: { bank: registration.proofs.user } }] },
    "vaults.0",
  ],
  ["too many vaults", { ...file, vaults: Array(253).fill(registration) }, "vaults"],
])("is refused with %s, and says so", (_, bent, words) => {
  expect(() => read(bent)).toThrow(StationError);
  expect(() => read(bent)).toThrow(words);
  try {
    read(bent);
  } catch (error) {
    expect(error).toMatchObject({ code: "malformed" });
    expect(String(error)).not.toMatch(/[\r\n]/);
  }
});

it("tells every fault of its form at once", () => {
  expect(() => read({ ...file, format: "x", psbt: 7, vaults: {} })).toThrow(
    /format: .*psbt: .*vaults: /,
  );
});
