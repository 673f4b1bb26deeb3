/** Esplora's answers, read by their form. Fields that we do not use may come and go. */
import { z } from "zod";
import type { Network } from "../../policies/bitcoin/network.ts";
import { type MsatsPerVbyte, msatsPerVbyte } from "../../policies/money.ts";
import { parseExactJson } from "../../signer/node/exact-json.ts";
import { EsploraError } from "./esplora-error.ts";

/** Of a block or of a transaction. */
export const hashSchema = z.string().regex(/^[0-9a-f]{64}$/);

/** Blocks come every ten minutes: this height is some thousand years away. */
const heightSchema = z.int().min(0).max(100_000_000);

export const blockSchema = z.object({ id: hashSchema, height: heightSchema });

export const statusSchema = z.discriminatedUnion("confirmed", [
  z.object({ confirmed: z.literal(false) }),
  z.object({ confirmed: z.literal(true), block_height: heightSchema, block_hash: hashSchema }),
]);

export const txidsSchema = z.array(hashSchema);

export const txsSchema = z.array(z.object({ txid: hashSchema }));

const countSchema = z.int().min(0);

export const mempoolSchema = z.object({
  count: countSchema,
  vsize: countSchema,
  total_fee: countSchema,
});

export const testsSchema = z
  .array(z.object({ allowed: z.boolean().nullish(), "reject-reason": z.string().nullish() }))
  .length(1);

/** Target in blocks -> sat/vB, a decimal as the server wrote it. */
export const feesSchema = z.record(
  z.string().regex(/^[1-9][0-9]{0,3}$/),
  z
    .union([z.int().min(0).transform(String), z.string()])
    .pipe(z.string().regex(/^[0-9]{1,7}(\.[0-9]+)?$/)),
);

/**
 * The rate of the longest target that is not past the one asked, or of the shortest that there is;
 * null where the server has none. To the nearest thousandth of a sat/vB.
 */
export function feeRateOf(
  fees: z.output<typeof feesSchema>,
  targetBlocks: number,
): MsatsPerVbyte | null {
  const targets = Object.keys(fees).map(Number);
  const soon = targets.filter((target) => target <= targetBlocks);
  const target = soon.length > 0 ? Math.max(...soon) : Math.min(...targets);
  const rate = fees[String(target)];
  if (rate === undefined) return null;
  const [whole = "0", part = ""] = rate.split(".");
  const tenths = BigInt(whole + part.slice(0, 4).padEnd(4, "0"));
  return msatsPerVbyte((tenths + 5n) / 10n);
}

export function readText<Schema extends z.ZodType>(
  schema: Schema,
  bytes: Uint8Array,
  where: string,
): z.output<Schema> {
  return readForm(schema, new TextDecoder().decode(bytes).trim(), where);
}

/** Numbers that a float might round come as text. */
export function readJson<Schema extends z.ZodType>(
  schema: Schema,
  bytes: Uint8Array,
  where: string,
): z.output<Schema> {
  let value: unknown;
  try {
    value = parseExactJson(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new EsploraError("protocol", `Esplora at ${where} answered with no JSON`, { cause });
  }
  return readForm(schema, value, where);
}

function readForm<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where: string,
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "" : ` at ${issue.path.join(".")}`;
  const text = `Esplora at ${where}: the answer has not the form of its documentation${place}`;
  throw new EsploraError("protocol", text);
}

/** The first blocks, of Core's chainparams; testnet is the third or the fourth. */
export const GENESIS: Readonly<Record<Network, readonly string[]>> = {
  bitcoin: ["000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"],
  testnet: [
    "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
    "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
  ],
  signet: ["00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"],
  regtest: ["0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"],
};
