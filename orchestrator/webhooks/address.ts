/** Which addresses a webhook may go to: only such as anybody on the internet has. */
import { BlockList, isIP } from "node:net";

type Range = readonly [network: string, prefix: number, what: string];

/** IANA's registry of special-purpose IPv4 addresses, multicast, and what was never given out. */
const IPV4_RANGES: readonly Range[] = [
  ["0.0.0.0", 8, "this network"],
  ["10.0.0.0", 8, "private"],
  ["100.64.0.0", 10, "carrier-grade NAT"],
  ["127.0.0.0", 8, "loopback"],
  ["169.254.0.0", 16, "link-local"],
  ["172.16.0.0", 12, "private"],
  ["192.0.0.0", 24, "protocol assignments"],
  ["192.0.2.0", 24, "documentation"],
  ["192.88.99.0", 24, "6to4 relays"],
  ["192.168.0.0", 16, "private"],
  ["198.18.0.0", 15, "benchmarks"],
  ["198.51.100.0", 24, "documentation"],
  ["203.0.113.0", 24, "documentation"],
  ["224.0.0.0", 4, "multicast"],
  ["240.0.0.0", 4, "reserved"],
];

/** What is out in the open at all: loopback, mapped, NAT64, local and multicast addresses lie outside. */
const IPV6_GLOBAL: Range = ["2000::", 3, "global unicast"];

/** Parts of it that are special, or that carry an IPv4 address in them. */
const IPV6_RANGES: readonly Range[] = [
  ["2001::", 23, "protocol assignments"],
  ["2001:db8::", 32, "documentation"],
  ["2002::", 16, "6to4"],
  ["3fff::", 20, "documentation"],
];

/** Why nothing is sent to this IP address; null: it is one of the open internet. */
export function closedAddress(address: string): string | null {
  const family = isIP(address);
  if (family === 4) return within(IPV4_RANGES, "ipv4", address);
  if (family !== 6) return "no IP address";
  // A zone names an interface of this machine.
  if (address.includes("%")) return "zoned";
  if (within([IPV6_GLOBAL], "ipv6", address) === null) return "not global";
  return within(IPV6_RANGES, "ipv6", address);
}

function within(ranges: readonly Range[], family: "ipv4" | "ipv6", address: string): string | null {
  for (const [network, prefix, what] of ranges) {
    const list = new BlockList();
    list.addSubnet(network, prefix, family);
    if (list.check(address, family)) return what;
  }
  return null;
}
