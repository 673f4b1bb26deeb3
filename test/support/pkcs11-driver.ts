/**
 * A process that makes PKCS#11 calls for a test, as the test says them: pkcs11js can end its process,
 * and the module under test hardens the one that it is loaded into. One JSON line a call on stdin,
 * `{id, call, args}`; one line an answer, `{id, value}` or `{id, ckr}`. Bytes are `{hex}`.
 */
import { createInterface } from "node:readline";
import pkcs11 from "pkcs11js";

interface Call {
  readonly id: number;
  readonly call: string;
  readonly args: readonly unknown[];
}

const lib = new pkcs11.PKCS11();
/** What a test may call: the functions of pkcs11js by their names. */
const functions = lib as unknown as Record<string, (...args: unknown[]) => unknown>;

function fromWire(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromWire);
  if (typeof value !== "object" || value === null) return value;
  if ("hex" in value && typeof value.hex === "string") return Buffer.from(value.hex, "hex");
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, fromWire(part)]));
}

function toWire(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return { hex: value.toString("hex") };
  if (Array.isArray(value)) return value.map(toWire);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, toWire(part)]));
}

/** pkcs11js has three shapes of error; the number stands in one of two places. */
function ckrOf(cause: unknown): number {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (typeof code === "number" && code !== 0) return code;
  const words = cause instanceof Error ? cause.message : "";
  const match = /:(\d+)$/.exec(words.split("\n")[0] ?? "");
  if (match === null) throw cause;
  return Number(match[1]);
}

async function answer({ id, call, args }: Call): Promise<unknown> {
  // The decoded arguments stay referenced to the end: the library holds raw pointers to them.
  const decoded = args.map(fromWire);
  try {
    const value = await functions[call]?.apply(lib, decoded);
    return { id, value: toWire(value), used: toWire(decoded) };
  } catch (cause) {
    return { id, ckr: ckrOf(cause) };
  }
}

createInterface({ input: process.stdin }).on("line", (line) => {
  void answer(JSON.parse(line) as Call).then((reply) => {
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  });
});
