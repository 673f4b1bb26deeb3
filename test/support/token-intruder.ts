/** What a person with the PIN and other tools does to a token: the signer must notice it. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import pkcs11 from "pkcs11js";
import { findSoftHsm } from "../../signer/pkcs11/softhsm.ts";

const [act, pinFile] = process.argv.slice(2);
const lib = new pkcs11.PKCS11();
lib.load(findSoftHsm() ?? "");
lib.C_Initialize({ flags: 2 });
const slot = lib.C_GetSlotList(true)[0] ?? Buffer.alloc(0);
const session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
lib.C_Login(session, pkcs11.CKU_USER, readFileSync(pinFile ?? "", "utf8").trim());

const base = [
  { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
  { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
  { type: pkcs11.CKA_LABEL, value: "kek" },
  { type: pkcs11.CKA_TOKEN, value: true },
  { type: pkcs11.CKA_PRIVATE, value: true },
  { type: pkcs11.CKA_SENSITIVE, value: true },
  { type: pkcs11.CKA_MODIFIABLE, value: false },
  { type: pkcs11.CKA_WRAP, value: false },
  { type: pkcs11.CKA_UNWRAP, value: false },
  { type: pkcs11.CKA_ENCRYPT, value: true },
  { type: pkcs11.CKA_DECRYPT, value: true },
];

function generate(extractable: boolean): void {
  lib.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
    ...base,
    { type: pkcs11.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11.CKA_EXTRACTABLE, value: extractable },
  ]);
}

/** The probe key of mode native, as SoftHSM makes it for anybody who asks without the proxy. */
const pair = {
  label: Buffer.from("kek.regtest.probe"),
  id: randomBytes(16),
  curve: Buffer.from("06052b8104000a", "hex"),
};
const privateHalf = [
  { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PRIVATE_KEY },
  { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_EC },
  { type: pkcs11.CKA_LABEL, value: pair.label },
  { type: pkcs11.CKA_ID, value: pair.id },
  { type: pkcs11.CKA_TOKEN, value: true },
  { type: pkcs11.CKA_PRIVATE, value: true },
  { type: pkcs11.CKA_SENSITIVE, value: true },
  { type: pkcs11.CKA_MODIFIABLE, value: false },
  { type: pkcs11.CKA_SIGN, value: true },
  { type: pkcs11.CKA_DECRYPT, value: false },
  { type: pkcs11.CKA_UNWRAP, value: false },
  { type: pkcs11.CKA_DERIVE, value: false },
];

switch (act) {
  case "extractable-pair":
    lib.C_GenerateKeyPair(
      session,
      { mechanism: pkcs11.CKM_EC_KEY_PAIR_GEN },
      [
        { type: pkcs11.CKA_EC_PARAMS, value: pair.curve },
        { type: pkcs11.CKA_LABEL, value: pair.label },
        { type: pkcs11.CKA_ID, value: pair.id },
        { type: pkcs11.CKA_TOKEN, value: true },
      ],
      [...privateHalf, { type: pkcs11.CKA_EXTRACTABLE, value: true }],
    );
    break;
  case "imported-pair":
    lib.C_CreateObject(session, [
      ...privateHalf,
      { type: pkcs11.CKA_EXTRACTABLE, value: false },
      { type: pkcs11.CKA_EC_PARAMS, value: pair.curve },
      { type: pkcs11.CKA_VALUE, value: randomBytes(32) },
    ]);
    break;
  case "extractable-key":
    generate(true);
    break;
  case "second-key":
    generate(false);
    break;
  case "imported-key":
    lib.C_CreateObject(session, [
      ...base,
      { type: pkcs11.CKA_EXTRACTABLE, value: false },
      { type: pkcs11.CKA_VALUE, value: randomBytes(32) },
    ]);
    break;
  case "destroy-keys":
    lib.C_FindObjectsInit(session, [{ type: pkcs11.CKA_LABEL, value: "kek" }]);
    for (const key of lib.C_FindObjects(session, 10)) lib.C_DestroyObject(session, key);
    break;
  default:
    throw new Error(`unknown act ${act}`);
}
