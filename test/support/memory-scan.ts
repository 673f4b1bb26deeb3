/** Another process's memory, searched for bytes (Linux). */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

export interface MemoryScan {
  /** How much could be read. */
  readonly bytes: number;
  /** Copies of each needle, by its name. */
  readonly copies: Readonly<Record<string, number>>;
}

const CHUNK_BYTES = 4 << 20;

/** Why this process may not read the other's memory, or null where it may. */
export function memoryHidden(pid: number): string | null {
  try {
    closeSync(openSync(`/proc/${pid}/mem`, "r"));
    return null;
  } catch (cause) {
    return `/proc/PID/mem: ${cause instanceof Error ? cause.message : "unreadable"}`;
  }
}

/** Searches every readable mapping. Mappings of devices answer with errors and are passed over. */
export function scanMemory(pid: number, needles: Readonly<Record<string, Uint8Array>>): MemoryScan {
  const copies = Object.fromEntries(Object.keys(needles).map((name) => [name, 0]));
  const overlap = Math.max(...Object.values(needles).map(({ length }) => length)) - 1;
  const buffer = Buffer.alloc(CHUNK_BYTES + overlap);
  const memory = openSync(`/proc/${pid}/mem`, "r");
  let bytes = 0;
  try {
    for (const { from, to } of readable(pid)) {
      // What stands before a chunk is kept, so that a needle across its edge is found, and once.
      let kept = 0;
      for (let at = from; at < to; ) {
        const wanted = Math.min(CHUNK_BYTES, to - at);
        const got = read(memory, buffer.subarray(kept, kept + wanted), at);
        if (got === 0) break;
        count(buffer.subarray(0, kept + got), needles, kept, copies);
        const keep = Math.min(overlap, kept + got);
        buffer.copyWithin(0, kept + got - keep, kept + got);
        kept = keep;
        at += got;
        bytes += got;
      }
    }
  } finally {
    closeSync(memory);
  }
  return { bytes, copies };
}

interface Mapping {
  readonly from: number;
  readonly to: number;
}

/** User addresses lie below 2^47, where a double is exact. */
function readable(pid: number): readonly Mapping[] {
  return readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .map((line) => /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+\s*(.*)$/.exec(line))
    .filter((match) => match !== null && !match[3]?.startsWith("[v"))
    .map((match) => ({
      from: Number.parseInt(match?.[1] ?? "0", 16),
      to: Number.parseInt(match?.[2] ?? "0", 16),
    }));
}

function read(memory: number, into: Buffer, at: number): number {
  try {
    return readSync(memory, into, 0, into.length, at);
  } catch {
    return 0;
  }
}

/** Counts the needles that end beyond the first `kept` bytes: the others were counted before. */
function count(
  chunk: Buffer,
  needles: Readonly<Record<string, Uint8Array>>,
  kept: number,
  copies: Record<string, number>,
): void {
  for (const [name, needle] of Object.entries(needles)) {
    let at = chunk.indexOf(needle);
    while (at >= 0) {
      if (at + needle.length > kept) copies[name] = (copies[name] ?? 0) + 1;
      at = chunk.indexOf(needle, at + 1);
    }
  }
}
