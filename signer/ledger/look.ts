/** What a person is told before their device shows something: what they will see there. */
import type { PolicyPreview } from "./wallet-policy.ts";

export type LookNotice =
  /** Compare name, each amount, each whole address and the fee with the request. */
  | { readonly at: "spend"; readonly name: string; readonly txid: string }
  | { readonly at: "registration"; readonly name: string; readonly preview: PolicyPreview }
  /** Compare with what others have of you: the device shows path and key. */
  | { readonly at: "account"; readonly path: string; readonly xpub: string }
  /** `shown` is how the device writes `address`: on test networks always `tb1…`. */
  | { readonly at: "address"; readonly shown: string; readonly address: string }
  | { readonly at: "message"; readonly text: string };
