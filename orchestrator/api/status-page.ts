/** The status page: one HTML document, no scripts, every value escaped. */
import { createHash } from "node:crypto";
import type { StatusReport } from "./status.ts";

export function statusPage(report: StatusReport): string {
  const { node, signer, book, cover } = report;
  const scanning = node.height !== null && node.height !== node.scannedHeight;
  return text(html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="${REFRESH_SECONDS}">
<title>Ballast: ${report.network}</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<header><h1>Ballast</h1><p>${report.network}, ${report.at}</p></header>
<main>
<section class="cards">
${card("Node", node.height === null ? bad("does not answer") : html`block ${node.height}`, [
  scanning ? html`scanned up to ${node.scannedHeight ?? "none"}` : html`all blocks scanned`,
  html`coins count from confirmation ${report.confirmations} on`,
])}
${
  signer === null
    ? card("Signer", bad("does not answer"), [])
    : card("Signer", signer.paused ? bad("paused") : html`${signer.name}`, [
        html`key of the ${signer.role}: ${signer.custody}`,
        html`policy ${signer.policy.name} v${signer.policy.version}`,
        html`<code title="${signer.policy.hash}">${short(signer.policy.hash)}</code>`,
        ...(signer.announced === undefined
          ? []
          : [
              bad(`looser policy announced: ${signer.announced.name} v${signer.announced.version}`),
            ]),
      ])
}
${card("Book", book.balances ? good("balances") : bad("does not balance"), [
  html`${amount(book.usersSats)} owed to users`,
  html`${amount(book.feesSats)} went into fees`,
  html`${book.postings} postings`,
  ...book.faults.map((fault) => bad(fault)),
])}
${card("Coins", cover.exact ? good("cover the book exactly") : bad("differ from the book"), [
  html`${amount(cover.unspentSats)} in the vaults`,
  html`${amount(cover.unbookedSats)} arriving, ${amount(cover.leavingSats)} leaving`,
  ...(cover.exact ? [] : [bad(`gap of ${cover.gapSats} sat`)]),
])}
</section>
<section>
<h2>Roles</h2>
<ul class="roles">${report.roles.map(({ name, fault }) =>
    fault === null ? html`<li>${good(name)}</li>` : html`<li>${bad(name)} ${fault}</li>`,
  )}</ul>
</section>
<section>
<h2>Accounts</h2>
${table(
  ["Name", "State", "Available", "Reserved", "Next address"],
  report.accounts.map((account) => [
    html`${account.name}`,
    html`${account.state}`,
    amount(account.availableSats),
    amount(account.reservedSats),
    html`<code>${account.address ?? "after the proofs"}</code>`,
  ]),
)}
</section>
<section>
<h2>Withdrawals</h2>
${table(
  ["Reference", "State", "Amount", "Fee", "Transaction", "Objections"],
  report.intents.map((intent) => [
    html`${intent.reference} <code title="${intent.id}">${short(intent.id)}</code>`,
    html`<b class="${STATE_CLASS.get(intent.state) ?? "open"}">${intent.state}</b>`,
    amount(intent.sats),
    intent.feeSats === null ? html`not yet` : amount(intent.feeSats),
    intent.txid === null
      ? html`not yet`
      : html`<code title="${intent.txid}">${short(intent.txid)}</code>`,
    html`${intent.violations.map(
      ({ rule, detail }) => html`<p><code>${rule}</code> ${detail}</p>`,
    )}`,
  ]),
)}
</section>
</main>
</body>
</html>
`);
}

/** A person who watches a payment wants to see it move; nobody else is disturbed by it. */
const REFRESH_SECONDS = 5;

const STYLE = `
:root{color-scheme:light dark;--ground:#fff;--ink:#1c2024;--soft:#60646c;--line:#dcdfe4;--good:#147a3d;--bad:#b3261e;--open:#8a5a00}
@media (prefers-color-scheme:dark){:root{--ground:#15171a;--ink:#eceef0;--soft:#9ba1a8;--line:#2f3338;--good:#5bd28a;--bad:#ff8a80;--open:#f0b95a}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:70rem;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 1rem}
h1,h2{line-height:1.2;margin:.5rem 0}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:1.5rem}
header p{margin:0;color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(14rem,1fr));gap:.75rem;margin-top:.75rem}
article{border:1px solid var(--line);border-radius:.5rem;padding:.75rem}
article h2{margin:0;color:var(--soft);font-size:.85rem;font-weight:600}
article strong{display:block;font-size:1.1rem;overflow-wrap:anywhere}
article p,td p{margin:.15rem 0;color:var(--soft);font-size:.9rem;overflow-wrap:anywhere}
.roles{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;margin:0;padding:0}
.table{overflow-x:auto}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-size:.85rem}
code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}
.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}
@media (max-width:40rem){thead{display:none}tr{display:block;padding:.4rem 0;border-bottom:1px solid var(--line)}td{display:block;border:0;padding:.1rem 0}td[data-of]::before{content:attr(data-of)": ";color:var(--soft)}}
`;

/** For the page's own headers: nothing may load or run but this style sheet. */
export const PAGE_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const STATE_CLASS: ReadonlyMap<string, string> = new Map([
  ["confirmed", "good"],
  ["refused", "bad"],
  ["conflicted", "bad"],
]);

/** Text that is HTML already; only the template below makes it. */
interface Html {
  readonly markup: string;
}

type Value = string | number | Html | readonly Html[];

function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  const markup = parts.reduce((done, part, i) => {
    const value = i === 0 ? "" : values[i - 1];
    return done + (value === undefined ? "" : markupOf(value)) + part;
  }, "");
  return { markup };
}

function markupOf(value: Value): string {
  if (typeof value === "string" || typeof value === "number") return escaped(String(value));
  return "markup" in value ? value.markup : value.map(({ markup }) => markup).join("");
}

function raw(markup: string): Html {
  return { markup };
}

function text({ markup }: Html): string {
  return markup;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(value: string): string {
  return value.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}

function card(title: string, headline: Html, lines: readonly Html[]): Html {
  return html`<article><h2>${title}</h2><strong>${headline}</strong>${lines.map(
    (line) => html`<p>${line}</p>`,
  )}</article>`;
}

function table(heads: readonly string[], rows: readonly (readonly Html[])[]): Html {
  if (rows.length === 0) return html`<p>None yet.</p>`;
  return html`<div class="table"><table><thead><tr>${heads.map(
    (head) => html`<th>${head}</th>`,
  )}</tr></thead><tbody>${rows.map(
    (row) =>
      html`<tr>${row.map((cell, i) => html`<td data-of="${heads[i] ?? ""}">${cell}</td>`)}</tr>`,
  )}</tbody></table></div>`;
}

function good(words: string): Html {
  return html`<span class="good">${words}</span>`;
}

function bad(words: string): Html {
  return html`<span class="bad">${words}</span>`;
}

/** Grouped by thousands with narrow spaces that do not break. */
function amount(value: string): Html {
  return html`${value.replace(/\B(?=(?:[0-9]{3})+$)/g, "\u202f")}\u00a0sat`;
}

function short(id: string): string {
  return id.length <= 20 ? id : `${id.slice(0, 10)}…${id.slice(-6)}`;
}
