/** What the notices of a vault come to: which mandate holds, which recovery is open. */
import type { Mandate, Notice } from "./notice.ts";

/** A notice as a signer keeps it, in the order in which it was heard. */
export interface HeardNotice {
  readonly notice: Notice;
  /** The signer's height when it was heard. */
  readonly height: number;
}

export interface Standing {
  /** The mandate of the highest number, unless it was revoked; it may have expired. */
  readonly mandate: { readonly mandate: Mandate; readonly height: number } | null;
  /** Keys that may sign operations. */
  readonly delegates: readonly {
    readonly key: string;
    readonly sats: bigint;
    readonly until: number;
  }[];
  /** The user's Lightning node. */
  readonly node: string | null;
  /** Announced recoveries that nobody has stopped, with the height since which the delay runs. */
  readonly recoveries: readonly Recovery[];
}

export interface Recovery {
  readonly way: "lsp-gone" | "user-lost";
  /** Where the coins of a lost user go. */
  readonly to: string | null;
  readonly height: number;
}

/** The standing of one vault by its notices, oldest first. */
export function standingOf(heard: readonly HeardNotice[]): Standing {
  return {
    mandate: mandateOf(heard),
    delegates: heard.flatMap(({ notice }) =>
      notice.kind === "delegate" && newest(heard, "delegate") === notice.no
        ? [{ key: notice.key, sats: notice.sats, until: notice.until }]
        : [],
    ),
    node:
      heard.flatMap(({ notice }) =>
        notice.kind === "node" && newest(heard, "node") === notice.no ? [notice.node] : [],
      )[0] ?? null,
    recoveries: heard.flatMap((entry) => recoveryOf(entry, heard)),
  };
}

function mandateOf(heard: readonly HeardNotice[]): Standing["mandate"] {
  const highest = newest(heard, "mandate");
  // Of two texts under one number the first counts: the user has signed twice what is one.
  const found = heard.find(({ notice }) => notice.kind === "mandate" && notice.no === highest);
  if (found === undefined || found.notice.kind !== "mandate") return null;
  return newest(heard, "revoke") >= highest
    ? null
    : { mandate: found.notice, height: found.height };
}

function newest(heard: readonly HeardNotice[], kind: Notice["kind"]): number {
  return heard.reduce(
    (most, { notice }) => (notice.kind === kind ? Math.max(most, notice.no) : most),
    -1,
  );
}

function recoveryOf(
  { notice, height }: HeardNotice,
  heard: readonly HeardNotice[],
): readonly Recovery[] {
  switch (notice.kind) {
    case "lsp-gone":
      // The same key announces and stops: a stop takes back what has its number or a lower one.
      return newest(heard, "stop") >= notice.no ? [] : [{ way: "lsp-gone", to: null, height }];
    case "user-lost": {
      // Any word of the old key shows that the user is not lost.
      const spoke = heard.some(
        (other) => other.notice.kind !== "user-lost" && other.height >= height,
      );
      return spoke ? [] : [{ way: "user-lost", to: notice.to, height }];
    }
    default:
      return [];
  }
}
