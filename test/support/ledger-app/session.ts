/** A command under way: each question to the client ends one answer, each reply starts the next. */
import type { Ask } from "./client.ts";
import { answer, answerError, STATUS, StatusError } from "./status.ts";

export interface Session {
  /** What the command answers first: a question, or its result. */
  readonly first: Promise<Uint8Array>;
  /** Whether it waits for the client's reply. */
  isWaiting(): boolean;
  /** Hands over the reply; the promise is of the next answer. */
  proceed(reply: Uint8Array): Promise<Uint8Array>;
  /** Breaks the exchange that is open, if one is. */
  fail(error: Error): void;
}

interface Turn {
  readonly answered: Promise<Uint8Array>;
  readonly deliver: (answer: Uint8Array) => void;
  readonly fail: (error: unknown) => void;
}

export function openSession(command: (ask: Ask) => Promise<Uint8Array>): Session {
  let turn = newTurn();
  let resume: ((reply: Uint8Array) => void) | null = null;
  const { answered } = turn;
  const ask: Ask = (question) =>
    new Promise((resolve) => {
      resume = resolve;
      turn.deliver(answer(question, STATUS.interrupted));
    });
  command(ask).then(
    (result) => turn.deliver(answer(result, STATUS.ok)),
    (error: unknown) =>
      error instanceof StatusError ? turn.deliver(answerError(error)) : turn.fail(error),
  );
  return {
    first: answered,
    isWaiting: () => resume !== null,
    proceed: (reply) => {
      turn = newTurn();
      const waiting = resume;
      resume = null;
      waiting?.(reply);
      return turn.answered;
    },
    fail: (error) => turn.fail(error),
  };
}

function newTurn(): Turn {
  let deliver: Turn["deliver"] = () => {};
  let fail: Turn["fail"] = () => {};
  const answered = new Promise<Uint8Array>((resolve, reject) => {
    deliver = resolve;
    fail = reject;
  });
  return { answered, deliver, fail };
}
