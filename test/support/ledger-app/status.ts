/** What the app answers with: ISO 7816 status words, and the detail that stands before some. */

/** The status words of Ledger's Bitcoin app 2.4.6 that this one uses. */
export const STATUS = {
  ok: 0x9000,
  interrupted: 0xe000,
  denied: 0x6985,
  incorrectData: 0x6a80,
  notSupported: 0x6a82,
  wrongParameters: 0x6a86,
  wrongLength: 0x6a87,
  unknownInstruction: 0x6d00,
  unknownClass: 0x6e00,
  badState: 0xb007,
  badSignature: 0xb008,
  locked: 0x5515,
} as const;

type Status = (typeof STATUS)[keyof typeof STATUS];

/** Error details of REGISTER_WALLET; two bytes, sent directly before the status word. */
export const REGISTER_DETAIL = { name: 0, notSane: 1, noOwnKey: 2 } as const;

/** Error details of SIGN_PSBT. */
export const SIGN_DETAIL = {
  missingHmac: 0,
  nameOnDefault: 1,
  noOwnKey: 2,
  noUtxo: 3,
  previousTransaction: 4,
  utxoMismatch: 5,
  missingWitnessUtxo: 7,
  sighashSingle: 8,
  changeOutputs: 9,
  ownKeys: 12,
} as const;

/** The command ends with this status word; `detail` is the error detail, where the app gives one. */
export class StatusError extends Error {
  readonly status: Status;
  readonly detail: number | null;
  constructor(status: Status, detail: number | null = null) {
    super(`status ${status.toString(16)}${detail === null ? "" : ` detail ${detail}`}`);
    this.name = "StatusError";
    this.status = status;
    this.detail = detail;
  }
}

export function refuse(status: Status, detail: number | null = null): never {
  throw new StatusError(status, detail);
}

/** The bytes of an answer: data, then the status word. */
export function answer(data: Uint8Array, status: Status): Uint8Array {
  return Uint8Array.from([...data, status >> 8, status & 0xff]);
}

export function answerError({ status, detail }: StatusError): Uint8Array {
  const bytes = detail === null ? [] : [detail >> 8, detail & 0xff];
  return answer(Uint8Array.from(bytes), status);
}
