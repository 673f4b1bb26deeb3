import { describePsbtVectors } from "../support/vectors.ts";

describePsbtVectors("BIP174: PSBT v0", "bip174.json");
