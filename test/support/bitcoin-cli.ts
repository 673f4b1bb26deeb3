/** `bitcoin-cli` of the node that the tests run, for programs that know the node by it alone. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { lookForBitcoind } from "../../scripts/regtest.ts";
import type { RealPart } from "./real-part.ts";

/** A program that needs `bitcoind` and `bitcoin-cli`. */
export function bitcoinCliPart(): RealPart {
  const found = lookForBitcoind();
  if (found.kind === "missing") return { name: "bitcoin-cli", missing: found.reason };
  const none = candidates(found.path).length === 0;
  return { name: "bitcoin-cli", missing: none ? "bitcoin-cli not found beside bitcoind" : null };
}

/**
 * Its path. What scripts/bitcoind-debian unpacked runs by the loader that came along: for that a
 * script is written into the folder.
 */
export function bitcoinCli(folder: string): string {
  const found = lookForBitcoind();
  const [first] = found.kind === "found" ? candidates(found.path) : [];
  if (first === undefined) throw new Error("bitcoin-cli was there a moment ago");
  if (first.loader === null) return first.program;
  const path = join(folder, "bitcoin-cli");
  const lib = dirname(first.loader);
  writeFileSync(
    path,
    `#!/bin/sh\nexec "${first.loader}" --inhibit-cache --library-path "${lib}" "${first.program}" "$@"\n`,
  );
  chmodSync(path, 0o755);
  return path;
}

interface Program {
  readonly program: string;
  readonly loader: string | null;
}

function candidates(bitcoind: string): readonly Program[] {
  const root = join(dirname(bitcoind), "root/usr");
  const unpacked = join(root, "bin/bitcoin-cli");
  const beside = [
    join(dirname(bitcoind), "bitcoin-cli"),
    ...(process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "bitcoin-cli")),
  ].filter((path) => existsSync(path) && spawnSync(path, ["--version"]).status === 0);
  return [
    ...beside.map((program) => ({ program, loader: null })),
    ...(existsSync(unpacked) ? loaders(join(root, "lib")) : []).map((loader) => ({
      program: unpacked,
      loader,
    })),
  ];
}

function loaders(lib: string): readonly string[] {
  return readdirSync(lib).flatMap((triplet) => {
    const folder = join(lib, triplet);
    return readdirSync(folder)
      .filter((name) => /^ld-linux.*\.so/.test(name))
      .map((name) => join(folder, name));
  });
}
