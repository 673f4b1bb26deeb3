import { describePsbtVectors } from "../support/vectors.ts";

describePsbtVectors("BIP373: MuSig2 fields", "bip373.json");
