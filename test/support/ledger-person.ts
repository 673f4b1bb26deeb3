/**
 * A person at a device that is reached over HTTP, Speculos or the emulator of `ledger-app/`: reads
 * every page of a review, compares, and goes to approve or reject by the two buttons of a Nano.
 */
import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";

/** A title and all of the text under it, however many screens it took. */
export interface ShownPage {
  readonly title: string;
  readonly text: string;
}

export interface ShownReview {
  readonly pages: readonly ShownPage[];
  /** The screen on which the person decides, for example "Sign transaction". */
  readonly approve: string;
}

export interface PersonAtDevice {
  /** Every review that was answered so far. */
  readonly reviews: readonly ShownReview[];
  /** The person goes away. @throws what went wrong while they were there. */
  leave(): Promise<void>;
}

/** Screens on which both buttons approve (app 2.4.6). */
const APPROVE =
  /^(Register account|Approve public key|Confirm|Sign message|Sign transaction|Continue anyway)$/;
const REJECT = /^(Reject .*|Cancel|Back to safety)$/;
/** What a screen begins with when nothing is asked. */
const IDLE =
  /^(Bitcoin.*|Loading .*|Signing .*|Processing.*|.* (signed|registered|rejected|verified|approved|cancelled)|.* \| (approved|rejected))$/;

/** Between two looks at the screen; a screen that stood still between two is read. */
const LOOK_MS = 15;
/** A review with more screens than this is not read to its end. */
const SCREENS_MAX = 400;
/** A button that changes nothing for so long did not reach the device. */
const TURN_MAX_MS = 5_000;

const eventsSchema = z.object({ events: z.array(z.object({ text: z.string() })) });

export function personAt(
  url: string,
  decide: (review: ShownReview) => "approve" | "reject",
): PersonAtDevice {
  const reviews: ShownReview[] = [];
  const gone = new AbortController();
  const watching = watch({ url, decide, reviews, gone: gone.signal }).then(
    () => null,
    (error: unknown) => error,
  );
  return {
    reviews,
    leave: async () => {
      gone.abort();
      const error = await watching;
      if (error !== null) throw error;
    },
  };
}

interface Watch {
  readonly url: string;
  readonly decide: (review: ShownReview) => "approve" | "reject";
  readonly reviews: ShownReview[];
  readonly gone: AbortSignal;
}

async function watch({ url, decide, reviews, gone }: Watch): Promise<void> {
  while (!gone.aborted) {
    const screen = await stillScreen(url);
    if (isIdle(screen)) {
      await pause(LOOK_MS);
      continue;
    }
    const review = await readReview(url, screen);
    reviews.push(review);
    await answer(url, decide(review) === "approve" ? APPROVE : REJECT);
  }
}

/** Turns pages from the first to the one that approves. */
async function readReview(url: string, first: readonly string[]): Promise<ShownReview> {
  const pages: ShownPage[] = [];
  let screen = first;
  for (let i = 0; i < SCREENS_MAX; i++) {
    if (APPROVE.test(screen.join(" | "))) return { pages, approve: screen.join(" | ") };
    addScreen(pages, screen);
    screen = await turned(url, screen);
  }
  throw new Error("the review does not end");
}

/** A text over several screens has "(2/3)" in its title. */
function addScreen(pages: ShownPage[], [heading = "", ...lines]: readonly string[]): void {
  const [, title = heading, part = "1"] = /^(.*) \((\d+)\/\d+\)$/.exec(heading) ?? [];
  const text = lines.join("");
  const before = pages.at(-1);
  if (part === "1" || before === undefined) pages.push({ title, text });
  else pages.splice(-1, 1, { title, text: before.text + text });
}

async function answer(url: string, wanted: RegExp): Promise<void> {
  let screen = await stillScreen(url);
  for (let i = 0; !wanted.test(screen.join(" | ")); i++) {
    if (i >= SCREENS_MAX) throw new Error("the review has no such page");
    screen = await turned(url, screen);
  }
  await press(url, "both");
  await changed(url, screen);
}

async function turned(url: string, from: readonly string[]): Promise<readonly string[]> {
  await press(url, "right");
  return changed(url, from);
}

async function changed(url: string, from: readonly string[]): Promise<readonly string[]> {
  for (let waited = 0; waited < TURN_MAX_MS; waited += LOOK_MS) {
    const screen = await stillScreen(url);
    if (screen.join("\n") !== from.join("\n")) return screen;
  }
  throw new Error(`the screen stays at: ${from.join(" | ")}`);
}

/** The lines on the screen once two looks saw the same. */
async function stillScreen(url: string): Promise<readonly string[]> {
  let before = await look(url);
  for (;;) {
    await pause(LOOK_MS);
    const now = await look(url);
    if (now.join("\n") === before.join("\n")) return now;
    before = now;
  }
}

async function look(url: string): Promise<string[]> {
  const response = await fetch(`${url}/events?currentscreenonly=true`);
  return eventsSchema.parse(await response.json()).events.map(({ text }) => text);
}

async function press(url: string, button: "left" | "right" | "both"): Promise<void> {
  const response = await fetch(`${url}/button/${button}`, {
    method: "POST",
    body: JSON.stringify({ action: "press-and-release" }),
  });
  if (!response.ok) throw new Error(`button ${button}: ${response.status}`);
}

function isIdle(screen: readonly string[]): boolean {
  return screen.length === 0 || IDLE.test(screen.join(" | "));
}
