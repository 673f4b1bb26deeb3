/** The check of a rule that refuses one kind of lie. */
import type { Lie } from "../lies.ts";
import { no, type Rule } from "./rule.ts";

export function lies(about: Lie["about"]): Rule["check"] {
  const found = (what: string, items: readonly { readonly lies: readonly Lie[] }[]) =>
    items.flatMap((item, i) =>
      item.lies
        .filter((lie) => lie.about === about)
        .flatMap(({ detail }) => no(`${what} ${i}: ${detail}`)),
    );
  return ({ facts }) => [...found("input", facts.inputs), ...found("output", facts.outputs)];
}
