/**
 * One suite for a signer in this process and for the same signer behind its server: whoever asks
 * cannot tell the difference, but by the class of a fault.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { readAccountKey } from "../../policies/bitcoin/account-key.ts";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { ruleIds } from "../../policies/decide.ts";
import type { IntentDocument } from "../../policies/intent.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { KeyError } from "../../signer/key-error.ts";
import { openRemoteSigner } from "../../signer/service/remote.ts";
import type { Hears, Registers, Signer } from "../../signer/signer.ts";
import { userSecret, wordOf } from "../support/proofs.ts";
import {
  faultOf,
  openRoom,
  type RoomOptions,
  registrationOf,
  requestOf,
  type SignerRoom,
  signedBytes,
} from "../support/signer-room.ts";
import { honest, USER_VAULT } from "../support/spend.ts";
import { serveRoom, tlsOf } from "../support/tls-door.ts";

interface Opened {
  readonly signer: Signer & Registers & Hears;
  readonly close: () => Promise<void>;
}

const WAYS: Readonly<Record<string, (room: SignerRoom) => Promise<Opened>>> = {
  "in this process": async ({ signer }) => ({ signer, close: async () => undefined }),
  "behind its server": async (room) => {
    const server = await serveRoom(room);
    const remote = await openRemoteSigner({ url: server.url, tls: tlsOf("orchestrator") });
    const close = async () => {
      remote.close();
      await server.close();
    };
    return { signer: remote, close };
  },
};

const curve = openCurvePool(2);
let folder = "";
const closing: (() => Promise<void>)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-signer-"));
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => curve.close());

describe.each(Object.entries(WAYS))("a signer %s", (_, way) => {
  async function open(options: Partial<RoomOptions> = {}) {
    const room = await openRoom({ folder, curve, ...options });
    const { signer, close } = await way(room);
    closing.push(room.close, close);
    return { room, signer };
  }

  it("says who it is", async () => {
    const { signer } = await open();
    expect([signer.name, signer.role]).toEqual(["lsp under test", "lsp"]);
  });

  it("signs what its law allows, and names the rules that it asked", async () => {
    const spend = honest({ coins: 3 });
    const { room, signer } = await open();
    room.chain.show(spend);
    const outcome = await signer.sign(requestOf(spend));
    if (outcome.kind !== "signed") throw new Error(outcome.kind);
    expect(outcome.rules).toEqual(ruleIds);
    expect(outcome.psbt).toBeInstanceOf(Uint8Array);
    const [asked, got] = [readPsbt(spend.bytes), readPsbt(outcome.psbt)];
    expect(got.tx).toEqual(asked.tx);
    expect(got.inputs.map((map) => map.length)).toEqual(asked.inputs.map((map) => map.length + 1));
  });

  it("hears what a user says, and says why it does not", async () => {
    const { signer } = await open();
    const text = `Ballast stop 1 regtest vault=${USER_VAULT.vault.id} no=1`;
    const words = { text, signature: wordOf(text, userSecret(USER_VAULT)) };
    expect(await signer.tell(words)).toMatchObject({ kind: "heard", notice: "stop" });
    const forged = { text: text.replace("no=1", "no=2"), signature: words.signature };
    expect(await signer.tell(forged)).toMatchObject({ kind: "refused" });
  });

  it("takes the evidence that a purpose asks for, and names what is wrong with its form", async () => {
    const spend = honest();
    const { room, signer } = await open();
    room.chain.show(spend);
    const evidence = { format: "ballast/evidence@1" } as const;
    expect((await signer.sign({ ...requestOf(spend), evidence })).kind).toBe("signed");
    const bent = { ...evidence, votes: [{}] } as unknown as typeof evidence;
    const fault = await faultOf(signer.sign({ ...requestOf(spend), evidence: bent }));
    expect(fault.message).toMatch(/votes\.0\.guardian/);
  });

  it("repeats an answer byte for byte", async () => {
    const spend = honest();
    const { room, signer } = await open();
    room.chain.show(spend);
    const bytes = signedBytes(await signer.sign(requestOf(spend)));
    expect(signedBytes(await signer.sign(requestOf(spend)))).toEqual(bytes);
    const local = await room.signer.sign(requestOf(spend));
    expect(hex(signedBytes(local))).toBe(hex(bytes));
  });

  it("refuses with every violation, in the words of its law", async () => {
    const spend = honest({ signed: [], feeSats: 200_000n });
    const { room, signer } = await open();
    room.chain.show(spend);
    const outcome = await signer.sign(requestOf(spend));
    expect(outcome).toEqual(await room.signer.sign(requestOf(spend)));
    expect(outcome.kind).toBe("refused");
    if (outcome.kind === "signed") return;
    expect(outcome.violations.map(({ rule }) => rule)).toEqual([
      "user-signs-first",
      "fee-absolute",
      "fee-rate",
    ]);
    for (const { detail } of outcome.violations) expect(detail).toMatch(/\w+ \w+/);
    expect(room.key.signed()).toBe(0);
  });

  it("holds what may pass later, and says when to come back", async () => {
    const spend = honest();
    const { room, signer } = await open();
    const outcome = await signer.sign(requestOf(spend));
    expect(outcome).toMatchObject({
      kind: "held",
      violations: [{ rule: "coins-confirmed", retry: expect.stringContaining("node") }],
    });
    room.chain.show(spend);
    expect((await signer.sign(requestOf(spend))).kind).toBe("signed");
  });

  describe("faults at bad input, claims nothing and asks no key:", () => {
    const good = requestOf(honest());
    const bent = (change: object) => ({ ...good.intent, ...change }) as IntentDocument;
    const table: readonly [string, { intent?: IntentDocument; psbt?: Uint8Array }, string][] = [
      ["no bytes", { psbt: new Uint8Array(0) }, "psbt-magic"],
      ["junk", { psbt: new Uint8Array(500).fill(7) }, "psbt-magic"],
      ["a cut PSBT", { psbt: good.psbt.slice(0, -5) }, "psbt-truncated"],
      ["bytes behind the PSBT", { psbt: fromHex(`${hex(good.psbt)}00`) }, "psbt-trailing"],
      ["a PSBT over the limit", { psbt: new Uint8Array(256 * 1024 + 1) }, "psbt-oversized"],
      [
        "an address of another network",
        {
          intent: bent({
            outputs: [{ address: "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", sats: 1 }],
          }),
        },
        "intent",
      ],
      ["an unknown purpose", { intent: bent({ purpose: "gift" }) }, "intent"],
      ["a field too many", { intent: bent({ more: 1 }) }, "intent"],
      ["a negative amount", { intent: bent({ outputs: [{ address: "x", sats: -1 }] }) }, "intent"],
      ["no outputs", { intent: bent({ outputs: [] }) }, "intent"],
    ];
    it.each(table)("%s", async (_name, bad, code) => {
      const { room, signer } = await open();
      const before = room.journal.counts();
      const fault = await faultOf(signer.sign({ ...good, ...bad }));
      expect(codeOf(fault)).toBe(code);
      expect(room.journal.counts()).toEqual(before);
      expect(room.key.signed()).toBe(0);
    });
  });

  it.each([
    ["passing", true],
    ["final", false],
  ])("hands on a key's fault as %s", async (_name, passing) => {
    const spend = honest();
    const { room, signer } = await open({
      bend: (parts) => ({
        ...parts,
        key: {
          ...parts.key,
          sign: () => Promise.reject(new KeyError("unavailable", "unplugged", { passing })),
        },
      }),
    });
    room.chain.show(spend);
    expect(await faultOf(signer.sign(requestOf(spend)))).toMatchObject({
      code: expect.stringMatching(/^(key-)?unavailable$/),
      passing,
      message: "unplugged",
    });
  });

  it("makes account keys, and registers vaults", async () => {
    const { room, signer } = await open({ vaults: [] });
    const text = await signer.accountKey("vault");
    expect(readAccountKey(text, "regtest").text).toBe(text);
    expect(USER_VAULT.vault.document.policy.keys).toContain(text);
    const outcome = await signer.registerVault(registrationOf(USER_VAULT));
    expect(outcome).toMatchObject({ kind: "registered", vault: USER_VAULT.vault.id });
    expect(room.vaults.count()).toBe(1);
    const { vault } = registrationOf(USER_VAULT);
    const named = { ...vault, policy: { ...vault.policy, name: "Another name" } };
    expect(await signer.registerVault({ vault: named, proofs: {} })).toMatchObject({
      kind: "refused",
    });
  });
});

/** What a person reads in a log: the guard's faults have a code each, an IntentError its name. */
function codeOf(fault: Error): unknown {
  if (fault.name === "IntentError") return "intent";
  const code = "code" in fault ? fault.code : undefined;
  // The server's schema meets a malformed intent before the guard does.
  return code === "body" ? "intent" : code;
}
