/** What a person is asked on the screen, page by page, and what they can do about it. */

/** A title and the text under it; long texts take several screens. */
export interface Page {
  readonly title: string;
  readonly text: string;
}

export type ReviewKind = "register" | "address" | "xpub" | "message" | "transaction" | "warning";

export interface Review {
  readonly kind: ReviewKind;
  readonly pages: readonly Page[];
  /** The two last pages. */
  readonly approve: string;
  readonly reject: string;
  /** What is shown when it is done; a warning leads straight to the next review. */
  readonly approved: string | null;
  readonly rejected: string;
}

/** `never`: nobody presses a button, the exchange stays open. `unplug`: the cable is pulled. */
export const ANSWERS = ["approve", "reject", "never", "unplug"] as const;
export type Answer = (typeof ANSWERS)[number];

/** Shows one screen: its title's line and the lines of text under it. */
export type Show = (lines: readonly string[]) => void;

/** Whoever holds the device. A person who is a plain function is shown every page before. */
export type Person = (review: Review, show: Show) => Answer | Promise<Answer>;

/** A person who reads every page and then does what `decide` says. */
export function reader(decide: (review: Review) => Answer | Promise<Answer>): Person {
  return async (review, show) => {
    for (const screen of screensOf(review)) show(screen);
    const answer = await decide(review);
    // The page that rejects comes after the one that approves.
    if (answer === "approve" || answer === "reject") show([review.approve]);
    if (answer === "reject") show([review.reject]);
    return answer;
  };
}

/** The screens of a Nano: three lines of text under a title; where it takes more, "(1/2)". */
export function screensOf({ pages }: Review): string[][] {
  return pages.flatMap(({ title, text }) => {
    const lines = linesOf(text);
    const count = Math.max(1, Math.ceil(lines.length / LINES));
    return Array.from({ length: count }, (_, i) => [
      count === 1 ? title : `${title} (${i + 1}/${count})`,
      ...lines.slice(LINES * i, LINES * (i + 1)),
    ]);
  });
}

const LINES = 3;
/** A Nano's letters differ in width; about so many stand in a line. */
const COLUMNS = 18;

/** Breaks at newlines and after spaces where it can; joined together the lines are the text. */
function linesOf(text: string): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    for (let rest = paragraph; rest !== ""; ) {
      const space = rest.length > COLUMNS ? rest.lastIndexOf(" ", COLUMNS - 1) : -1;
      const end = space >= 0 ? space + 1 : COLUMNS;
      lines.push(rest.slice(0, end));
      rest = rest.slice(end);
    }
  }
  return lines;
}
