/**
 * What a power cut leaves of a folder. SIGKILL keeps all that was written; a power cut keeps what was
 * synced, and of the rest what the disk happened to do. From the recorded calls of one life the
 * folder is made as it may be found after each of them.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DiskCall } from "./disk-shim.ts";

/** Contents by path below the folder. */
export type Image = ReadonlyMap<string, Buffer>;

/** Whether a change that was not synced is found nevertheless. */
export type Survives = () => boolean;

interface Inode {
  /** What is safe. */
  durable: Buffer;
  /** Changes since then, in their order. */
  pending: DiskCall[];
}

interface Entry {
  readonly folder: string;
  readonly apply: (names: Map<string, Inode>) => void;
}

/** A disk under way: names as processes see them, names that are safe, and what lies between. */
interface Disk {
  readonly names: Map<string, Inode>;
  readonly safe: Map<string, Inode>;
  entries: Entry[];
}

/** The folder after the first `count` calls and a power cut. */
export function imageAfter(
  born: Image,
  calls: readonly DiskCall[],
  count: number,
  survives: Survives,
): Image {
  const names = new Map<string, Inode>();
  for (const [path, durable] of born) names.set(path, { durable, pending: [] });
  const disk: Disk = { names, safe: new Map(names), entries: [] };
  for (const call of calls.slice(0, count)) apply(disk, call);
  for (const entry of disk.entries) if (survives()) entry.apply(disk.safe);
  return new Map(
    [...disk.safe].map(([path, { durable, pending }]) => [
      path,
      pending.filter(() => survives()).reduce(changed, durable),
    ]),
  );
}

function apply(disk: Disk, call: DiskCall): void {
  if (call.kind === "say") return;
  const inode = disk.names.get(call.path);
  if (call.kind === "sync") sync(disk, call.path, inode);
  else if (inode !== undefined && ["write", "cut", "empty"].includes(call.kind)) {
    inode.pending.push(call);
  } else {
    const entry = entryOf(call, inode ?? { durable: EMPTY, pending: [] });
    entry.apply(disk.names);
    disk.entries.push(entry);
  }
}

/** What is no file is a folder: its names are safe then. */
function sync(disk: Disk, path: string, inode: Inode | undefined): void {
  if (inode !== undefined) {
    inode.durable = inode.pending.reduce(changed, inode.durable);
    inode.pending = [];
    return;
  }
  for (const entry of disk.entries.filter(({ folder }) => folder === path)) entry.apply(disk.safe);
  disk.entries = disk.entries.filter(({ folder }) => folder !== path);
}

const EMPTY = Buffer.alloc(0);

function entryOf({ kind, path, data }: DiskCall, inode: Inode): Entry {
  return {
    folder: dirname(path),
    apply: (names) => {
      if (kind === "rename") names.set(data.toString(), inode);
      if (kind === "rename" || kind === "unlink") names.delete(path);
      else names.set(path, inode);
    },
  };
}

function changed(content: Buffer, { kind, at, data }: DiskCall): Buffer {
  if (kind === "empty") return EMPTY;
  if (kind === "cut") return Buffer.concat([content.subarray(0, at)], at);
  if (kind !== "write") return content;
  const next = Buffer.alloc(Math.max(content.length, at + data.length));
  content.copy(next);
  data.copy(next, at);
  return next;
}

export function readImage(folder: string): Image {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return new Map(
    files
      .filter((file) => file.isFile())
      .map((file) => {
        const path = join(file.parentPath, file.name);
        return [path.slice(folder.length + 1), readFileSync(path)];
      }),
  );
}

export function writeImage(folder: string, image: Image): void {
  for (const [path, content] of image) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
}
