/**
 * What the sealed custody in JavaScript does with a key, by itself: a Buffer with the secret, signed
 * with, and zeroised. One line on stdin, `SIGNATURES SECRET-HEX`; "done" when it may be looked at.
 */
import { createInterface } from "node:readline";
import { signSchnorr } from "tiny-secp256k1";

createInterface({ input: process.stdin }).once("line", (line) => {
  const [signatures, secretHex] = line.split(" ");
  // Of its own memory, not of Node's pool, so that zeroising it is all there is to do.
  const secret = Buffer.alloc(32);
  secret.write(secretHex ?? "", "hex");
  for (let i = 0; i < Number(signatures); i += 1) {
    signSchnorr(Uint8Array.of(i, ...new Uint8Array(31)), secret, new Uint8Array(32));
  }
  secret.fill(0);
  process.stdout.write("done\n");
  setInterval(() => undefined, 1000);
});
