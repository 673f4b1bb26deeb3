/**
 * Where the next page of a list begins, as a text that says nothing to who carries it. It gives no
 * right: each list is limited to what its caller may see, wherever a page begins.
 */
import { base64urlnopad } from "@scure/base";
import { z } from "zod";

/** The last row of the page before: lists are in the order of a number, and of ids where it is one. */
export interface Place {
  /** A time, a height, or a sequence. */
  readonly at: bigint;
  readonly id: string;
}

/** More rows than a page may have are asked for in pages. */
const PAGE_MAX = 200;
const PAGE_USUAL = 50;
const CURSOR_CHARACTERS_MAX = 300;

const placeSchema = z.tuple([
  z.string().regex(/^[a-z]{1,20}$/),
  z.string().regex(/^[0-9]{1,18}$/),
  z
    .string()
    .max(100)
    .regex(/^[\x21-\x7e]*$/),
]);

/** `?limit=&cursor=` of the list of this name; a cursor of another list is none. */
export function pageQuery(list: string) {
  return z.strictObject({
    limit: z
      .string()
      .regex(/^[0-9]{1,3}$/, "must be a whole number")
      .default(String(PAGE_USUAL))
      .transform(Number)
      .refine((limit) => limit >= 1 && limit <= PAGE_MAX, {
        message: `must lie between 1 and ${PAGE_MAX}`,
      }),
    cursor: z
      .string()
      .max(CURSOR_CHARACTERS_MAX)
      .optional()
      .transform((text, context): Place | null => {
        if (text === undefined) return null;
        const place = placeOf(list, text);
        if (place !== null) return place;
        context.addIssue({ code: "custom", message: "is no cursor that this list has given" });
        return z.NEVER;
      }),
  });
}

/** Null at the end of the list: there were no more rows than fit the page. */
function cursorAfter(list: string, place: Place | null): string | null {
  if (place === null) return null;
  const text = JSON.stringify([list, String(place.at), place.id]);
  return base64urlnopad.encode(new TextEncoder().encode(text));
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  /** For the page after; null at the end. */
  readonly next: string | null;
}

/** Of rows asked for with one more than the page has, which tells whether there is another page. */
export function pageOf<Row>(
  list: string,
  { rows, limit }: { readonly rows: readonly Row[]; readonly limit: number },
  place: (row: Row) => Place,
): Page<Row> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { rows: shown, next: cursorAfter(list, more ? place(last) : null) };
}

function placeOf(list: string, text: string): Place | null {
  let value: unknown;
  try {
    value = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(base64urlnopad.decode(text)),
    );
  } catch {
    return null;
  }
  const parsed = placeSchema.safeParse(value);
  if (!parsed.success || parsed.data[0] !== list) return null;
  const [, at, id] = parsed.data;
  return { at: BigInt(at), id };
}
