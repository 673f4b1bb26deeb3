/** The ledger of a pool contradicts itself. It is not used further. */
export class PoolFault extends Error {
  override readonly name = "PoolFault";
  readonly code: "not-conserved" | "overflow";
  constructor(code: PoolFault["code"], detail: string) {
    super(detail);
    this.code = code;
  }
}
