/** A price of the station's own: what a source may answer, and when no dollars are shown. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { askPrice, priceSourceSchema } from "../../signer/station/price.ts";

let server: Server;
let url = "";
let asked = 0;
/** What the source answers next: a status with a body, or nothing at all. */
let answer: { readonly status?: number; readonly body: string; readonly to?: string } | null = null;

beforeAll(async () => {
  server = createServer((_request, response) => {
    asked += 1;
    if (answer === null) return;
    const { status = 200, body, to } = answer;
    response.writeHead(status, to === undefined ? {} : { location: to });
    response.end(body);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const ask = (field = "data.amount", waitMs?: number) => askPrice({ url, field }, waitMs);
const amount = (text: string) => ({ body: `{"data":{"amount":${text}}}` });

it.each([
  ["a text", '"65432.10"', 6_543_210n],
  ["a number", "65432.1", 6_543_210n],
  ["whole dollars", "65432", 6_543_200n],
  ["more decimals than cents, cut off", '"65432.1099999999"', 6_543_210n],
  ["the least that is one", '"1"', 100n],
  ["the most that is one", '"9999999999.99"', 999_999_999_999n],
])("takes %s", async (_, text, cents) => {
  answer = amount(text);
  expect(await ask()).toEqual({ price: cents, source: new URL(url).host });
});

it.each([
  ["0", "0"],
  ["less than a dollar", '"0.99"'],
  ["less than nothing", "-65432"],
  ["NaN", '"NaN"'],
  ["infinity", '"Infinity"'],
  ["an exponent", '"6.5e4"'],
  ["a number that is written with an exponent", "1e21"],
  ["ten thousand million", '"10000000000"'],
  ["eleven decimals", '"65432.10000000000"'],
  ["a leading zero", '"065432"'],
  ["blanks", '" 65432"'],
  ["commas between thousands", '"65,432.10"'],
  ["a line break behind it", '"65432\\n"'],
  ["no text and no number", "true"],
  ["an object", '{"usd":65432}'],
  ["a list", "[65432]"],
  ["null", "null"],
])("takes no %s", async (_, text) => {
  answer = amount(text);
  expect(await ask()).toBeNull();
});

it.each(["price", "data", "data.price", "data.amount.usd", "constructor.name", "data.__proto__"])(
  "finds no price at %s",
  async (field) => {
    answer = amount('"65432"');
    expect(await ask(field)).toBeNull();
  },
);

it.each([
  ["is not JSON", { body: "price: 65432" }],
  ["is a page for people", { body: "<!doctype html><p>65432</p>" }],
  ["is empty", { body: "" }],
  ["is a fault", { ...amount("65432"), status: 500 }],
  ["is elsewhere", { status: 302, body: "", to: "/elsewhere" }],
  ["is too long", { body: `{"data":{"amount":65432},"pad":"${" ".repeat(256 * 1024)}"}` }],
])("shows no dollars where the answer %s", async (_, given) => {
  answer = given;
  const before = asked;
  expect(await ask()).toBeNull();
  expect(asked).toBe(before + 1);
});

it("shows no dollars where nobody answers, or answers too late", async () => {
  answer = null;
  expect(await ask("data.amount", 300)).toBeNull();
  expect(await askPrice({ url: "http://127.0.0.1:1/", field: "amount" })).toBeNull();
});

it.each([
  ["another way than HTTP", { url: "file:///etc/passwd", field: "a" }],
  ["no way at all", { url: "prices", field: "a" }],
  ["a field without a name", { url: "https://prices.example", field: "a..b" }],
  ["a field of nine names", { url: "https://prices.example", field: "a.b.c.d.e.f.g.h.i" }],
  ["a word too many", { url: "https://prices.example", field: "a", key: "k" }],
])("is not configured with %s", (_, source) => {
  expect(priceSourceSchema.safeParse(source).success).toBe(false);
});
