/** SoftHSM for regtest and CI: the library's places, and a token made from nothing. */
import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { writeDurably } from "./durable-file.ts";
import { formatPkcs11Uri, type OpenedBy } from "./uri.ts";

export interface SoftHsmToken {
  /** For `openToken` and `initToken`. */
  readonly uri: string;
  /** What the child needs in its environment to find the token. */
  readonly env: { readonly SOFTHSM2_CONF: string };
}

/** SoftHSM is not here or did not do it. */
export class SoftHsmError extends Error {
  readonly code = "softhsm";
  constructor(detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.name = "SoftHsmError";
  }
}

/**
 * Makes the token `label` in `dir`, with random PINs in files of mode 0600, if it is not there.
 * Called again, also after an interruption, it gives the same token.
 */
export async function provisionSoftHsm(options: {
  readonly dir: string;
  readonly label: string;
  readonly maxSessions?: number;
  readonly openedBy?: OpenedBy;
}): Promise<SoftHsmToken> {
  const modulePath = findSoftHsm();
  if (modulePath === null) throw new SoftHsmError("SoftHSM is missing: install softhsm2");
  const dir = resolve(options.dir);
  const tokens = join(dir, "tokens");
  mkdirSync(tokens, { recursive: true, mode: 0o700 });
  const conf = join(dir, "softhsm2.conf");
  writeDurably(conf, configuration(tokens), "replace");
  const env = { SOFTHSM2_CONF: conf };

  const pins = { so: join(dir, "so.pin"), user: join(dir, "user.pin") };
  for (const path of Object.values(pins)) writeDurably(path, `${randomPin()}\n`, "create");
  if (!(await tokenExists(options.label, env))) {
    // softhsm2-util reads PINs from its arguments or from a terminal, nothing else (2.6.1). Other
    // processes of this machine can see them for a moment, which a token for tests may bear; a
    // token that guards money is provisioned by its vendor's tools.
    await util(
      [
        ...["--init-token", "--free", "--label", options.label],
        ...["--so-pin", readFileSync(pins.so, "utf8").trim()],
        ...["--pin", readFileSync(pins.user, "utf8").trim()],
      ],
      env,
    );
  }
  const uri = formatPkcs11Uri({
    token: options.label,
    serial: null,
    object: "kek",
    modulePath,
    pinSource: pins.user,
    mode: "sealed",
    profile: "softhsm",
    openedBy: options.openedBy ?? null,
    maxSessions: options.maxSessions ?? 2,
    keys: join(dir, "keys"),
  });
  return { uri, env };
}

/** Path of SoftHSM's library, or null. `SOFTHSM2_MODULE` names another place. */
export function findSoftHsm(): string | null {
  const named = process.env["SOFTHSM2_MODULE"];
  if (named !== undefined && named !== "") return existsSync(named) ? resolve(named) : null;
  return places().find((path) => existsSync(path)) ?? null;
}

function places(): readonly string[] {
  const file = "libsofthsm2.so";
  const multiarch = existsSync("/usr/lib") ? readdirSync("/usr/lib") : [];
  return [
    `/usr/lib/softhsm/${file}`,
    ...multiarch
      .filter((name) => name.includes("-linux-"))
      .map((name) => `/usr/lib/${name}/softhsm/${file}`),
    `/usr/lib64/pkcs11/${file}`,
    `/usr/lib64/softhsm/${file}`,
    `/usr/lib/pkcs11/${file}`,
    `/usr/local/lib/softhsm/${file}`,
    `/opt/homebrew/lib/softhsm/${file}`,
    `/home/linuxbrew/.linuxbrew/lib/softhsm/${file}`,
  ];
}

function configuration(tokens: string): string {
  return [
    `directories.tokendir = ${tokens}`,
    "objectstore.backend = file",
    "log.level = ERROR",
    "slots.removable = false",
    "",
  ].join("\n");
}

/** Digits, because some tokens take nothing else in a PIN; 16 of them are 53 bits. */
function randomPin(): string {
  return Array.from({ length: 16 }, () => randomInt(10)).join("");
}

async function tokenExists(label: string, env: SoftHsmToken["env"]): Promise<boolean> {
  const slots = await util(["--show-slots"], env);
  return slots.split("\n").some((line) => /^\s*Label:\s+(.*?)\s*$/.exec(line)?.[1] === label);
}

const run = promisify(execFile);

async function util(args: readonly string[], env: SoftHsmToken["env"]): Promise<string> {
  try {
    const { stdout } = await run("softhsm2-util", args, {
      env: { ...process.env, ...env },
    });
    return stdout;
  } catch (error) {
    // The message of execFile holds the arguments, and these may hold PINs: it is not passed on.
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    const what = missing ? "is not on the PATH: install softhsm2" : "failed";
    throw new SoftHsmError(`softhsm2-util ${args[0] ?? ""} ${what}`);
  }
}
