import { findSoftHsm } from "../../signer/pkcs11/softhsm.ts";
import type { RealPart } from "./real-part.ts";

export const SOFTHSM: RealPart = {
  name: "SoftHSM",
  missing: findSoftHsm() === null ? "install softhsm2 or set SOFTHSM2_MODULE" : null,
};
