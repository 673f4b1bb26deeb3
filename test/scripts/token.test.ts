/** `ballast token` and `ballast proposal`, called as two operators call them, against an API that is there. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Doors, openDoors } from "../orchestrator/door-stage.ts";
import { OPERATOR_TOKEN } from "../orchestrator/stage.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "ballast-token-"));
const file = (name: string) => join(folder, name);
const secret = (name: string) => readFileSync(file(name), "utf8").trim();
let doors: Doors;

beforeAll(async () => {
  doors = await openDoors({ dualControl: true });
  writeFileSync(file("first"), `${OPERATOR_TOKEN}\n`);
});
afterAll(async () => {
  await doors.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Not waited for on this thread: the API is served by it. */
function ballast(by: string, ...words: readonly string[]) {
  return new Promise<{ code: number | null; out: string }>((resolve, reject) => {
    const access = ["--api", doors.url, "--token", file(by)];
    const run = spawn(join(ROOT, "scripts/ballast"), [...words, ...access]);
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

it("issues by one operator, then by two, lists and disables", async () => {
  const second = ["token", "new", "second", "--scope", "operator", "--out", file("second")];
  const issued = await ballast("first", ...second);
  expect(issued).toMatchObject({ code: 0, out: expect.stringContaining("second (operator)") });
  expect(statSync(file("second")).mode & 0o777).toBe(0o600);
  expect(issued.out).not.toContain(secret("second"));

  const eyes = ["token", "new", "eyes", "--scope", "auditor", "--days", "3", "--out", file("eyes")];
  const proposed = await ballast("first", ...eyes);
  expect(proposed).toMatchObject({ code: 4, out: expect.stringContaining("another operator") });
  expect(existsSync(file("eyes"))).toBe(false);
  const listed = await ballast("second", "proposal", "list", "--json");
  const id = (JSON.parse(listed.out) as { id: string }[])[0]?.id ?? "";
  const bare = await ballast("second", "proposal", "approve", id);
  expect(bare).toMatchObject({ code: 2, out: expect.stringContaining("--out") });
  const approve = ["proposal", "approve", id, "--out", file("eyes")];
  expect((await ballast("first", ...approve)).out).toContain("whoever proposes");
  expect(await ballast("second", ...approve)).toMatchObject({ code: 0 });
  expect((await doors.ask("GET /v1/status", { token: secret("eyes") })).status).toBe(200);

  const all = await ballast("first", "token", "list", "--json");
  const token = (JSON.parse(all.out) as { id: string; name: string }[]).find(
    ({ name }) => name === "eyes",
  );
  const gone = await ballast("first", "token", "disable", token?.id ?? "");
  expect(gone).toMatchObject({ code: 0, out: expect.stringContaining("disabled") });
  expect((await doors.ask("GET /v1/status", { token: secret("eyes") })).status).toBe(401);
}, 300_000);
