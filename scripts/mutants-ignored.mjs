/**
 * What `npm run mutants` leaves alone: the numbers of the attack catalogue beside each rule. They are
 * words for people; nothing is judged by them.
 */
export const strykerPlugins = [
  {
    kind: "Ignore",
    name: "answers",
    value: {
      shouldIgnore: (path) =>
        path.isObjectProperty() && path.node.key.name === "answers"
          ? "words for people"
          : undefined,
    },
  },
];
