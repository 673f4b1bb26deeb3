/** An answer of the node, read by its form: what has another form is a fault, not a fact. */
import { z } from "zod";
import { BitcoindError } from "./bitcoind-error.ts";

export function readAnswer<Schema extends z.ZodType>(
  schema: Schema,
  answer: unknown,
): z.infer<Schema> {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new BitcoindError("protocol", "the node's answer has not the form of its documentation");
}

/** An amount in BTC as `exact-json.ts` hands it on: a text, or a whole number. */
export const btcSchema = z.union([z.string(), z.int()]).transform(String);
