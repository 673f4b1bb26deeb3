import { describe, it } from "vitest";

/** A real part of the system (a node, a token) that a test needs and a machine may lack. */
export interface RealPart {
  /** What a person calls it: "bitcoind", "SoftHSM". */
  readonly name: string;
  /** Why it cannot be used here and what to do about it, or null where it is present. */
  readonly missing: string | null;
}

/**
 * `describe` for tests that need a real part. Where the part is missing, the suite is skipped by
 * name with the reason, and nothing of `body` runs. Under CI the same absence is one failing test,
 * because a build that quietly skipped its evidence would look like one that had it.
 */
export function describeReal(part: RealPart, title: string, body: () => void): void {
  if (part.missing === null) {
    describe(title, body);
    return;
  }
  const reason = part.missing;
  if (runsInCi(process.env)) {
    describe(title, () => {
      it(`needs ${part.name}`, () => {
        throw new Error(`${part.name} is required under CI: ${reason}`);
      });
    });
    return;
  }
  describe(title, () => {
    const named = reason.includes(part.name) ? reason : `${part.name}: ${reason}`;
    it.skip(`skipped: ${named}`);
  });
}

/** CI services set CI to "true" or "1"; "false", "0" and empty are a person saying no. */
function runsInCi(env: { readonly [name: string]: string | undefined }): boolean {
  const value = (env["CI"] ?? "").toLowerCase();
  return value !== "" && value !== "false" && value !== "0";
}
