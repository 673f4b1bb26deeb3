/** One entry of a policy's list of keys: where the key comes from, and its extended public key. */
import { HDKey } from "@scure/bip32";
import { type Ask, element, type List } from "./client.ts";
import type { Versions } from "./network.ts";
import { HARDENED, type Seed } from "./seed.ts";

export interface KeyInformation {
  readonly text: string;
  readonly origin: { readonly fingerprint: number; readonly path: readonly number[] } | null;
  readonly xpub: HDKey;
}

/** Origin and xpub, at most; the app's limit. */
const TEXT_MAX = 46 + 113;

const FORM = /^(?:\[([0-9a-f]{8})((?:\/[0-9]{1,10}'?){0,8})\])?([1-9A-HJ-NP-Za-km-z]{111,112})$/;

/** Asked again and again in one session, so remembered: reading a point is the costly part. */
const known = new Map<string, KeyInformation | null>();

/** The key at a place of the list, proved by the client; null when its text is not well formed. */
export async function keyAt(
  ask: Ask,
  {
    keys,
    index,
    versions,
  }: { readonly keys: List; readonly index: number; readonly versions: Versions },
): Promise<KeyInformation | null> {
  const text = Buffer.from(await element(ask, keys, { index, max: TEXT_MAX })).toString("latin1");
  const name = `${versions.public} ${text}`;
  const found = known.get(name);
  if (found !== undefined) return found;
  const key = readKeyInformation(text, versions);
  known.set(name, key);
  return key;
}

function readKeyInformation(text: string, versions: Versions): KeyInformation | null {
  const [, fingerprint, steps = "", xpub] = FORM.exec(text) ?? [];
  if (xpub === undefined) return null;
  const path = steps
    .split("/")
    .slice(1)
    .map((step) => Number.parseInt(step, 10) + (step.endsWith("'") ? HARDENED : 0));
  if (path.some((step) => step % HARDENED !== Number(step % HARDENED) || step >= 2 * HARDENED)) {
    return null;
  }
  try {
    return {
      text,
      origin:
        fingerprint === undefined ? null : { fingerprint: Number.parseInt(fingerprint, 16), path },
      xpub: HDKey.fromExtendedKey(xpub, versions),
    };
  } catch {
    return null;
  }
}

/** The device's own key: by the fingerprint, and by every byte of the extended key. */
export function isOwn(seed: Seed, key: KeyInformation): boolean {
  return (
    key.origin !== null &&
    key.origin.fingerprint === seed.fingerprint &&
    seed.at(key.origin.path).publicExtendedKey === key.xpub.publicExtendedKey
  );
}
