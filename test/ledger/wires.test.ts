/** The wires: USB by Ledger's package (here a small one in its place), and HTTP by real sockets. */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type HidPackage, openHid } from "../../signer/ledger/hid.ts";
import { optionalModule } from "../../signer/ledger/optional-module.ts";
import { openSpeculos } from "../../signer/ledger/speculos.ts";
import type { Transport } from "../../signer/ledger/transport.ts";
import { faultOf } from "../support/signer-room.ts";

describe("USB", () => {
  const ok = Buffer.from([0x90, 0x00]);
  /** Devices by path; each answers, or fails with the words that node-hid would use. */
  function hid(devices: Readonly<Record<string, { open?: Error; exchange?: Error }>>): HidPackage {
    return {
      list: async () => Object.keys(devices),
      open: async (path) => {
        const device = devices[path];
        if (device?.open !== undefined) throw device.open;
        return {
          exchange: async () => {
            if (device?.exchange !== undefined) throw device.exchange;
            return ok;
          },
          close: () => Promise.reject(new Error("already gone")),
        };
      },
    };
  }

  it("takes the only device, or the one that is named", async () => {
    const one = await openHid({ path: null, load: () => hid({ a: {} }) });
    expect(await one.exchange(Uint8Array.of(0))).toEqual(Uint8Array.from(ok));
    await one.close();
    const named = await openHid({
      path: "b",
      load: () => hid({ a: { open: new Error() }, b: {} }),
    });
    expect(await named.exchange(Uint8Array.of(0))).toEqual(Uint8Array.from(ok));
  });

  it.each<[string, Parameters<typeof hid>[0], string | null, string, string]>([
    ["none is plugged in", {}, null, "not-plugged-in", "cable that carries data"],
    ["the named one is not", { a: {} }, "b", "not-plugged-in", "no b"],
    ["two are, and none is named", { a: {}, b: {} }, null, "several-devices", "ledger:hid?path="],
    [
      "another program holds it",
      { a: { open: new TypeError("cannot open device with path a") } },
      null,
      "held",
      "close Ledger Live",
    ],
    [
      "this user may not open it",
      { a: { open: new TypeError("Permission denied: a") } },
      null,
      "no-permission",
      "udev rules",
    ],
  ])("%s", async (_, devices, path, fault, words) => {
    const error = await faultOf(openHid({ path, load: () => hid(devices) }));
    expect(error).toMatchObject({ fault, code: "unavailable" });
    expect(error.message).toContain(words);
  });

  it("whose libraries are missing says what to install", async () => {
    const load = (): HidPackage => ({
      ...hid({}),
      // As node-hid does: it loads its native part on first use, and throws at once.
      list: () => {
        throw new Error("libusb-1.0.so.0: cannot open shared object file");
      },
    });
    const error = await faultOf(openHid({ path: null, load }));
    expect(error).toMatchObject({ fault: "not-installed" });
    expect(error.message).toContain("apt install libusb-1.0-0");
  });

  it("is gone in the middle: no refusal", async () => {
    const gone = new Error("could not read from HID device");
    const wire = await openHid({ path: null, load: () => hid({ a: { exchange: gone } }) });
    expect(await faultOf(wire.exchange(Uint8Array.of(0)))).toMatchObject({
      ...{ fault: "disconnected", passing: true, cause: gone },
    });
  });

  it("without Ledger's packages says what to install", () => {
    expect(() => optionalModule("@ledgerhq/hw-transport-of-nobody")).toThrow(
      "npm install --include=optional",
    );
  });
});

describe("HTTP", () => {
  const servers: Server[] = [];
  const wires: Transport[] = [];
  afterEach(async () => {
    for (const wire of wires.splice(0)) await wire.close();
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  async function wireTo(answer: (response: ServerResponse, n: number) => void) {
    const seen: string[] = [];
    const sockets = new Set<unknown>();
    const server = createServer((request, response) => {
      sockets.add(request.socket);
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        seen.push(body);
        answer(response, seen.length);
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const wire = openSpeculos({ host: "127.0.0.1", port });
    wires.push(wire);
    return { wire, seen, sockets, port };
  }

  it("keeps one connection, and sends each command once", async () => {
    const { wire, seen, sockets } = await wireTo((response) => response.end('{"data":"9000"}'));
    for (const n of [1, 2, 3]) {
      expect(await wire.exchange(Uint8Array.of(n))).toEqual(Uint8Array.of(0x90, 0x00));
    }
    expect(seen).toEqual(['{"data":"01"}', '{"data":"02"}', '{"data":"03"}']);
    expect(sockets.size).toBe(1);
  });

  it.each<[string, (response: ServerResponse, n: number) => void, string]>([
    ["hangs up", (response) => response.destroy(), "disconnected"],
    [
      "hangs up in the middle of its answer",
      (response) => {
        response.writeHead(200, { "content-length": "20" });
        response.write('{"data"');
        setImmediate(() => response.destroy());
      },
      "disconnected",
    ],
    ["answers with another status", (response) => response.writeHead(500).end(), "disconnected"],
    ["answers no JSON", (response) => response.end("hello"), "protocol"],
    ["answers without data", (response) => response.end('{"error":"x"}'), "protocol"],
    ["answers half bytes", (response) => response.end('{"data":"900"}'), "protocol"],
    ["answers one byte", (response) => response.end('{"data":"90"}'), "protocol"],
    ["answers without end", (response) => response.end(`"${"0".repeat(300_000)}"`), "protocol"],
  ])("a server that %s", async (_, answer, fault) => {
    const { wire, seen } = await wireTo(answer);
    expect(await faultOf(wire.exchange(Uint8Array.of(1)))).toMatchObject({ fault, passing: true });
    expect(seen).toHaveLength(1);
  });

  it("nobody listens", async () => {
    const { wire, port } = await wireTo(() => undefined);
    for (const server of servers.splice(0)) {
      await new Promise<void>((resolve) => server.close(() => resolve()));
    }
    const fault = await faultOf(wire.exchange(Uint8Array.of(1)));
    expect(fault).toMatchObject({ fault: "not-plugged-in" });
    expect(fault.message).toContain(String(port));
  });
});
