/** The page for the person on duty has an answer to everything that a token can say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TOKEN_FAULTS, TokenError } from "../../signer/pkcs11/token-error.ts";

const PAGE = readFileSync(join(import.meta.dirname, "../../signer/OPERATIONS.md"), "utf8");
const rows = PAGE.split("\n").flatMap((line) => {
  const match = /^\| `([a-z-]+)` \| (yes|no) \| (.+) \| (.+) \|$/.exec(line);
  return match === null ? [] : [{ code: match[1], passing: match[2] === "yes" }];
});

describe("the operations page", () => {
  it("has a row for every fault of a token, in order, and says rightly which pass", () => {
    expect(rows).toEqual(
      TOKEN_FAULTS.map((code) => ({ code, passing: new TokenError(code, "").passing })),
    );
  });

  it("has a target for each of its links to itself", () => {
    const anchors = [...PAGE.matchAll(/^## (.+)$/gm)].map(([, title = ""]) =>
      title.toLowerCase().replaceAll(" ", "-"),
    );
    const links = [...PAGE.matchAll(/\]\(#([a-z-]+)\)/g)].map(([, target]) => target);
    expect(links.length).toBeGreaterThan(0);
    expect(links.filter((link) => !anchors.includes(link ?? ""))).toEqual([]);
  });
});
