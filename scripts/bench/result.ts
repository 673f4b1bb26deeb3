/** What a bench hands back, and how a person reads it. */

export interface Bench {
  readonly name: string;
  /** One sentence: what is measured, beside what. */
  readonly says: string;
  readonly run: (options: BenchOptions) => Promise<BenchResult>;
}

export interface BenchOptions {
  /** Measured rounds; null takes the bench's own number. */
  readonly rounds: number | null;
  /** One line on where the bench is; goes to stderr. */
  readonly progress: (line: string) => void;
}

export interface BenchResult {
  readonly rows: readonly Row[];
  readonly aims: readonly Aim[];
}

/** One line of a table; rows of one table have the same columns. Times are in milliseconds. */
export interface Row {
  readonly table: string;
  readonly [column: string]: string | number;
}

/** A figure that the project wants to reach. One that is missed is shown, and fails nothing. */
export interface Aim {
  readonly what: string;
  readonly value: number;
  /** Such as "< 1" or "<= 10". */
  readonly aim: string;
  readonly met: boolean;
}

/** The bench did not measure what it says: its figures would be worth nothing. */
export class BenchError extends Error {
  override readonly name = "BenchError";
  readonly code = "measured-wrong";
}

/** Throws a BenchError with these words unless the condition holds. */
export function measured(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new BenchError(otherwise);
}

export function aimBelow(what: string, value: number, limit: number): Aim {
  return { what, value: rounded(value), aim: `< ${limit}`, met: value < limit };
}

export function aimAtMost(what: string, value: number, limit: number): Aim {
  return { what, value: rounded(value), aim: `<= ${limit}`, met: value <= limit };
}

/** Three significant digits at least, and no digit that the clock did not measure. */
export function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value * 10) / 10 : Number(value.toPrecision(3));
}

/** The tables and the aims as text, a table after the other. */
export function resultText({ rows, aims }: BenchResult): string {
  const tables = [...new Set(rows.map(({ table }) => table))];
  const blocks = tables.map((name) => {
    const members = rows.filter(({ table }) => table === name);
    const columns = Object.keys(members[0] ?? {}).filter((column) => column !== "table");
    return [
      name,
      ...aligned([columns, ...members.map((row) => columns.map((column) => `${row[column]}`))]),
    ].join("\n");
  });
  const judged = aims.map(({ what, value, aim, met }) => [
    met ? "met" : "MISSED",
    what,
    `${value}`,
    aim,
  ]);
  return [...blocks, ["aims", ...aligned(judged)].join("\n")].join("\n\n");
}

/** Numbers to the right, words to the left. */
function aligned(lines: readonly (readonly string[])[]): readonly string[] {
  const widths = (lines[0] ?? []).map((_, i) =>
    Math.max(...lines.map((line) => (line[i] ?? "").length)),
  );
  const numeric = widths.map((_, i) =>
    lines.slice(1).every((line) => /^[-0-9.]+$/.test(line[i] ?? "")),
  );
  return lines.map((line) => {
    const cells = line.map((cell, i) => {
      const width = widths[i] ?? 0;
      return numeric[i] ? cell.padStart(width) : cell.padEnd(width);
    });
    return `  ${cells.join("  ")}`.trimEnd();
  });
}
