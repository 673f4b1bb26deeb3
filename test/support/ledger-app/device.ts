/** What a command of the app works with. */
import type { Ask } from "./client.ts";
import type { Faults } from "./faults.ts";
import { isOwn, type KeyInformation, keyAt } from "./key-information.ts";
import type { Network } from "./network.ts";
import type { Policy } from "./policy.ts";
import type { Review, Show } from "./review.ts";
import type { Seed } from "./seed.ts";
import { refuse, STATUS } from "./status.ts";

export interface Device {
  readonly seed: Seed;
  readonly network: Network;
  readonly faults: Faults;
  readonly ask: Ask;
  /** Shows a review and returns when the person approved. @throws StatusError 6985 else. */
  readonly confirm: (review: Review) => Promise<void>;
  /** Shows what nobody needs to answer. */
  readonly show: Show;
}

/** A key of the policy; null when its text is not well formed. */
export function keyOf(
  { ask, network }: Device,
  policy: Policy,
  index: number,
): Promise<KeyInformation | null> {
  return keyAt(ask, { keys: policy.keys, index, versions: network.versions });
}

/** A key of a policy that was checked before. */
export async function soundKey(
  device: Device,
  policy: Policy,
  index: number,
): Promise<KeyInformation> {
  return (await keyOf(device, policy, index)) ?? refuse(STATUS.badState);
}

/** The key of the policy, if it is the device's own. */
export async function ownKey(
  device: Device,
  policy: Policy,
  index: number,
): Promise<KeyInformation | null> {
  const key = await keyOf(device, policy, index);
  return key !== null && isOwn(device.seed, key) ? key : null;
}
