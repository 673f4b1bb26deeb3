/**
 * The unit of a signer is as strict as its page says: systemd's own judge, and a list of directives
 * of which each is missed when it is taken away.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const NAME = "ballast-signer.service";
const UNIT = readFileSync(
  join(import.meta.dirname, "../../firmware-configs/systemd", NAME),
  "utf8",
);

/** What the unit must say, and in which words. */
const directives: readonly (readonly [name: string, value: RegExp])[] = [
  ["User", /^ballast-signer$/],
  ["ConfigurationDirectory", /^ballast$/],
  ["StateDirectory", /^ballast$/],
  ["StateDirectoryMode", /^0700$/],
  ["RuntimeDirectory", /^ballast$/],
  ["RuntimeDirectoryMode", /^0700$/],
  ["UMask", /^0077$/],
  ["ExecStart", /^\/usr\/bin\/node --import tsx \S+\/signer\/main\.ts --config %E\/ballast\/\S+$/],
  ["ExecReload", /-HUP \$MAINPID$/],
  ["KillSignal", /^SIGTERM$/],
  ["TimeoutStopSec", /^\d+s$/],
  ["Restart", /^on-failure$/],
  ["StartLimitBurst", /^\d$/],
  ["StartLimitIntervalSec", /^\d+min$/],
  ["LoadCredential", /\bpin:\/.*\btls-key:\//],
  ["LimitCORE", /^0$/],
  ["LimitMEMLOCK", /^[1-9]\d*M$/],
  ["MemorySwapMax", /^0$/],
  ["NoNewPrivileges", /^yes$/],
  ["CapabilityBoundingSet", /^$/],
  ["AmbientCapabilities", /^$/],
  ["ProtectSystem", /^strict$/],
  ["ProtectHome", /^yes$/],
  ["ProtectProc", /^invisible$/],
  ["ProcSubset", /^pid$/],
  ["PrivateTmp", /^yes$/],
  ["PrivateMounts", /^yes$/],
  ["PrivateDevices", /^yes$/],
  ["PrivateUsers", /^yes$/],
  ["ProtectKernelTunables", /^yes$/],
  ["ProtectKernelModules", /^yes$/],
  ["ProtectKernelLogs", /^yes$/],
  ["ProtectControlGroups", /^yes$/],
  ["ProtectClock", /^yes$/],
  ["ProtectHostname", /^yes$/],
  ["RestrictNamespaces", /^yes$/],
  ["RestrictRealtime", /^yes$/],
  ["RestrictSUIDSGID", /^yes$/],
  ["RestrictAddressFamilies", /^AF_UNIX AF_INET AF_INET6$/],
  ["LockPersonality", /^yes$/],
  ["RemoveIPC", /^yes$/],
  ["IPAddressDeny", /^any$/],
  ["IPAddressAllow", /^localhost$/],
  ["SystemCallArchitectures", /^native$/],
  ["SystemCallFilter", /^@system-service ~@privileged @resources @debug\b/],
  ["SystemCallErrorNumber", /^EPERM$/],
];

/** Which directives the unit lacks or has otherwise; several lines of one name count as one. */
function faults(unit: string): readonly string[] {
  const said = new Map<string, string>();
  for (const line of unit.split("\n")) {
    const match = /^([A-Za-z]+)=(.*)$/.exec(line);
    if (match === null) continue;
    const [, name = "", value = ""] = match;
    const before = said.get(name);
    said.set(name, before === undefined ? value : `${before} ${value}`);
  }
  return directives
    .filter(([name, value]) => !value.test(said.get(name) ?? "is not there"))
    .map(([name]) => name);
}

describe("the unit of a signer", () => {
  it("has every directive that its page promises", () => {
    expect(faults(UNIT)).toEqual([]);
  });

  it.each(directives.map(([name]) => name))("is at fault without %s", (name) => {
    const without = UNIT.split("\n").filter((line) => !line.startsWith(`${name}=`));
    expect(faults(without.join("\n"))).toEqual([name]);
  });

  it("says by which PIN file the token is opened, and has no PIN", () => {
    expect(UNIT).toContain(`pin-source=file:/run/credentials/${NAME}/pin`);
    expect(UNIT).not.toMatch(/pin-value|^Environment=.*PIN/m);
  });

  it("leaves V8 its compiler, and says why", () => {
    expect(UNIT).not.toMatch(/^MemoryDenyWriteExecute=/m);
    expect(UNIT).toMatch(/^# MemoryDenyWriteExecute= cannot be set: V8/m);
  });
});

/** Options of systemd-analyze that this test needs came with systemd 250. */
const VERSION_MIN = 250;
const version = Number(
  /^systemd (\d+)/.exec(
    spawnSync("systemd-analyze", ["--version"], { encoding: "utf8" }).stdout,
  )?.[1],
);
const missing = !(version >= VERSION_MIN);
const title = missing
  ? `by systemd's own judge (skipped: no systemd-analyze ${VERSION_MIN} or newer here)`
  : "by systemd's own judge";

/** Tenths of the exposure that systemd-analyze computes, 100 being the worst. Measured: 0.9. */
const EXPOSURE_TENTHS_MAX = 10;

describe.skipIf(missing)(title, () => {
  const folder = mkdtempSync(join(tmpdir(), "ballast-unit-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function analyze(unit: string, args: readonly string[]) {
    const file = join(folder, NAME);
    writeFileSync(file, unit);
    const { status, stdout, stderr } = spawnSync("systemd-analyze", [...args, file], {
      encoding: "utf8",
    });
    return { status, output: stdout + stderr };
  }
  const secure = (unit: string) =>
    analyze(unit, [
      "security",
      "--no-pager",
      "--offline=true",
      `--threshold=${EXPOSURE_TENTHS_MAX}`,
    ]);
  /** With programs and folders of this machine, because the judge looks for them. */
  const verify = (unit: string) =>
    analyze(unit.replaceAll("/usr/bin/node", process.execPath).replaceAll("/opt/ballast", folder), [
      "verify",
      "--man=no",
      "--recursive-errors=no",
    ]);

  it("exposes little", () => {
    const { status, output } = secure(UNIT);
    expect(output).toMatch(/Overall exposure level for ballast-signer\.service: \d/);
    expect(status).toBe(0);
  });

  it.each(["User", "SystemCallFilter", "ProtectSystem", "CapabilityBoundingSet"])(
    "exposes too much without %s",
    (name) => {
      const without = UNIT.split("\n").filter((line) => !line.startsWith(`${name}=`));
      expect(secure(without.join("\n")).status).not.toBe(0);
    },
  );

  it("is read without a complaint", () => {
    expect(verify(UNIT)).toEqual({ status: 0, output: "" });
  });

  it.each([
    ["a directive misspelt", UNIT.replace("ProtectHome=", "ProtectHomes="), "ProtectHomes"],
    ["a value of no meaning", UNIT.replace("ProtectSystem=strict", "ProtectSystem=very"), "very"],
    ["a program that is not there", UNIT.replace("/bin/kill", "/bin/no-such"), "no-such"],
  ])("is refused with %s", (_, unit, word) => {
    expect(verify(unit).output).toContain(word);
  });
});
