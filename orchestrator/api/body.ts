/** What stands in requests of more than one kind, and what is said where there is no such thing. */
import type { Response } from "express";
import { z } from "zod";
import { PSBT_BYTES_MAX } from "../../policies/bitcoin/psbt.ts";
import { sendProblem } from "./problem.ts";

/** The text of a PSBT of the largest size. */
export const PSBT_TEXT_CHARACTERS_MAX = Math.ceil(PSBT_BYTES_MAX / 3) * 4;
/** The same, and what stands around it. */
export const BODY_BYTES_MAX = PSBT_TEXT_CHARACTERS_MAX + 16 * 1024;

/** Printable ASCII without edge spaces, as the policies' own names and references. */
export const printable = (most: number) =>
  z
    .string()
    .max(most)
    .regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, "must be printable ASCII");

export function unknown(response: Response, what: string): void {
  sendProblem(response, { code: "not-found", detail: `there is no such ${what}` });
}
