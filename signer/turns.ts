/** Turns: so many work at once, so many wait for theirs, and the next is told to come again. */

export interface Turns {
  /** Runs the work in its turn; null when too many wait already. */
  readonly take: <Value>(work: () => Promise<Value>) => Promise<Value> | null;
}

export function openTurns(options: { readonly atOnce: number; readonly waiting: number }): Turns {
  const queue: (() => void)[] = [];
  let working = 0;

  async function run<Value>(work: () => Promise<Value>): Promise<Value> {
    // A turn that ends is handed on, so the count stays while somebody waits.
    if (working === options.atOnce) await new Promise<void>((resolve) => queue.push(resolve));
    else working += 1;
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next === undefined) working -= 1;
      else next();
    }
  }

  return {
    take: (work) =>
      working === options.atOnce && queue.length >= options.waiting ? null : run(work),
  };
}
