/** Miniscript's type system, as far as this app's fragments need it. */
import { refuse, STATUS } from "./status.ts";
import type { Script } from "./template.ts";

/**
 * The basic types: B leaves a value, V leaves none.
 * @throws StatusError 6A80 for parts that do not fit together.
 */
export function typeOf(script: Script): "B" | "V" {
  switch (script.kind) {
    case "verify":
      return typeOf(script.of) === "B" ? "V" : fail();
    case "and_v": {
      const [first, second] = script.of.map(typeOf);
      return first === "V" && second !== undefined ? second : fail();
    }
    case "or_d":
      return script.of.every((part) => typeOf(part) === "B") ? "B" : fail();
    case "or_i": {
      const [first, second] = script.of.map(typeOf);
      return first !== undefined && first === second ? first : fail();
    }
    case "andor": {
      const [first, second, third] = script.of.map(typeOf);
      return first === "B" && second !== undefined && second === third ? second : fail();
    }
    default:
      return "B";
  }
}

/** Miniscript's property `s`: nobody can satisfy it without a signature. */
export function needsSignature(script: Script): boolean {
  switch (script.kind) {
    case "pk":
    case "pkh":
    case "multi":
      return true;
    case "older":
    case "after":
    case "hash":
      return false;
    case "verify":
      return needsSignature(script.of);
    case "and_v":
      return script.of.some(needsSignature);
    case "or_d":
    case "or_i":
      return script.of.every(needsSignature);
    case "andor": {
      const [condition, then, otherwise] = script.of.map(needsSignature);
      return otherwise === true && (condition === true || then === true);
    }
  }
}

function fail(): never {
  return refuse(STATUS.incorrectData);
}
