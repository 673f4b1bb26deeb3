/** A SoftHSM token of a test's own: made in a temporary folder, removed with it. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TokenNetwork } from "../../signer/custody/key-file.ts";
import { readProfile } from "../../signer/pkcs11/profile.ts";
import { findSoftHsm, provisionSoftHsm } from "../../signer/pkcs11/softhsm.ts";
import type { SupervisorLimits } from "../../signer/pkcs11/supervisor.ts";
import { initToken, openToken, type Token } from "../../signer/pkcs11/token.ts";
import { formatPkcs11Uri, parsePkcs11Uri } from "../../signer/pkcs11/uri.ts";
import { TEST_TOKEN } from "./c-modules.ts";

/** Every way to keep a key; `sealed` is as the machine has it, and speaks to SoftHSM directly. */
export type CustodyKind = "sealed" | "sealed-javascript" | "sealed-module" | "native";

export interface LogLine {
  readonly event: string;
  readonly fields: Record<string, unknown>;
}

export interface SoftToken {
  readonly dir: string;
  readonly keys: string;
  readonly pinFile: string;
  readonly latchFile: string;
  readonly uri: string;
  readonly env: Readonly<Record<string, string>>;
  /** What the test token does wrong from now on; null: nothing. See native-token.c. */
  fault(line: string | null): void;
  /** Calls of the test token that use a key or a PIN, by name, since it was made. */
  calls(name: string): number;
  /** Everything the signer logged, over all of its openings. */
  readonly log: LogLine[];
  readonly logins: () => number;
  open(options?: OpenOptions): Promise<Token>;
  init(): Promise<"made" | "existed">;
  /** What somebody else who knows the PIN does to the token, in a process of its own. */
  intrude(act: Intrusion): Promise<void>;
  /** Another token under the same label, with the same PINs and no keys. */
  swap(): Promise<void>;
  /** The URI with a profile of this test's own: SoftHSM's, bent, and more behind it. */
  profiled(bend: Readonly<Record<string, unknown>>, more?: string): string;
  remove(): Promise<void>;
}

export type Intrusion =
  | "extractable-key"
  | "imported-key"
  | "destroy-keys"
  | "second-key"
  | "extractable-pair"
  | "imported-pair";

export interface OpenOptions {
  readonly uri?: string;
  readonly network?: TokenNetwork;
  readonly limits?: Partial<SupervisorLimits>;
}

export interface SoftTokenOptions {
  readonly maxSessions?: number;
  readonly custody?: CustodyKind;
}

/** All but the plain one go through the test token, which counts and can do wrong. */
function uriOf(plain: string, custody: CustodyKind): string {
  if (custody === "sealed") return plain;
  const parts = { ...parsePkcs11Uri(plain), modulePath: TEST_TOKEN, profile: "test-token" };
  if (custody === "native") return formatPkcs11Uri({ ...parts, mode: "native", openedBy: null });
  const openedBy = custody === "sealed-module" ? "module" : "javascript";
  return formatPkcs11Uri({ ...parts, openedBy });
}

/** A token with no keys yet. */
export async function softToken(options: SoftTokenOptions = {}): Promise<SoftToken> {
  const { custody = "sealed", ...rest } = options;
  const dir = mkdtempSync(join(tmpdir(), "ballast-token-"));
  const plain = await provisionSoftHsm({ dir, label: "ballast-lsp", ...rest });
  const faults = join(dir, "fault");
  const called = join(dir, "calls");
  const uri = uriOf(plain.uri, custody);
  const env = {
    ...plain.env,
    BALLAST_TEST_LIBRARY: findSoftHsm() ?? "",
    BALLAST_TEST_FAULT: faults,
    BALLAST_TEST_CALLS: called,
  };
  const { keys, pinSource, profile } = parsePkcs11Uri(uri);
  const log: LogLine[] = [];
  const opened: Token[] = [];
  let profiles = 0;
  const write = (event: string, fields: Record<string, unknown>) =>
    void log.push({ event, fields });
  return {
    dir,
    keys,
    pinFile: pinSource,
    latchFile: join(keys, "pin-latch.json"),
    uri,
    env,
    log,
    fault(line) {
      if (line === null) rmSync(faults, { force: true });
      else writeFileSync(faults, `${line}\n`);
    },
    calls: (name) =>
      existsSync(called)
        ? readFileSync(called, "utf8")
            .split("\n")
            .filter((line) => line === name).length
        : 0,
    logins: () => log.filter(({ event }) => event === "token login").length,
    async open(how = {}) {
      const token = await openToken({ uri, env, network: "regtest", log: write, ...how });
      opened.push(token);
      return token;
    },
    init: () => initToken({ uri, env, network: "regtest", log: write }),
    async intrude(act) {
      const script = fileURLToPath(new URL("./token-intruder.ts", import.meta.url));
      const args = ["--import", "tsx", script, act, pinSource];
      await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } });
    },
    async swap() {
      rmSync(join(dir, "tokens"), { recursive: true });
      await provisionSoftHsm({ dir, label: "ballast-lsp", ...rest });
    },
    profiled(bend, more = "") {
      const file = join(dir, `profile-${profiles}.json`);
      profiles += 1;
      writeFileSync(file, JSON.stringify({ ...readProfile(profile), ...bend }));
      return `${uri.replace(`profile=${profile}`, `profile=${file}`)}${more}`;
    },
    async remove() {
      await Promise.all(opened.map((token) => token.close()));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A token that is ready to make accounts. */
export async function readyToken(options?: SoftTokenOptions): Promise<SoftToken> {
  const token = await softToken(options);
  await token.init();
  return token;
}
