/**
 * A device, or somebody on its cable, that wants a coin to be free again after a signature was given,
 * wants the signer to wait or to remember for ever, or wants to write on the person's screen.
 */
import { afterEach, describe, expect, it } from "vitest";
import { readLedgerApps } from "../../signer/ledger/app-versions.ts";
import { openLedgerDevice } from "../../signer/ledger/device.ts";
import { ledgerError } from "../../signer/ledger/ledger-error.ts";
import type { Transport } from "../../signer/ledger/transport.ts";
import {
  approvalOf,
  type LedgerStand,
  ledgerStand,
  type StandOptions,
  vaultAround,
} from "../support/ledger-stand.ts";
import { faultOf } from "../support/signer-room.ts";
import { honest } from "../support/spend.ts";

const stands: LedgerStand[] = [];
afterEach(async () => {
  for (const stand of stands.splice(0)) await stand.close();
});

const REJECTED = Uint8Array.of(0x69, 0x85);
/** An answer that carries a signature. */
const isYield = (answer: Uint8Array) => answer[0] === 0x10 && answer.at(-2) === 0xe0;

async function ready(bend: NonNullable<StandOptions["bend"]>) {
  const stand = ledgerStand({ bend });
  stands.push(stand);
  const vault = vaultAround(await stand.key.accountKey("0"));
  await stand.register(vault.vault);
  return { stand, approval: approvalOf(honest({ from: vault })) };
}

describe("a coin is not freed by a forged no", () => {
  it("where the cable breaks just as the signature comes", async () => {
    let cut = true;
    const { stand, approval } = await ready((answer) => {
      if (cut && isYield(answer)) throw ledgerError("disconnected", "cut");
      return answer;
    });
    expect(await faultOf(stand.key.sign(approval))).toMatchObject({ fault: "disconnected" });
    cut = false;
    stand.app.unplug();
    stand.app.plug();
    stand.decide = () => "reject";
    const fault = await faultOf(stand.key.sign(approval));
    expect(fault).toMatchObject({ fault: "stopped-after-signing", code: "unavailable" });
  });

  it.each([
    ["the fingerprint", 0x05],
    ["the account key", 0x00],
  ])("said to a question for %s, which no person is asked", async (_, instruction) => {
    let forged = false;
    const { stand, approval } = await ready((answer, apdu) =>
      forged && apdu[0] === 0xe1 && apdu[1] === instruction ? REJECTED : answer,
    );
    expect(await stand.key.sign(approval)).toHaveLength(1);
    forged = true;
    const fault = await faultOf(stand.reopen().sign(approval));
    expect(fault).toMatchObject({ code: "unavailable" });
  });
});

describe("a device that", () => {
  const PARTS = {
    ...{
      network: "regtest" as const,
      apps: readLedgerApps(),
      allowNewer: false,
      fingerprint: null,
    },
  } as const;
  const OK = [0x90, 0x00];
  const APP = [1, 12, ...Buffer.from("Bitcoin Test"), 5, ...Buffer.from("2.4.6"), 1, 0];

  /** Answers what is checked first as an honest one does, and all else as it likes. */
  function device(answer: (apdu: Uint8Array) => Promise<Uint8Array>, answerMsMax = 60_000) {
    const transport: Transport = {
      exchange: async (apdu) => {
        if (apdu[0] === 0xb0) return Uint8Array.from([...APP, ...OK]);
        if (apdu[1] === 0x05) return Uint8Array.from([1, 2, 3, 4, ...OK]);
        return await answer(apdu);
      },
      close: async () => undefined,
    };
    return openLedgerDevice({ ...PARTS, answerMsMax, connect: async () => transport });
  }
  const signing = (opened: ReturnType<typeof device>) =>
    opened.use(({ client }) => client.signMessage(Buffer.from("a line"), "m/0"));
  const YIELD = Uint8Array.from([0x10, 0xe0, 0x00]);

  it("asks for ever is not answered for ever", async () => {
    const fault = await faultOf(signing(device(async () => YIELD)));
    expect(fault).toMatchObject({ fault: "protocol" });
    expect(fault.message).toContain("questions");
  });

  it("asks slowly for ever is waited for no longer than a person would be", async () => {
    const slowly = device(async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      return YIELD;
    }, 40);
    expect(await faultOf(signing(slowly))).toMatchObject({ fault: "unanswered" });
  });

  it.each([
    [258, true],
    [259, false],
  ])("answers with %i bytes is heard: %s", async (length, heard) => {
    const answer = new Uint8Array(length);
    answer.set(OK, length - 2);
    const signed = signing(device(async () => answer));
    if (heard) expect(Buffer.from(await signed, "base64")).toHaveLength(256);
    else expect(await faultOf(signed)).toMatchObject({ fault: "protocol" });
  });

  it("calls its app by a name that moves the cursor is quoted without it", async () => {
    const name = "\u001b[2J\nBitcoin";
    const bytes = [1, name.length, ...Buffer.from(name), 5, ...Buffer.from("2.4.6"), 1, 0];
    const transport: Transport = {
      exchange: async () => Uint8Array.from([...bytes, ...OK]),
      close: async () => undefined,
    };
    const opened = openLedgerDevice({ ...PARTS, connect: async () => transport });
    const fault = await faultOf(opened.use(async () => undefined));
    expect(fault).toMatchObject({ fault: "wrong-app" });
    expect(fault.message).toMatch(/^[\x20-\x7e]+$/);
  });

  it("tells junk for a key is a device that is not understood", async () => {
    const junk = device(async () => Uint8Array.from([...Buffer.from("\u001b[2Jtpub"), ...OK]));
    const fault = await faultOf(junk.use(({ accountKey }) => accountKey(0)));
    expect(fault).toMatchObject({ fault: "protocol" });
    expect(fault.message).toMatch(/^[\x20-\x7e]+$/);
  });
});
