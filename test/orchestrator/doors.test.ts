/** Every route of the app has its row, and opens to the scopes of its row and to no other. */
import type { IRouter } from "express";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openApiDocument } from "../../orchestrator/api/openapi.ts";
import { apiOf, routesOf } from "../../orchestrator/api/server.ts";
import { expressPath, type Route } from "../../orchestrator/doors/route.ts";
import { SCOPES, type Scope } from "../../orchestrator/tables/schema-doors.ts";
import { type Doors, openDoors } from "./door-stage.ts";
import { apiPartsOf } from "./stage.ts";
import { moveIn, withdraw } from "./world.ts";

let doors: Doors;
let routes: readonly Route[];
const tokens = new Map<Scope, string>();
let ofBea = "";
let intent = "";

beforeAll(async () => {
  doors = await openDoors();
  routes = routesOf(apiPartsOf(doors.stage));
  for (const scope of SCOPES) tokens.set(scope, await doors.tokenOf(scope, `one-${scope}`));
  const bea = await moveIn(doors.stage, "bea");
  ofBea = await doors.tokenOf("user", "beas", bea.account);
  intent = (await withdraw(doors.stage, doors.stage.ann, { sats: 5_000n, reference: "w" })).id;
});
afterAll(() => doors.close());

/** A request that reaches the route's own checks, and changes nothing. */
function lineOf({ method, path }: Route): string {
  const id = path.startsWith("/v1/intents") ? intent : doors.stage.ann.account;
  return `${method.toUpperCase()} ${path.replace("{id}", id)}`;
}
const bodyOf = ({ method }: Route) => (method === "get" ? {} : { body: { nonsense: true } });
const scoped = () =>
  routes.flatMap((route) =>
    typeof route.opens === "string" ? [] : [{ ...route, opens: route.opens }],
  );

describe("the routes", () => {
  it("of the app are the rows, and the document has them and no other", () => {
    const stack = (apiOf(apiPartsOf(doors.stage)).router as unknown as IRouter).stack;
    const served = stack.flatMap(({ route }) =>
      (route === undefined ? [] : [route.path].flat()).flatMap((path) =>
        Object.keys((route as unknown as { methods: object }).methods).map((m) => `${m} ${path}`),
      ),
    );
    const rows = routes.flatMap(({ method, path, aliases = [] }) =>
      [path, ...aliases].map((named) => `${method} ${named}`),
    );
    expect(served.length).toBeGreaterThan(60);
    expect(new Set(served)).toEqual(new Set(rows.map(expressPath)));
    const { paths } = openApiDocument(routes) as { paths: Record<string, object> };
    const documented = Object.entries(paths).flatMap(([path, verbs]) =>
      Object.keys(verbs).map((verb) => `${verb} ${path}`),
    );
    expect(documented.sort()).toEqual(rows.sort());
  });

  it("say whose they are where users may ask, but for the list of their own", () => {
    const open = scoped().filter(({ opens, own }) => opens.includes("user") && own === undefined);
    expect(open.map(({ path }) => path)).toEqual(["/v1/intents"]);
  });

  it("that change something open to no auditor", () => {
    for (const { method, opens, path } of scoped()) {
      expect([path, method !== "get" && opens.includes("auditor")]).toEqual([path, false]);
    }
  });

  it.each(SCOPES)(
    "open to a token of scope %s where their row says so, and nowhere else",
    async (scope) => {
      for (const route of scoped()) {
        const line = lineOf(route);
        const { status } = await doors.ask(line, {
          token: tokens.get(scope) ?? "",
          ...bodyOf(route),
        });
        if (route.opens.includes(scope))
          expect([line, [401, 403].includes(status)]).toEqual([line, false]);
        else expect([line, status]).toEqual([line, 403]);
      }
    },
  );

  it("open to nobody without a token", async () => {
    for (const route of routes.filter(({ opens }) => opens !== "anybody")) {
      for (const token of ["", "ballast-user-0", `ballast-operator-${"0".repeat(64)}`]) {
        const { status } = await doors.ask(lineOf(route), { token, ...bodyOf(route) });
        expect([lineOf(route), status]).toEqual([lineOf(route), 401]);
      }
    }
  });

  it("show a user nothing of another's, in the very words for what is not there", async () => {
    const none = (line: string) =>
      line.replace(intent, "00".repeat(32)).replace(doors.stage.ann.account, "a-0");
    const bare = ({ requestId: _, ...body }: Record<string, unknown>) => body;
    for (const route of scoped().filter(({ own, opens }) => own && opens.includes("user"))) {
      const line = lineOf(route);
      const said = (account: string) =>
        route.method === "get" ? {} : { body: { nonsense: true, account } };
      const others = await doors.ask(line, { token: ofBea, ...said(doors.stage.ann.account) });
      const missing = await doors.ask(none(line), { token: ofBea, ...said("a-0") });
      expect([line, others.status]).toEqual([line, 404]);
      expect(bare(others.body)).toEqual(bare(missing.body));
    }
  });

  it("show a user their own", async () => {
    const { account } = doors.stage.ann;
    const token = tokens.get("user") ?? "";
    for (const line of [
      `GET /v1/accounts/${account}`,
      `GET /user/${account}`,
      `GET /v1/intents/${intent}`,
    ]) {
      expect([line, (await doors.ask(line, { token })).status]).toEqual([line, 200]);
    }
    expect((await doors.ask("GET /v1/intents", { token })).body.intents).toHaveLength(1);
    expect((await doors.ask("GET /v1/intents", { token: ofBea })).body.intents).toEqual([]);
  });
});
