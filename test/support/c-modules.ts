/** The libraries written in C, built for the tests where the machine can. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { RealPart } from "./real-part.ts";
import { SOFTHSM } from "./soft-hsm.ts";

const ROOT = join(import.meta.dirname, "../..");
const built = spawnSync(join(ROOT, "scripts/build-module"), ["--test-token"], { encoding: "utf8" });
if (built.status !== 0 && built.status !== 3) throw new Error(built.stderr);

const missing = built.status === 0 ? SOFTHSM.missing : built.stderr.trim();

export const C_MODULES: RealPart = { name: "C toolchain", missing };

/** A token that signs BIP340 itself: see native-token.c. */
export const TEST_TOKEN = join(ROOT, "signer/module/build/native-token.so");

/** The sealed module: signer/module. */
export const BALLAST_MODULE = join(ROOT, "signer/module/build/ballast-pkcs11.so");
