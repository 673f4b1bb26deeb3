/** The account that a signer last acted on, as a document. */
import { z } from "zod";
import { cents, msats, sats } from "../money.ts";
import { amountCents, amountMsats, amountSats, hash, vaultId, whole } from "./scalar.ts";

export const accountSchema = z.strictObject({
  account: z.strictObject({
    vault: vaultId,
    hedgedCents: amountCents.transform(cents),
    poolMsats: amountMsats.transform(msats),
    channelCents: amountCents.transform(cents),
    idleSats: amountSats.transform(sats),
    sequence: whole,
    log: hash,
  }),
  /** The last statement that served a spend without the user, and which spend. */
  used: z.strictObject({ index: whole, intent: hash }).nullable(),
});
