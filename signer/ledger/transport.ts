/**
 * The wire to a device: one command, one answer. Whatever breaks it is a `LedgerError`, and never a
 * refusal: only the device itself, by its status word, says that a person refused.
 */
export interface Transport {
  /** The whole answer, status word included. One at a time; it waits as long as a person takes. */
  readonly exchange: (apdu: Uint8Array) => Promise<Uint8Array>;
  /** Frees the device for others; what waits is rejected. */
  readonly close: () => Promise<void>;
}
