/** A strict reader of OpenMetrics' text: what the format forbids is an error that names the line. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

/** Endings of a family's samples, by its type. */
const ENDINGS: Readonly<Record<string, readonly string[]>> = {
  counter: ["_total", "_created"],
  gauge: [""],
  histogram: ["_bucket", "_count", "_sum", "_created"],
};

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABELS = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy;

export function parseOpenMetrics(text: string): readonly Family[] {
  if (!text.endsWith("# EOF\n")) throw new Error("does not end with # EOF");
  const families = new Map<string, Open>();
  const seen = new Set<string>();
  let current = "";
  for (const line of text.split("\n").slice(0, -2)) {
    const [, keyword, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (keyword === undefined) {
      addSample(line, { name: current, seen, ...families.get(current) });
      continue;
    }
    if (name !== current && families.has(name)) throw new Error(`family twice: ${line}`);
    const family = families.get(name) ?? { type: "", samples: [] };
    families.set(name, keyword === "TYPE" ? { ...family, type: rest } : family);
    current = name;
  }
  return [...families].map(([name, family]) => ({ name, ...family }));
}

interface Open {
  readonly type: string;
  readonly samples: Sample[];
}

interface Under extends Partial<Open> {
  readonly name: string;
  readonly seen: Set<string>;
}

function addSample(line: string, { name, seen, type = "", samples }: Under): void {
  const sample = sampleOf(line);
  const endings = ENDINGS[type] ?? [];
  if (!endings.some((ending) => sample.name === name + ending)) {
    throw new Error(`sample of no family: ${line}`);
  }
  const series = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
  if (seen.has(series)) throw new Error(`series twice: ${line}`);
  seen.add(series);
  samples?.push(sample);
}

function sampleOf(line: string): Sample {
  const [, name, labelText = "", valueText = ""] = SAMPLE.exec(line) ?? [];
  const value = valueText === "+Inf" ? Number.POSITIVE_INFINITY : Number(valueText);
  if (name === undefined || Number.isNaN(value)) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  let end = 0;
  for (const { 0: all, 1: label = "", 2: said = "", index } of labelText.matchAll(LABELS)) {
    labels[label] = said;
    end = index + all.length;
  }
  if (end !== labelText.length) throw new Error(`no labels: ${line}`);
  return { name, labels, value };
}
