/**
 * Who may ask a signer for what: a client is its certificate, and has what its role gives it and
 * nothing else. Who is not on the list gets nothing, though the same authority signed its certificate.
 */
import { z } from "zod";
import { PURPOSES, type Purpose } from "../../policies/intent.ts";

/** What a role may reach; a route that is not here is nobody's. */
const ROLES = {
  /** Asks for spends, and registers vaults. */
  orchestrator: ["sign", "requests", "accounts", "vaults", "notices", "policy", "status"],
  /** Reads what was decided, and by which law. */
  auditor: ["audit", "policy", "status"],
  /** Watches that the signer lives. */
  monitor: ["readyz", "metrics", "status"],
} as const;
export type Route = (typeof ROLES)[keyof typeof ROLES][number] | "livez" | "openapi";
export type ClientRole = keyof typeof ROLES;

export const clientSchema = z
  .strictObject({
    /** For logs; requests are kept under it. */
    name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
    /** SHA-256 of the certificate's DER, in hex: `openssl x509 -fingerprint -sha256`. */
    certificate: z.string().regex(/^[0-9a-f]{64}$/),
    role: z.enum(Object.keys(ROLES) as [ClientRole, ...ClientRole[]]),
    /** What an orchestrator may ask signatures for; the law decides in any case. */
    purposes: z.array(z.enum(PURPOSES)).default([]),
  })
  .refine(({ role, purposes }) => role === "orchestrator" || purposes.length === 0, {
    message: "only an orchestrator has purposes",
  });
export type Client = z.output<typeof clientSchema>;

export const clientsSchema = z
  .array(clientSchema)
  .max(64)
  .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, {
    message: "two clients have one name",
  })
  .refine((all) => new Set(all.map(({ certificate }) => certificate)).size === all.length, {
    message: "two clients have one certificate",
  });

export function mayReach({ role }: Client, route: Route): boolean {
  // What says no more than that a process listens, and what it could be asked, is no secret.
  if (route === "livez" || route === "openapi") return true;
  return (ROLES[role] as readonly string[]).includes(route);
}

export function mayAskFor({ purposes }: Client, purpose: Purpose): boolean {
  return purposes.includes(purpose);
}
