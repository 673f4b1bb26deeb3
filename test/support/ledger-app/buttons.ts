/** A person with two buttons, as on a Nano: left and right turn pages, both together decide. */
import { type Answer, type Person, type Show, screensOf } from "./review.ts";

export type Button = "left" | "right" | "both";

export interface Buttons {
  readonly person: Person;
  /** Does nothing while nothing is asked. */
  press(button: Button): void;
}

interface Open {
  readonly screens: readonly (readonly string[])[];
  readonly show: Show;
  readonly decide: (answer: Answer) => void;
  at: number;
}

export function openButtons(): Buttons {
  let open: Open | null = null;
  return {
    person: (review, show) =>
      new Promise((decide) => {
        const screens = [...screensOf(review), [review.approve], [review.reject]];
        open = { screens, show, decide, at: 0 };
        turn(open, 0);
      }),
    press: (button) => {
      if (open === null) return;
      const last = open.screens.length - 1;
      if (button === "right") turn(open, Math.min(open.at + 1, last));
      if (button === "left") turn(open, Math.max(open.at - 1, 0));
      if (button === "both" && open.at >= last - 1) {
        const { decide } = open;
        const answer = open.at === last ? "reject" : "approve";
        open = null;
        decide(answer);
      }
    },
  };
}

function turn(open: Open, at: number): void {
  open.at = at;
  open.show(open.screens[at] ?? []);
}
