/** The account keys' files of one signer, one a label. The file is the truth, never a cache. */
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  formatKeyFile,
  KEY_FILE_BYTES_MAX,
  type KeyFile,
  parseKeyFile,
} from "../custody/key-file.ts";
import { writeDurably } from "./durable-file.ts";
import { TokenError } from "./token-error.ts";

/** A file of the folder with what it holds. */
export interface FolderFile {
  readonly path: string;
  readonly key: KeyFile;
  /** Changes when the file does, so that its content is read again. */
  readonly version: string;
  /** Whether the token has signed with this very content. */
  readonly proven: { done: boolean };
}

const SUFFIX = ".key.json";

export interface KeyFolder {
  all(): readonly FolderFile[];
  /** Files that claim to be this account's, and the paths of damaged ones. */
  search(account: string): {
    readonly claiming: readonly FolderFile[];
    readonly damaged: readonly string[];
  };
  byLabel(label: string): FolderFile | null;
  /** The token has signed with this very content. */
  proved(file: FolderFile): void;
  provenOf(account: string): FolderFile | null;
  /** Never replaces a file. */
  write(key: KeyFile): "written" | "exists";
}

/** The folder: one file an account, named by its label. The file is the truth, never a cache. */
export function openKeyFolder(folder: string): KeyFolder {
  const read = new Map<string, FolderFile>();
  /** Account to label, of files that the token has proven. */
  const labelOf = new Map<string, string>();

  function load(label: string): FolderFile | null {
    const path = join(folder, `${label}${SUFFIX}`);
    const version = fileVersion(path);
    if (version === null) {
      read.delete(label);
      return null;
    }
    const known = read.get(label);
    if (known?.version === version) return known;
    const key = readKeyFile(path);
    if (key === null || key.label !== label) throw damagedFile(path);
    const file = { path, key, version, proven: { done: false } };
    read.set(label, file);
    return file;
  }

  function labels(): readonly string[] {
    return listFolder(folder)
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .sort();
  }

  function all(): readonly FolderFile[] {
    return labels()
      .map(load)
      .filter((file) => file !== null);
  }

  /** Damaged neighbours do not keep an account from signing; they are named if it is missing. */
  function search(account: string) {
    const claiming: FolderFile[] = [];
    const damaged: string[] = [];
    for (const label of labels()) {
      try {
        const file = load(label);
        if (file?.key.publicKey === account) claiming.push(file);
      } catch (error) {
        if (!(error instanceof TokenError) || error.code !== "key-file-damaged") throw error;
        damaged.push(join(folder, `${label}${SUFFIX}`));
      }
    }
    return { claiming, damaged };
  }

  return {
    all,
    search,
    byLabel: load,
    proved(file: FolderFile): void {
      file.proven.done = true;
      labelOf.set(file.key.publicKey, file.key.label);
    },
    provenOf(account: string): FolderFile | null {
      const label = labelOf.get(account);
      const file = label === undefined ? null : load(label);
      return file?.key.publicKey === account && file.proven.done ? file : null;
    },
    write(key: KeyFile): "written" | "exists" {
      const path = join(folder, `${key.label}${SUFFIX}`);
      return inFolder(folder, () => writeDurably(path, formatKeyFile(key), "create"));
    },
  };
}

function fileVersion(path: string): string | null {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? null : `${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
}

function readKeyFile(path: string): KeyFile | null {
  return inFolder(path, () => {
    if (statSync(path).size > KEY_FILE_BYTES_MAX) return null;
    return parseKeyFile(readFileSync(path, "utf8"));
  });
}

function listFolder(folder: string): readonly string[] {
  return inFolder(folder, () => readdirSync(folder));
}

/** The folder of the account keys, closed to everybody else. */
export function ownFolder(folder: string): void {
  inFolder(folder, () => mkdirSync(folder, { recursive: true, mode: 0o700 }));
  const { mode } = inFolder(folder, () => statSync(folder));
  if ((mode & 0o022) !== 0) {
    throw new TokenError("storage", `${folder} can be written by others: chmod 0700`);
  }
}

function inFolder<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : "unusable";
    throw new TokenError("storage", `${path}: ${words}`, { cause });
  }
}

export function damagedFile(path: string): TokenError {
  const advice = "nothing was signed; restore the file from its backup, never edit or delete it";
  return new TokenError("key-file-damaged", `${path}: ${advice}`);
}
