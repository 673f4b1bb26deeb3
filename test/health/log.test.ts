/** The log of requests full of secrets is searched for them; what is taken out, and what stays. */
import { describe, expect, it } from "vitest";
import { openLog } from "../../orchestrator/log.ts";
import { openDoors } from "../orchestrator/door-stage.ts";
import { OPERATOR_TOKEN } from "../orchestrator/stage.ts";

function openPaper(secrets: readonly string[] = []) {
  const lines: string[] = [];
  const to = { write: (line: string) => void lines.push(line) };
  return { log: openLog({ level: "debug", secrets, to }), lines };
}

const PSBT = `cHNidP8BAH${"A".repeat(80)}+/==`;
const HEX_PSBT = `70736274ff0100${"ab".repeat(40)}`;
const XPRV = `tprv8ZgxMBicQKsPd${"m".repeat(90)}`;
const TOKEN = `ballast-operator-${"0f".repeat(32)}`;

describe("a line of the log", () => {
  it.each([
    ["a bearer", `Bearer ${OPERATOR_TOKEN}`, OPERATOR_TOKEN],
    ["a token of ours", `it was ${TOKEN}.`, TOKEN],
    ["a webhook's secret", `ballast-webhook-${"ab".repeat(32)}`, "abab"],
    ["a PSBT", `read ${PSBT}`, PSBT.slice(4, 40)],
    ["a PSBT in hex", `read ${HEX_PSBT}`, "abab"],
    ["a private key", `key ${XPRV}`, XPRV.slice(5, 40)],
    ["a URL with a password", "https://user:hunter2@example.com/", "hunter2"],
  ])("holds no %s, wherever it stands", (_, text, secret) => {
    const { log, lines } = openPaper();
    log.info({ reason: text, deep: [{ in: text }] }, "event");
    log.warn({}, text);
    log.child({ request: text }).error({}, "event");
    expect(lines).toHaveLength(3);
    expect(lines.join("")).not.toContain(secret);
    for (const line of lines) expect(JSON.parse(line).level).toBeGreaterThan(0);
  });

  it("holds no value of a field that is named as a secret is, nor bytes", () => {
    const { log, lines } = openPaper();
    const fields = {
      ...{
        secret: "one",
        psbt: "two",
        deep: { Authorization: "three", list: [{ password: "four" }] },
      },
      ...{ token_hash: "five", raw: new Uint8Array([102, 105]), mnemonic: ["six"] },
    };
    log.info(fields, "event");
    expect(lines[0]).not.toMatch(/one|two|three|four|five|six|102/);
  });

  it("holds none of the texts that it was told of", () => {
    const { log, lines } = openPaper([OPERATOR_TOKEN]);
    log.info({ reason: `they said ${OPERATOR_TOKEN}` }, "event");
    expect(lines[0]).not.toContain(OPERATOR_TOKEN);
    expect(lines[0]).toContain("they said [hidden]");
  });

  it("keeps what a person needs: ids, hashes, amounts, the names of tokens", () => {
    const { log, lines } = openPaper();
    const fields = { intent: "ab".repeat(32), sats: "1000", token: "ops", n: 1n, none: null };
    log.info(fields, "event");
    const { intent, sats, token, n, none, msg } = JSON.parse(lines[0] ?? "");
    expect({ intent, sats, token, n: BigInt(n), none }).toEqual(fields);
    expect(msg).toBe("event");
  });
});

describe("the log of the API", () => {
  it("has each request's id, and no secret that went through it", async () => {
    const { log, lines } = openPaper();
    const doors = await openDoors({ log });
    const machine = await doors.tokenOf("machine", "quiet");
    const added = await doors.ask("POST /v1/webhooks", { body: { url: "https://example.com/" } });
    const { id, secret } = added.body;
    const renewed = await doors.ask(`POST /v1/webhooks/${id}/secret`);
    await doors.ask("GET /v1/webhooks", { token: "ballast-operator-not-one-of-ours" });
    await doors.ask(`POST /v1/intents/${"00".repeat(32)}/psbt`, { body: { psbt: PSBT } });
    await doors.ask("POST /v1/withdrawals", { body: `{"psbt": "${PSBT}"` });
    const headers = { "x-request-id": "mine-1" };
    const named = await doors.ask("GET /v1/status", { token: machine, headers });
    await doors.ask("GET /v1/status", { headers: { "x-request-id": `${PSBT}` } });
    await doors.ask("GET /nowhere/ballast-operator-0123456789abcdef0123");
    await doors.close();
    const text = lines.join("");
    expect(secret).toMatch(/^ballast-webhook-[0-9a-f]{64}$/);
    for (const hidden of [
      ...[secret, renewed.body.secret, machine, OPERATOR_TOKEN, PSBT.slice(0, 30)],
      ...["not-one-of-ours", "0123456789abcdef0123"],
    ]) {
      expect(text).not.toContain(hidden);
    }
    expect(named.headers.get("x-request-id")).toBe("mine-1");
    expect(text).toContain('"request":"mine-1"');
    const answers = lines.map((line) => JSON.parse(line)).filter(({ msg }) => /answered/.test(msg));
    expect(answers.length).toBeGreaterThan(8);
    expect(answers.every(({ request }) => typeof request === "string")).toBe(true);
  });
});
