/** Small files that must be whole or absent after a power cut: key blobs, PINs, the PIN latch. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

/** Ends of names that are leftovers of an interrupted write and mean nothing. */
const TEMPORARY_SUFFIX = ".tmp";

/**
 * Writes the whole file, readable by its owner alone, and returns when it is on the disk.
 * "create" never replaces: it answers "exists", also where two processes race, because losing a
 * sealed key to an overwrite would lose the vault's co-signature for good.
 */
export function writeDurably(
  path: string,
  text: string,
  how: "create" | "replace",
): "written" | "exists" {
  const temporary = `${path}.${randomBytes(6).toString("hex")}${TEMPORARY_SUFFIX}`;
  try {
    const file = openSync(temporary, "wx", 0o600);
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    // A hard link fails where the name is taken; a rename would replace it silently.
    if (how === "create") linkSync(temporary, path);
    else renameSync(temporary, path);
  } catch (error) {
    if (how === "create" && error instanceof Error && "code" in error && error.code === "EEXIST") {
      return "exists";
    }
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  syncFolder(dirname(path));
  return "written";
}

/** Removes the file and returns when its absence is on the disk. */
export function removeDurably(path: string): void {
  rmSync(path, { force: true });
  syncFolder(dirname(path));
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
