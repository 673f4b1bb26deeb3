/**
 * Where a webhook may go. A URL is judged when it is brought, again before each attempt, and the
 * address behind its name when the connection is made: a name may point elsewhere by then.
 */
import { lookup as systemLookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { closedAddress } from "./address.ts";

export interface Allowances {
  /** Plain HTTP, every port and every address. For a test, or receivers of one's own network. */
  readonly allowPrivate: boolean;
  /** Hosts to which the same applies, as they stand in URLs: `hooks.internal`. */
  readonly hosts: readonly string[];
  readonly ports: readonly number[];
}

/** Those of HTTPS: a webhook is no way to speak to other services. */
export const USUAL_PORTS: readonly number[] = [443, 8443];
/** Where nothing else is configured. */
export const STRICT: Allowances = { allowPrivate: false, hosts: [], ports: USUAL_PORTS };
export const URL_CHARACTERS_MAX = 500;

/** What speaks against a URL; empty: nothing does. */
export function objectionsTo(text: string, allowed: Allowances): readonly string[] {
  if (text.length > URL_CHARACTERS_MAX) return [`is longer than ${URL_CHARACTERS_MAX} characters`];
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null) return ["is no URL"];
  // In its own form there is one reading of it: no 0x7f.1, no tabs, no backslashes, no user names.
  const plain = url.href === text && url.username === "" && url.password === "" && url.hash === "";
  const objections = plain ? [] : [`is not in its plain form, which would be ${plainForm(url)}`];
  const open = isOpen(url.hostname, allowed);
  const schemes = open ? ["https:", "http:"] : ["https:"];
  if (!schemes.includes(url.protocol)) objections.push("must begin with https:");
  if (open) return objections;
  if (!allowed.ports.includes(portOf(url))) objections.push(`has port ${portOf(url)}`);
  const closed =
    isIP(bare(url.hostname)) === 0 ? closedName(url) : closedAddress(bare(url.hostname));
  if (closed !== null) objections.push(`has an address that is not open: ${closed}`);
  return objections;
}

/** Resolves as the system does, and fails where one of the addresses is not open. */
export function openLookup(
  hostname: string,
  allowed: Allowances,
  lookup: typeof systemLookup = systemLookup,
): LookupFunction {
  if (isOpen(hostname, allowed)) return lookup as LookupFunction;
  return (name, options, callback) => {
    lookup(name, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, "", 0);
      const [first] = addresses;
      const closed = addresses.map(({ address }) => closedAddress(address)).find((why) => why);
      if (first === undefined || closed !== undefined) {
        return callback(new ClosedAddressError(closed ?? "none"), "", 0);
      }
      if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

/** The name resolves to something that nobody on the internet has. */
export class ClosedAddressError extends Error {
  override readonly name = "ClosedAddressError";
  readonly code = "closed-address";
  constructor(what: string) {
    super(`the name has an address that is not open: ${what}`);
  }
}

function isOpen(hostname: string, { allowPrivate, hosts }: Allowances): boolean {
  return allowPrivate || hosts.includes(hostname);
}

/** Names without a dot, and those that never leave a machine or a network. */
function closedName({ hostname }: URL): string | null {
  const name = hostname.replace(/\.$/, "");
  const local = !name.includes(".") || /\.(?:localhost|local|internal|home\.arpa)$/.test(name);
  return local ? "local name" : null;
}

function portOf({ port, protocol }: URL): number {
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}

const bare = (hostname: string) => hostname.replace(/^\[|\]$/g, "");

/** Never with a password in it: it goes into answers. */
function plainForm(url: URL): string {
  const plain = new URL(url);
  plain.username = "";
  plain.password = "";
  plain.hash = "";
  return plain.href;
}
