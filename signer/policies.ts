/** The table of policies in the journal's file: this file alone writes it. See law.ts. */
import type Database from "better-sqlite3";
import { type Policy, readPolicy } from "../policies/document/policy.ts";
import type { Moment } from "./journal.ts";
import { JournalError } from "./journal-file.ts";

export interface HeldPolicy {
  readonly policy: Policy;
  /** As it was written: what the hash is about. */
  readonly document: unknown;
  /** In force since; of an announced one, when its delay began, and null before it did. */
  readonly since: Moment | null;
}

export interface Standing {
  /** Null before the first start. */
  readonly inForce: HeldPolicy | null;
  readonly announced: HeldPolicy | null;
  /** The newest that is or was in force, here or in a journal whose memory was imported. */
  readonly newest: Pick<Policy, "version" | "hash"> | null;
}

/** A policy as a journal's document carries it: one that is or was in force. */
export interface KnownPolicy extends HeldPolicy {
  readonly standing: "in force" | "past";
}

export interface Policies {
  readonly standing: () => Standing;
  /** Puts a policy in force; what was in force is past, what was announced is gone. */
  readonly enact: (policy: Policy, document: unknown, since: Moment) => void;
  /** Announces a policy; its delay has not begun. */
  readonly announce: (policy: Policy, document: unknown) => void;
  /** Lets the delay of the announced policy begin. */
  readonly count: (since: Moment) => void;
  readonly withdraw: () => void;
  /** All but the announced one, the oldest first. */
  readonly known: () => readonly KnownPolicy[];
  /** Takes note of a policy that was in force elsewhere: nothing older may be configured now. */
  readonly remember: (known: HeldPolicy) => void;
}

export function openPolicies(db: Database.Database): Policies {
  const select = db.prepare<[string], Row>("SELECT * FROM policies WHERE standing = ?");
  const insert = db.prepare("INSERT INTO policies VALUES (?, ?, ?, ?, ?, ?)");
  const retire = db.prepare("UPDATE policies SET standing = 'past' WHERE standing = 'in force'");
  const withdraw = db.prepare("DELETE FROM policies WHERE standing = 'announced'");
  // An import may have taken note of it before it came into force here.
  const replace = db.prepare("DELETE FROM policies WHERE hash = ?");
  const count = db.prepare("UPDATE policies SET at = ?, height = ? WHERE standing = 'announced'");

  const newest = db.prepare<[], { version: bigint; hash: string }>(
    "SELECT version, hash FROM policies WHERE standing <> 'announced' ORDER BY version DESC LIMIT 1",
  );
  const known = db.prepare<[], Row & { standing: KnownPolicy["standing"] }>(
    "SELECT * FROM policies WHERE standing <> 'announced' ORDER BY version",
  );

  const held = (standing: string): HeldPolicy | null => {
    const row = select.get(standing);
    return row === undefined ? null : read(row);
  };
  const enact = db.transaction((policy: Policy, document: unknown, since: Moment) => {
    retire.run();
    withdraw.run();
    replace.run(policy.hash);
    const text = JSON.stringify(document);
    insert.run(policy.hash, policy.version, text, "in force", since.clock, since.height);
  });
  return {
    standing: () => {
      const row = newest.get();
      return {
        inForce: held("in force"),
        announced: held("announced"),
        newest: row === undefined ? null : { version: Number(row.version), hash: row.hash },
      };
    },
    enact: (policy, document, since) => enact(policy, document, since),
    announce: ({ hash, version }, document) => {
      insert.run(hash, version, JSON.stringify(document), "announced", null, null);
    },
    count: ({ clock, height }) => {
      count.run(clock, height);
    },
    withdraw: () => {
      withdraw.run();
    },
    known: () => known.all().map((row) => ({ ...read(row), standing: row.standing })),
    remember: ({ policy: { hash, version }, document, since }) => {
      const text = JSON.stringify(document);
      insert.run(hash, version, text, "past", since?.clock ?? null, since?.height ?? null);
    },
  };
}

interface Row {
  readonly hash: string;
  readonly document: string;
  readonly at: bigint | null;
  readonly height: bigint | null;
}

function read({ hash, document: text, at, height }: Row): HeldPolicy {
  const document: unknown = JSON.parse(text);
  const policy = readPolicy(document);
  if (policy.hash !== hash) {
    throw new JournalError("damaged", `the journal's policy ${hash} has other content`);
  }
  const since =
    at === null || height === null ? null : { clock: Number(at), height: Number(height) };
  return { policy, document, since };
}
