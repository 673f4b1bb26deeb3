import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { StatusReport } from "../../orchestrator/api/status.ts";
import { PAGE_SECURITY_POLICY, statusPage } from "../../orchestrator/api/status-page.ts";

const EVIL = `"><script>alert(1)</script><img src=x onerror='x'>&`;

/** A report with `text` in every place that text can stand. */
function report(text: string): StatusReport {
  return {
    at: text,
    network: text as "regtest",
    node: { height: 120, scannedHeight: 119 },
    confirmations: 3,
    signer: {
      name: text,
      role: text,
      custody: text,
      policy: { name: text, version: 1, hash: text },
      announced: { name: text, version: 2, hash: text },
      paused: false,
    },
    roles: [
      { name: text, fault: text },
      { name: text, fault: null },
    ],
    accounts: [
      {
        id: text,
        name: text,
        state: text,
        address: text,
        availableSats: "2100000000000000",
        reservedSats: text,
      },
    ],
    intents: [
      {
        id: text,
        account: text,
        reference: text,
        state: text,
        sats: "1",
        feeSats: null,
        txid: text,
        violations: [{ rule: text, detail: text }],
      },
    ],
    book: { balances: false, postings: "1", usersSats: "1", feesSats: "1", faults: [text] },
    cover: { exact: false, unspentSats: "1", unbookedSats: "1", leavingSats: "0", gapSats: text },
  };
}

describe("the status page", () => {
  it("escapes every value", () => {
    const page = statusPage(report(EVIL));
    expect(page).not.toContain("<script");
    expect(page).not.toContain("<img");
    // The same tags as a harmless page: nothing opened, nothing closed.
    const tags = (html: string) => html.match(/<[a-z/!][^>]*>/g)?.map((tag) => tag.slice(0, 3));
    expect(tags(page)).toEqual(tags(statusPage(report("harmless"))));
  });

  it("loads and runs nothing: its one style sheet is the one that its policy allows", () => {
    const page = statusPage(report("x"));
    expect(page).not.toMatch(/<(script|link|img|iframe|form|object)/);
    expect(page).not.toMatch(/\son[a-z]+=|https?:|url\(/);
    const style = /<style>([\s\S]*)<\/style>/.exec(page)?.[1] ?? "";
    const hash = createHash("sha256").update(style).digest("base64");
    expect(PAGE_SECURITY_POLICY).toContain(`style-src 'sha256-${hash}'`);
    expect(PAGE_SECURITY_POLICY).toContain("default-src 'none'");
  });

  it("reads well: grouped amounts, refresh, phone and dark mode", () => {
    const page = statusPage(report("x"));
    expect(page).toContain("2\u202f100\u202f000\u202f000\u202f000\u202f000\u00a0sat".slice(0, 10));
    expect(page).toContain('http-equiv="refresh"');
    expect(page).toContain('name="viewport"');
    expect(page).toContain("prefers-color-scheme:dark");
  });

  it("shows a looser policy that is announced, and none where there is none", () => {
    const { signer } = report("law");
    if (signer === null) throw new Error("the report has a signer");
    const { announced: _, ...quiet } = signer;
    expect(statusPage(report("law"))).toContain("looser policy announced: law v2");
    expect(statusPage({ ...report("law"), signer: quiet })).not.toContain("announced");
  });

  it("says so where node or signer do not answer", () => {
    const silent = { ...report("x"), signer: null, node: { height: null, scannedHeight: null } };
    expect(statusPage(silent).match(/does not answer/g)).toHaveLength(2);
  });
});
