/**
 * Idempotency-Key: the same request again gets the same answer, byte for byte, for a day. Answers lie
 * sealed under the token that asked, so that a secret in one is not readable at rest. Between what was
 * done and what was kept a crash may come: then the request is done again, which all of ours bear.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";
import type { NextFunction, Request, Response } from "express";
import { canonical } from "../../policies/document/policy.ts";
import { sendProblem } from "../api/problem.ts";
import type { Clock } from "../io/clock.ts";
import type { Db, Row, Store } from "../io/store.ts";
import { type Answer, beforeAnswer } from "./answer.ts";
import { callerOf } from "./caller.ts";
import { logOf } from "./request-id.ts";
import type { Caller } from "./tokens.ts";

const KEY = /^[A-Za-z0-9_-]{1,64}$/;
const KEPT_MS = 86_400_000n;
/** Old answers go once in so many requests. */
const PRUNE_EVERY = 1_000;

interface AnswerParts {
  readonly store: Store;
  readonly clock: Clock;
}

interface Asked {
  readonly caller: Caller;
  readonly key: string;
  readonly fingerprint: string;
}

/** For what changes something, behind the checks of who asks. */
export function answeredOnce({ store, clock }: AnswerParts) {
  /** Requests that this process works on. */
  const working = new Map<string, Promise<void>>();
  let asked = 0;

  async function prune(now: bigint): Promise<void> {
    asked += 1;
    if (asked % PRUNE_EVERY !== 1) return;
    await store.db
      .deleteFrom("answers")
      .where("at", "<", now - KEPT_MS)
      .execute();
  }

  /** The row as it stands, once nobody here works on it. */
  async function settledRow(request: Asked): Promise<Row<"answers">> {
    const name = nameOf(request);
    for (;;) {
      const row = await claim(store.db, request, clock());
      const underWay = working.get(name);
      // Of two that wait for the same, one goes on: the other finds it at work.
      if (underWay === undefined || row.status !== null || row.fingerprint !== request.fingerprint)
        return row;
      await underWay;
    }
  }

  return async (request: Request, response: Response, next: NextFunction): Promise<void> => {
    const key = request.get("idempotency-key");
    if (key === undefined) return next();
    if (!KEY.test(key)) {
      const detail = "Idempotency-Key has 1 to 64 of A-Z a-z 0-9 _ -";
      return sendProblem(response, { code: "bad-request", detail });
    }
    await prune(clock());
    const mine = { caller: callerOf(response), key, fingerprint: fingerprintOf(request) };
    const row = await settledRow(mine);
    if (row.fingerprint !== mine.fingerprint) {
      const detail = "this Idempotency-Key stands for another request: give each its own";
      return sendProblem(response, { code: "idempotency-conflict", detail });
    }
    const known = opened(row, mine.caller);
    if (known !== null) {
      response.set("Idempotent-Replayed", "true").status(known.status).type(known.type);
      response.send(known.text);
      return;
    }
    const name = nameOf(mine);
    // Until it is answered, and not only until a caller hangs up: it may come again meanwhile.
    let done: () => void = () => undefined;
    working.set(
      name,
      new Promise((resolve) => {
        done = resolve;
      }),
    );
    beforeAnswer(
      response,
      (answer) =>
        keep(store.db, mine, answer).finally(() => {
          working.delete(name);
          done();
        }),
      (error) => logOf(response).error({ reason: String(error) }, "answer not kept"),
    );
    next();
  };
}

/** Inserts the request, or finds it; one that is older than a day is a new one. */
async function claim(db: Db, { caller, key, fingerprint }: Asked, now: bigint) {
  const empty = { fingerprint, at: now, status: null, type: null, sealed: null };
  await db
    .insertInto("answers")
    .values({ token: caller.id, key, ...empty })
    .onConflict((conflict) =>
      conflict
        .columns(["token", "key"])
        .doUpdateSet(empty)
        .where("answers.at", "<", now - KEPT_MS),
    )
    .execute();
  return await db
    .selectFrom("answers")
    .selectAll()
    .where("token", "=", caller.id)
    .where("key", "=", key)
    .executeTakeFirstOrThrow();
}

/** A fault is no answer: whoever asks again is to have another try. */
const FAULT = 500;

async function keep(db: Db, { caller, key }: Asked, { status, type, text }: Answer): Promise<void> {
  if (status >= FAULT) return;
  await db
    .updateTable("answers")
    .set({ status: BigInt(status), type, sealed: sealed(text, caller, key) })
    .where("token", "=", caller.id)
    .where("key", "=", key)
    .where("status", "is", null)
    .execute();
}

/** Over what the body decodes to: other blanks or another order of keys are the same request. */
function fingerprintOf({ method, originalUrl, body }: Request): string {
  const asked = [method, originalUrl, canonical(body ?? null)].join("\n");
  return createHash("sha256").update(asked).digest("hex");
}

const nameOf = ({ caller, key }: Asked) => `${caller.id} ${key}`;

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A key of its own for each answer; the token has 256 random bits, so a hash is a key. */
function keyFor(caller: Caller, key: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", caller.secret, key, "ballast/answer@1", 32));
}

function sealed(text: string, caller: Caller, key: string): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", keyFor(caller, key), nonce);
  const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

/** Null where nothing was answered yet, or under a token that was replaced since. */
function opened(
  { status, type, sealed: bytes, key }: Row<"answers">,
  caller: Caller,
): Answer | null {
  if (status === null || type === null || bytes === null) return null;
  const all = Buffer.from(bytes);
  const cipher = createDecipheriv(
    "aes-256-gcm",
    keyFor(caller, key),
    all.subarray(0, NONCE_BYTES),
    { authTagLength: TAG_BYTES },
  );
  cipher.setAuthTag(all.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  const body = all.subarray(NONCE_BYTES + TAG_BYTES);
  try {
    const text = Buffer.concat([cipher.update(body), cipher.final()]).toString("utf8");
    return { status: Number(status), type, text };
  } catch {
    return null;
  }
}
