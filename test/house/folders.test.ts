/** The house stays one that a newcomer finds the way in: folders, names and maps are checked. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { EXIT_TEMPLATE } from "../../policies/exit.ts";
import { MULTI_TEMPLATE } from "../../policies/vault.ts";
import { ledgerAppsSchema } from "../../signer/ledger/app-versions.ts";

const ROOT = join(import.meta.dirname, "../..");
const ROOMS = ["policies", "signer", "orchestrator", "firmware-configs", "scripts"];

/** Files that git knows or would take: what a newcomer sees. */
const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(join(ROOT, file)));

const folders = [...new Set(files.map((file) => dirname(file)))].filter((folder) => folder !== ".");
const read = (file: string) => readFileSync(join(ROOT, file), "utf8");

describe("folders", () => {
  it("are the prescribed ones at the top", () => {
    const top = new Set(folders.map((folder) => folder.split("/")[0]));
    expect([...top].sort()).toEqual([...ROOMS, "test", ".ci"].sort());
  });

  it("go two levels deep; a real part rebuilt for tests may have a folder of its own", () => {
    const deep = folders.filter((folder) => folder.split("/").length > 2);
    expect(deep.filter((folder) => !/^test\/support\/[^/]+$/.test(folder))).toEqual([]);
  });

  it.each(
    folders.filter(
      (folder) => ROOMS.includes(folder.split("/")[0] ?? "") || folder.startsWith("test/support/"),
    ),
  )("%s has a README that names each of its files", (folder) => {
    const page = read(join(folder, "README.md"));
    const parts = files
      .filter((file) => dirname(file) === folder && /\.(ts|json)$/.test(file))
      .map((file) => basename(file));
    expect(parts.filter((part) => !page.includes(`\`${part}\``))).toEqual([]);
  });
});

describe("files", () => {
  it("have names that are nouns of the field", () => {
    const vague = /(^|\/)(index|utils?|helpers?|common|misc|services?|managers?|types)\.ts$/;
    // The child process that start.ts keeps is a service; the word is meant.
    const meant = new Set(["scripts/service.ts"]);
    expect(files.filter((file) => vague.test(file) && !meant.has(file))).toEqual([]);
  });

  it("of the rooms are short enough to be read in one sitting", () => {
    const long = files
      .filter((file) => file.endsWith(".ts") && !file.startsWith("test/"))
      .filter((file) => read(file).split("\n").length > 500);
    expect(long).toEqual([]);
  });

  it("leave nothing unfinished by their own words", () => {
    const unfinished = /\b(TODO|FIXME|XXX|HACK)\b/;
    const own = "test/house/folders.test.ts";
    const found = files.filter(
      (file) => /\.(ts|md|sh)$/.test(file) && file !== own && unfinished.test(read(file)),
    );
    expect(found).toEqual([]);
  });
});

describe("firmware-configs", () => {
  it("has the templates that the vaults have", () => {
    const schema = z.strictObject({
      format: z.literal("ballast/wallet-policies@1"),
      templates: z.array(
        z.strictObject({ name: z.string(), template: z.string(), keys: z.array(z.string()) }),
      ),
    });
    const { templates } = schema.parse(JSON.parse(read("firmware-configs/wallet-policies.json")));
    expect(templates.map(({ name, template }) => [name, template])).toEqual([
      ["multi", MULTI_TEMPLATE],
      ["multi+exit", EXIT_TEMPLATE],
    ]);
  });

  it("lets a Ledger have the policies that the vaults have, within the app's limits", () => {
    const apps = ledgerAppsSchema.parse(JSON.parse(read("firmware-configs/ledger.json")));
    const { templates } = JSON.parse(read("firmware-configs/wallet-policies.json")) as {
      templates: { name: string; template: string }[];
    };
    expect(apps.policies).toEqual(templates.map(({ name }) => name));
    for (const { template } of templates) {
      expect(template.length).toBeLessThanOrEqual(apps.limits.template_bytes);
      expect(new Set(template.match(/@[0-9]/g)).size).toBeLessThanOrEqual(apps.limits.keys);
    }
  });

  it("shows a Ledger what the law and the signer think that it can show", () => {
    const { limits } = ledgerAppsSchema.parse(JSON.parse(read("firmware-configs/ledger.json")));
    const rule = /DEVICE_OUTPUTS_MAX = ([0-9]+);/.exec(read("policies/rules/request.ts"))?.[1];
    expect(String(limits.outputs)).toBe(rule);
    const line = /BYTES_MAX = ([0-9]+);/.exec(read("signer/signed-line.ts"))?.[1];
    expect(String(limits.message_bytes)).toBe(line);
  });
});
