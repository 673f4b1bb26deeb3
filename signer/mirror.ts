/**
 * The journal's high-water mark in a second place, best on another disk: how many decisions there
 * are, and the link of the last. It is written after each claim and before the key is asked, so a
 * journal restored from an older copy is behind it, and the signer does not start (invariant 6,
 * attacks.md 106). A journal that is one claim ahead has crashed between the two writes.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { GENESIS } from "./audit.ts";

export interface HighWater {
  /** Decisions in the journal. */
  readonly sequence: number;
  /** Link of the last of them. */
  readonly link: string;
}

export class MirrorError extends Error {
  override readonly name = "MirrorError";
}

const schema = z.strictObject({
  format: z.literal("ballast/high-water@1"),
  sequence: z.int().nonnegative(),
  link: z.string().regex(/^[0-9a-f]{64}$/),
});

/** Part of provisioning; throws when there is one already. */
export function createMirror(file: string): void {
  closeSync(openSync(file, "wx", 0o600));
  writeMirror(file, { sequence: 0, link: GENESIS });
}

export function readMirror(file: string): HighWater {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const detail = `the journal's mirror ${file} cannot be read; without it nobody can tell whether the journal is an older copy`;
    throw new MirrorError(detail, { cause: error });
  }
  try {
    const { sequence, link } = schema.parse(JSON.parse(text));
    return { sequence, link };
  } catch (error) {
    throw new MirrorError(`${file} is no mirror of a journal`, { cause: error });
  }
}

/** Replaces the mark durably: after a crash there is the old one or the new one, whole. */
export function writeMirror(file: string, { sequence, link }: HighWater): void {
  const next = `${file}.next`;
  const handle = openSync(next, "w", 0o600);
  try {
    const text = JSON.stringify({ format: "ballast/high-water@1", sequence, link });
    if (writeSync(handle, text) !== text.length) throw new MirrorError(`${next}: the disk is full`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(next, file);
  const folder = openSync(dirname(file), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
