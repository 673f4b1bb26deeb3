/**
 * The decision log as a file that travels: JSON lines, format `ballast/audit@1`. The first line says
 * the format, each further one is a record or a signed head.
 */
import { z } from "zod";
import type { AuditHead, AuditLine, AuditLog } from "./audit.ts";

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const first = z.strictObject({ format: z.literal("ballast/audit@1") });
const line = z.union([
  z.strictObject({ sequence: z.int().positive(), record: z.string().max(10_000), link: hash }),
  z.strictObject({
    head: z.strictObject({
      sequence: z.int().nonnegative(),
      link: hash,
      key: z.string().regex(/^(?:[0-9a-f]{64}|0[23][0-9a-f]{64})$/),
      signature: z.string().regex(/^[0-9a-f]{128}$/),
    }),
  }),
]);

export class AuditFileError extends Error {
  override readonly name = "AuditFileError";
}

export function writeAuditFile({ lines, heads }: AuditLog): string {
  const all = [{ format: "ballast/audit@1" }, ...lines, ...heads.map((head) => ({ head }))];
  return `${all.map((item) => JSON.stringify(item)).join("\n")}\n`;
}

/** Reads the file; throws an AuditFileError with the line that is none of its format. */
export function readAuditFile(text: string): AuditLog {
  const rows = text.split("\n");
  if (rows.at(-1) === "") rows.pop();
  const lines: AuditLine[] = [];
  const heads: AuditHead[] = [];
  for (const [i, row] of rows.entries()) {
    const value = parsed(row);
    if (i === 0) {
      if (first.safeParse(value).success) continue;
      throw new AuditFileError('line 1 is not {"format":"ballast/audit@1"}');
    }
    const item = line.safeParse(value);
    if (!item.success) throw new AuditFileError(`line ${i + 1} is no record and no head`);
    if ("head" in item.data) heads.push(item.data.head);
    else lines.push(item.data);
  }
  if (rows.length === 0) throw new AuditFileError("the file is empty");
  return { lines, heads };
}

function parsed(row: string): unknown {
  try {
    return JSON.parse(row);
  } catch {
    return null;
  }
}
