/** What a process says to the disk shim that it runs under; see disk-shim.c. */
import { openSync } from "node:fs";

/** Gives the shim a new plan and lets it count anew; throws where there is no shim. */
export function planDisk(plan: string): void {
  if (!shimSays(plan)) throw new Error("this process has no disk shim");
}

/** Whether the planned call has come. */
export function diskWasHit(): boolean {
  return shimSays("hit");
}

function shimSays(word: string): boolean {
  try {
    openSync(`/ballast-disk/${word}`, "r");
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EEXIST";
  }
}
