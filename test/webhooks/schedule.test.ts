/** When an attempt is repeated: each answer, each bound on both sides, the delays to the millisecond. */
import { describe, expect, it } from "vitest";
import { openMinutes } from "../../orchestrator/webhooks/rate.ts";
import {
  type Answer,
  backOffMs,
  isPassing,
  nextOf,
  type Tried,
} from "../../orchestrator/webhooks/schedule.ts";
import { bodySignature, signatureHeaders } from "../../orchestrator/webhooks/signature.ts";
import { describeVectors } from "../support/vectors.ts";

const least = () => 0;
const most = (bound: number) => bound;
const answered = (status: number, restMs: bigint | null = null): Answer => ({
  ...{ kind: "answered", status, restMs },
});

const DELAYS_MS = [
  ...[500n, 1_000n, 2_000n, 4_000n, 8_000n, 16_000n, 32_000n, 64_000n, 128_000n, 256_000n],
  ...[512_000n, 1_024_000n, 2_048_000n, 3_600_000n, 3_600_000n],
];

describe("delays", () => {
  it("double from half a second to an hour, and up to a quarter more by chance", () => {
    const attempts = DELAYS_MS.map((_, i) => i + 1);
    expect(attempts.map((n) => backOffMs(n, least))).toEqual(DELAYS_MS);
    expect(attempts.map((n) => backOffMs(n, most))).toEqual(
      DELAYS_MS.map((delay) => delay + delay / 4n),
    );
    expect(backOffMs(1_000, least)).toBe(3_600_000n);
  });
});

describe("an answer", () => {
  const patience = { attemptsMax: 3, totalMs: 10_000n };
  const next = (tried: Partial<Tried>) =>
    nextOf({ answer: answered(500), attempts: 1, sinceMs: 0n, ...tried }, patience, least);

  it.each([
    ...[200, 201, 204, 299].map((status) => [status, "delivered"] as const),
    ...[408, 429, 500, 502, 503, 599].map((status) => [status, "retry"] as const),
    ...[100, 199, 300, 301, 302, 307, 308, 304].map((status) => [status, "dead"] as const),
    ...[400, 401, 403, 404, 407, 409, 410, 428, 430, 499].map((code) => [code, "dead"] as const),
  ])("HTTP %i: %s", (status, kind) => {
    expect(next({ answer: answered(status) }).kind).toBe(kind);
    expect(isPassing(answered(status))).toBe(kind === "retry");
  });

  it("that does not come is waited for, and what was not sent is not", () => {
    expect(next({ answer: { kind: "unreachable", reason: "" } }).kind).toBe("retry");
    expect(next({ answer: { kind: "forbidden", reason: "" } }).kind).toBe("dead");
  });

  it("to the last attempt, or beyond the time for all, is the last", () => {
    expect(next({ attempts: 2 })).toEqual({ kind: "retry", afterMs: 1_000n });
    expect(next({ attempts: 3 })).toEqual({ kind: "dead" });
    expect(next({ sinceMs: 9_500n }).kind).toBe("retry");
    expect(next({ sinceMs: 9_501n }).kind).toBe("dead");
    expect(next({ attempts: 3, answer: answered(200) }).kind).toBe("delivered");
  });

  it.each([
    [0n, 500n],
    [499n, 500n],
    [501n, 501n],
    [3_600_000n, 3_600_000n],
    [86_400_000n, 3_600_000n],
  ])("that asks for a rest of %i ms gets %i", (asked, afterMs) => {
    const tried = { answer: answered(503, asked), attempts: 1, sinceMs: 0n };
    const long = { attemptsMax: 3, totalMs: 10_000_000n };
    expect(nextOf(tried, long, least)).toEqual({ kind: "retry", afterMs });
  });
});

describe("minutes", () => {
  it("hold so many and no more, whichever minute is looked at", () => {
    const minutes = openMinutes(3);
    const taken = [0n, 59_999n, 59_999n, 59_999n, 60_000n, 60_000n, 119_998n, 119_999n];
    expect(taken.map((now) => minutes.take("a", now))).toEqual([
      ...[true, true, true, false, true, false, false, true],
    ]);
    expect(minutes.take("b", 0n)).toBe(true);
  });
});

describeVectors("Pulser's vector", "seeds.json", (text) => {
  const rows = JSON.parse(text) as {
    readonly case: string;
    readonly input: { readonly secret: string; readonly body: string };
    readonly expected: string;
  }[];
  it("has the signature that it says", () => {
    const row = rows.find((vector) => vector.case === "webhook_signature");
    expect(bodySignature(row?.input.secret ?? "", row?.input.body ?? "")).toBe(row?.expected);
  });
});

describe("the second signature", () => {
  const signed = { body: '{"a":1}', event: "evt-1", at: 1_800_000_000n };
  const second = (bend: Partial<typeof signed>, secret = "s") =>
    signatureHeaders(secret, { ...signed, ...bend })["x-webhook-signature-2"];

  it("binds body, event, time and secret, and is never the first", () => {
    const all = [
      second({}),
      second({ body: '{"a":2}' }),
      second({ event: "evt-2" }),
      second({ at: 1_800_000_001n }),
      second({}, "t"),
      signatureHeaders("s", signed)["x-webhook-signature"],
    ];
    expect(new Set(all).size).toBe(all.length);
  });
});
