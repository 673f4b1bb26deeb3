/** `ballast stations`, called as an operator calls it, against an API that is there. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ecc from "tiny-secp256k1";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Api } from "../../orchestrator/api/server.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import { OPERATOR_TOKEN, openStage, type Stage, serveStage } from "../orchestrator/stage.ts";

const ROOT = join(import.meta.dirname, "../..");
let folder = "";
let stage: Stage;
let api: Api;
let operator: readonly string[] = [];
const file = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ballast-stations-"));
  stage = await openStage();
  api = await serveStage(stage);
  writeFileSync(file("token"), `${OPERATOR_TOKEN}\n`);
  operator = ["--api", api.url, "--token", file("token")];
});
afterAll(async () => {
  await api.close();
  await stage.store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Not waited for on this thread: the API is served by it. */
function stations(...words: readonly string[]): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve, reject) => {
    const run = spawn(join(ROOT, "scripts/ballast"), ["stations", ...words]);
    let out = "";
    for (const stream of [run.stdout, run.stderr]) {
      stream.on("data", (part: Buffer) => {
        out += part.toString();
      });
    }
    run.once("error", reject);
    run.once("close", (code) => resolve({ code, out }));
  });
}

const key = hex(ecc.xOnlyPointFromScalar(new Uint8Array(32).fill(9)));

async function opens(token: string): Promise<number> {
  const authorization = `Bearer ${readFileSync(file(token), "utf8").trim()}`;
  const { status } = await fetch(`${api.url}/v1/station/requests`, { headers: { authorization } });
  return status;
}

it("registers a station, whose token opens its pages until it is renewed or disabled", async () => {
  const wish = ["add", "eve", "--role", "trustee", "--key", key, "--out"];
  const added = await stations(...wish, file("first"), ...operator);
  expect(added.code).toBe(0);
  expect(added.out).toContain("eve (trustee)");
  expect(statSync(file("first")).mode & 0o777).toBe(0o600);
  // The token is in the file alone.
  expect(added.out).not.toContain(readFileSync(file("first"), "utf8").trim());
  expect(await opens("first")).toBe(200);

  const again = await stations(...wish, file("second"), ...operator);
  expect(again).toMatchObject({
    code: 3,
    out: expect.stringContaining("npx ballast stations token"),
  });
  expect(existsSync(file("second"))).toBe(false);

  const listed = await stations("list", "--json", ...operator);
  const own = (JSON.parse(listed.out) as { id: string; name: string }[]).find(
    ({ name }) => name === "eve",
  );
  const id = own?.id ?? "";
  expect((await stations("token", id, "--out", file("third"), ...operator)).code).toBe(0);
  expect([await opens("first"), await opens("third")]).toEqual([401, 200]);
  expect((await stations("disable", id, ...operator)).out).toContain("disabled");
  expect(await opens("third")).toBe(401);
}, 60_000);

it("says what is wrong, and leaves nothing behind", async () => {
  const bad = ["add", "mallory", "--role", "king", "--key", key, "--out", file("none")];
  expect(await stations(...bad, ...operator)).toMatchObject({
    code: 2,
    out: expect.stringContaining("role"),
  });
  expect(existsSync(file("none"))).toBe(false);
  expect(await stations("token", "s-none", "--out", file("none"), ...operator)).toMatchObject({
    code: 2,
    out: expect.stringContaining("there is no such station"),
  });
});
