/** What a signer hears: by whom it is said, from which height it counts, and that it stays. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { type NoticeKind, writeNotice } from "../../policies/evidence/notice.ts";
import { openCurvePool } from "../../signer/curve.ts";
import { exportJournal, importJournal } from "../../signer/interchange.ts";
import type { Words } from "../../signer/signer.ts";
import { mandate, userSecret, wordOf } from "../support/proofs.ts";
import { openRoom, type RoomOptions, type SignerRoom } from "../support/signer-room.ts";
import { HEIGHT, NOW, OTHER_VAULT, USER_VAULT } from "../support/spend.ts";

const USER = USER_VAULT.vault.id;
const curve = openCurvePool(1);
const open: SignerRoom[] = [];
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-notices-"));
});
afterEach(async () => {
  for (const room of open.splice(0)) await room.close();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => curve.close());

async function room(options: Partial<RoomOptions> = {}): Promise<SignerRoom> {
  const opened = await openRoom({ folder, curve, ...options });
  open.push(opened);
  return opened;
}

function words(kind: NoticeKind, fields: Readonly<Record<string, string | number>> = {}): Words {
  const text = writeNotice(kind, "regtest", { vault: USER, no: 1, ...fields });
  return { text, signature: wordOf(text, userSecret(USER_VAULT)) };
}

function heard({ journal }: SignerRoom): readonly { text: string; height: bigint }[] {
  return journal.database
    .prepare<[], { text: string; height: bigint }>(
      "SELECT text, height FROM notices ORDER BY heard",
    )
    .all();
}

describe("a notice", () => {
  it("is kept with the height at which it was heard, and said again keeps it", async () => {
    const at = await room();
    const said = words("lsp-gone");
    const outcome = { kind: "heard", notice: "lsp-gone", height: HEIGHT };
    expect(await at.signer.tell(said)).toEqual(outcome);
    at.chain.height = HEIGHT + 50;
    expect(await at.signer.tell(said)).toEqual(outcome);
    expect(heard(at)).toEqual([{ text: said.text, height: BigInt(HEIGHT) }]);
    expect(at.log.map(({ event }) => event)).toContain("ALARM recovery announced");
  });

  it("survives a restart", async () => {
    await (await room()).signer.tell(words("stop"));
    await open.pop()?.close();
    expect(heard(await room())).toHaveLength(1);
  });

  it.each([
    ["of another network", { text: words("stop").text.replace("regtest", "signet") }],
    ["of no registered vault", { text: words("stop").text.replace(USER, "00".repeat(20)) }],
    ["that is no notice", { text: "Ballast resume 1 regtest role=lsp" }],
    ["signed by somebody else", { signature: wordOf(words("stop").text, userSecret(OTHER_VAULT)) }],
    ["signed over another number", { signature: words("stop", { no: 2 }).signature }],
    ["without a signature", { signature: "" }],
    ["with a signature that is no hex", { signature: "zz".repeat(64) }],
  ])("%s is refused and not kept", async (_, bend) => {
    const at = await room();
    const outcome = await at.signer.tell({ ...words("stop"), ...bend });
    expect(outcome.kind).toBe("refused");
    expect(heard(at)).toEqual([]);
  });

  it("of a recovery names a vault that is registered, and is signed by its key", async () => {
    const at = await room();
    const text = writeNotice("user-lost", "regtest", {
      vault: USER,
      no: 1,
      to: OTHER_VAULT.vault.id,
    });
    const by = (vault: typeof USER_VAULT) => ({ text, signature: wordOf(text, userSecret(vault)) });
    expect((await at.signer.tell(by(OTHER_VAULT))).kind).toBe("refused");
    const other = {
      ...at.vaults,
      byId: (id: string) => (id === USER ? USER_VAULT.vault : OTHER_VAULT.vault),
    };
    const { openNotices } = await import("../../signer/notices.ts");
    const { journal, chain } = at;
    const log = () => undefined;
    const notices = openNotices({
      journal,
      chain,
      network: "regtest",
      vaults: other,
      now: () => NOW,
      log,
    });
    expect((await notices.tell(by(USER_VAULT))).kind).toBe("refused");
    expect((await notices.tell(by(OTHER_VAULT))).kind).toBe("heard");
  });
});

describe("a node that is away or behind", () => {
  it("starts no delay, and stops none of the words that take back", async () => {
    const at = await room();
    at.chain.gone = true;
    expect((await at.signer.tell(words("lsp-gone"))).kind).toBe("held");
    expect((await at.signer.tell(words("stop"))).kind).toBe("heard");
    expect((await at.signer.tell(words("revoke"))).kind).toBe("heard");
    at.chain.gone = false;
    expect((await at.signer.tell(words("lsp-gone"))).kind).toBe("heard");
  });

  it("is behind from six hours and a millisecond on", async () => {
    const at = await room();
    at.clock.now = at.chain.medianTime * 1000 + 6 * 3_600_000 + 1;
    expect((await at.signer.tell(words("lsp-gone"))).kind).toBe("held");
    at.clock.now -= 1;
    expect((await at.signer.tell(words("lsp-gone"))).kind).toBe("heard");
  });

  it("never counts from a lower height than the signer has seen", async () => {
    const at = await room();
    await at.signer.tell(words("lsp-gone"));
    at.chain.height = HEIGHT - 500;
    expect(await at.signer.tell(words("lsp-gone", { no: 2 }))).toMatchObject({ height: HEIGHT });
  });
});

describe("a memory", () => {
  it("is not filled by one user: after a thousand only what takes back is heard", async () => {
    const at = await room();
    const insert = at.journal.database.prepare(
      "INSERT INTO notices (vault, text, signature, height, at) VALUES (?, ?, '', 1, 1)",
    );
    for (let no = 2; no <= 1_001; no += 1) insert.run(USER, words("stop", { no }).text);
    expect((await at.signer.tell(words("lsp-gone", { no: 5_000 }))).kind).toBe("refused");
    expect((await at.signer.tell(words("stop", { no: 5_000 }))).kind).toBe("heard");
  });

  it("travels, and what both have heard keeps the height of who takes it in", async () => {
    const [one, two] = [await room(), await room({ folder: mkdtempSync(join(folder, "two-")) })];
    await one.signer.tell(words("stop"));
    two.chain.height = HEIGHT + 9;
    await two.signer.tell(words("stop"));
    await two.signer.tell(words("revoke"));
    expect(importJournal(one.journal.database, exportJournal(two.journal.database))).toMatchObject({
      notices: 1,
    });
    expect(heard(one).map(({ height }) => Number(height))).toEqual([HEIGHT, HEIGHT + 9]);
  });
});

it("a mandate that was told is what the law finds in the history", async () => {
  const at = await room();
  const { text: read, ...rest } = mandate(USER_VAULT);
  expect([read.kind, rest.height]).toEqual(["mandate", HEIGHT - 100]);
  const { kind: _, network: __, ...fields } = read as Extract<typeof read, { kind: "mandate" }>;
  const text = writeNotice("mandate", "regtest", {
    ...fields,
    may: fields.may.join(","),
    recovery: fields.recovery ?? "none",
  });
  const told = { text, signature: wordOf(text, userSecret(USER_VAULT)) };
  expect(await at.signer.tell(told)).toMatchObject({ kind: "heard", notice: "mandate" });
  expect(heard(at)).toHaveLength(1);
});
