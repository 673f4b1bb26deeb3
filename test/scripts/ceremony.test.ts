/** `ballast ceremony`, called as a person calls it, against an API that is there. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Api } from "../../orchestrator/api/server.ts";
import { hex } from "../../policies/bitcoin/hash.ts";
import type { TranscriptDocument } from "../../policies/transcript.ts";
import {
  type Company,
  company,
  decline,
  OPERATOR_TOKEN,
  openStage,
  recovery,
  type Stage,
  serveStage,
  stationSecret,
} from "../orchestrator/stage.ts";

const ROOT = join(import.meta.dirname, "../..");
let folder = "";
let stage: Stage;
let people: Company;
let api: Api;
let operator: readonly string[] = [];
const file = (name: string) => join(folder, name);
function save(name: string, content: unknown): string {
  writeFileSync(file(name), typeof content === "string" ? content : JSON.stringify(content));
  return file(name);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ballast-ceremony-"));
  stage = await openStage();
  people = await company(stage);
  api = await serveStage(stage);
  for (const [name, { token }] of Object.entries(people)) {
    save(`${name}.token`, `${token}\n`);
    save(`${name}.key`, `${hex(stationSecret(name))}\n`);
  }
  operator = ["--api", api.url, "--token", save("token", `${OPERATOR_TOKEN}\n`)];
});
afterAll(async () => {
  await api.close();
  await stage.store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Not waited for on this thread: the API is served by it. */
function ceremony(
  ...words: readonly string[]
): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve, reject) => {
    const run = spawn(join(ROOT, "scripts/ballast"), ["ceremony", ...words]);
    let out = "";
    let err = "";
    run.stdout.on("data", (part: Buffer) => {
      out += part.toString();
    });
    run.stderr.on("data", (part: Buffer) => {
      err += part.toString();
    });
    run.once("error", reject);
    run.once("close", (code) => resolve({ code, out, err }));
  });
}

describe("ballast ceremony", () => {
  it("opens, shows, exports, attests and verifies", async () => {
    const intent = await recovery(stage);
    const wish = [
      ...["--intent", intent, "--approval", "trustee", "--hours", "10"],
      ...["--participant", "cora=trustee", "--participant", "dan=witness"],
    ];
    const opened = await ceremony("open", ...operator, ...wish, "--json");
    expect(opened.code).toBe(0);
    const { id } = JSON.parse(opened.out);
    const again = await ceremony("open", ...operator, ...wish);
    expect(again.out).toContain(`ceremony ${id}: open, waits for cora`);
    expect((await ceremony("list", ...operator)).out).toContain(
      `${id}  open  intent ${intent.slice(0, 16)}`,
    );

    const early = await ceremony(
      "sign",
      id,
      "--api",
      api.url,
      "--token",
      file("cora.token"),
      "--key-file",
      file("cora.key"),
    );
    expect(early).toMatchObject({ code: 2, out: "" });
    expect(early.err).toContain("no closed ceremony");
    await decline(stage, id, people.cora, "wrong address");
    await stage.settle();
    const shown = await ceremony("show", id, ...operator);
    expect(shown.out).toContain("cora: decline: wrong address");

    const before = file("before.json");
    expect((await ceremony("transcript", id, ...operator, "--out", before)).code).toBe(0);
    expect((await ceremony("transcript", id, ...operator, "--out", before)).code).toBe(2);
    const cut = await ceremony("verify", before);
    expect(cut).toMatchObject({ code: 3, out: "tail: nobody has attested the end\n" });
    expect((await ceremony("verify", before, "--so-far")).code).toBe(0);

    // One with the API, one from the file alone.
    const cora = await ceremony(
      "sign",
      id,
      "--api",
      api.url,
      "--token",
      file("cora.token"),
      "--key-file",
      file("cora.key"),
    );
    expect(cora).toMatchObject({ code: 0, out: "attested by cora, trustee\n" });
    const exported = await ceremony("transcript", id, ...operator);
    const alone = save("alone.json", exported.out);
    const both = file("both.json");
    expect(
      await ceremony("sign", alone, "--key-file", file("dan.key"), "--out", both),
    ).toMatchObject({ code: 0, out: "attested by dan, witness\n" });
    const sound = await ceremony("verify", both, "--json");
    expect(sound.code).toBe(0);
    expect(JSON.parse(sound.out)).toMatchObject({
      kind: "sound",
      facts: { attested: ["cora", "dan"], standing: { state: "declined" } },
    });
    expect((await ceremony("verify", both)).out).toContain("3 events, attested by cora, dan");

    const transcript = JSON.parse(readFileSync(both, "utf8")) as TranscriptDocument;
    const short = save("short.json", {
      ...transcript,
      events: transcript.events.filter((_, i) => i !== 1),
    });
    const broken = await ceremony("verify", short, "--json");
    expect(broken.code).toBe(3);
    expect(JSON.parse(broken.out).faults[0]).toMatchObject({ place: "events.1" });
    const refused = await ceremony(
      "sign",
      short,
      "--key-file",
      file("dan.key"),
      "--out",
      file("never.json"),
    );
    expect(refused).toMatchObject({ code: 2, out: "" });
    expect(existsSync(file("never.json"))).toBe(false);
  });

  it.each<[string, () => readonly string[], string]>([
    [
      "a token of nobody",
      () => ["list", "--api", api.url, "--token", save("bad", "x")],
      "wants a bearer token",
    ],
    [
      "a station's token",
      () => ["list", "--api", api.url, "--token", file("cora.token")],
      "wants a bearer token",
    ],
    [
      "no API",
      () => ["list", "--api", "http://127.0.0.1:1", "--token", file("token")],
      "does not answer",
    ],
    ["no URL", () => ["list", "--api", "here", "--token", file("token")], "is no URL"],
    ["no such ceremony", () => ["show", "00", ...operator], "no such ceremony"],
    [
      "an odd participant",
      () => [
        "open",
        ...operator,
        "--intent",
        "00",
        "--approval",
        "trustee",
        "--participant",
        "cora",
      ],
      "not NAME=ROLE",
    ],
    [
      "an odd intent",
      () => [
        "open",
        ...operator,
        "--intent",
        "00",
        "--approval",
        "trustee",
        "--participant",
        "cora=trustee",
      ],
      "intent",
    ],
    ["no transcript", () => ["sign", save("none", {}), "--key-file", file("dan.key")], "at fault"],
    [
      "a key that is none",
      () => ["sign", file("none"), "--key-file", file("token")],
      "64 hex digits",
    ],
    ["no file", () => ["verify", file("nowhere")], "no such file"],
  ])("says what is wrong with %s", async (_, words, said) => {
    const { code, out, err } = await ceremony(...words());
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(said);
  });

  it("finds a fault in what is no transcript", async () => {
    const { code, out } = await ceremony("verify", save("empty", {}), "--json");
    expect(code).toBe(3);
    expect(JSON.parse(out)).toMatchObject({ kind: "faulty" });
  });
});
