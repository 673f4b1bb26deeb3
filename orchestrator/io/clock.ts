/** Time is an argument: who needs it is given a clock. */

/** Milliseconds since 1970. */
export type Clock = () => bigint;

export const systemClock: Clock = () => BigInt(Date.now());
