/**
 * What a receiver knows a webhook by. Pulser's header signs the body alone, so that a copy of it is
 * good for ever; the second one binds event and time as well.
 */
import { createHmac } from "node:crypto";

export interface Signed {
  /** The exact body. */
  readonly body: string;
  readonly event: string;
  /** Seconds since 1970, of this attempt. */
  readonly at: bigint;
}

export function signatureHeaders(secret: string, { body, event, at }: Signed) {
  return {
    "x-webhook-id": event,
    "x-webhook-timestamp": String(at),
    "x-webhook-signature": bodySignature(secret, body),
    // No body begins like this, so neither signature is ever the other.
    "x-webhook-signature-2": bodySignature(secret, `2.${event}.${at}.${body}`),
  };
}

/** Pulser's `X-Webhook-Signature` (seeds.md 4.8). */
export function bodySignature(secret: string, body: string): string {
  return `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
}
