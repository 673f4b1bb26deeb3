/** A person at a station: what waits is shown one by one, and each is signed, refused or left for later. */
import { KeyError } from "../key-error.ts";
import { StationError, type StationRequest } from "./requests.ts";
import type { Sight } from "./sight.ts";
import type { Station } from "./station.ts";
import { tellSight } from "./words.ts";

/** The terminal, or whoever stands in for it. */
export interface Person {
  readonly show: (lines: readonly string[]) => void;
  /** The answer as it was typed; an empty one when the terminal ends. */
  readonly ask: (question: string) => Promise<string>;
}

export interface SessionParts {
  readonly station: Station;
  readonly person: Person;
  /** Whether a device asks again, on its own screen. */
  readonly device: boolean;
}

export type Handled =
  | { readonly kind: "signed"; readonly id: string }
  | { readonly kind: "declined"; readonly id: string; readonly reason: string }
  /** Nothing was signed, or nothing handed over, and it may be asked again. */
  | { readonly kind: "left"; readonly id: string; readonly why: string };

/** Goes once through all that waits. */
export async function goThrough(parts: SessionParts): Promise<readonly Handled[]> {
  const { station, person } = parts;
  const { heard, refused } = await station.hear();
  if (heard > 0) person.show([`${heard} words of users are known to this station.`]);
  for (const reason of refused) person.show([`Words that this station does not take: ${reason}`]);
  for (const ceremony of await station.attest()) {
    person.show([`Ceremony ${ceremony} has ended, and this station has attested its transcript.`]);
  }
  const requests = await station.list();
  if (requests.length === 0) person.show(["Nothing waits for you."]);
  const handled: Handled[] = [];
  for (const [i, request] of requests.entries()) {
    person.show(["", `Request ${i + 1} of ${requests.length}`, ""]);
    handled.push(await handle(parts, request));
  }
  return handled;
}

/** One request, from its look to its end. */
export async function handle(parts: SessionParts, request: StationRequest): Promise<Handled> {
  const { station, person, device } = parts;
  const left = (why: string): Handled => {
    person.show([`Nothing was signed: ${why}`]);
    return { kind: "left", id: request.id, why };
  };
  try {
    for (const { vault, reasons } of await station.meet(request)) {
      person.show([
        reasons.length === 0
          ? `Vault "${vault.document.policy.name}" (${vault.id}) is new here, and was checked and registered.`
          : `Vault ${vault.id} is not taken by your law: ${reasons.join("; ")}`,
      ]);
    }
    const sight = await station.look(request);
    person.show(tellSight(sight, { deadline: request.deadline, device }));
    return await decide(parts, request, sight);
  } catch (error) {
    if (error instanceof KeyError) {
      if (error.code === "rejected") {
        person.show([error.message]);
        return { kind: "declined", id: request.id, reason: error.message };
      }
      return left(error.message);
    }
    if (error instanceof StationError && error.code === "not-handed-over") {
      person.show([`Signed, but not handed over: ${error.message}`]);
      return { kind: "left", id: request.id, why: error.message };
    }
    if (error instanceof StationError) return left(error.message);
    throw error;
  }
}

async function decide(
  { station, person, device }: SessionParts,
  request: StationRequest,
  sight: Sight,
): Promise<Handled> {
  const { id } = request;
  const may = sight.verdict === "approved";
  const question = may
    ? "sign, no, or later? "
    : `${sight.verdict === "held" ? "It may be asked again. " : ""}no, or later? `;
  const said = (await person.ask(question)).trim().toLowerCase();
  if (said === "no") {
    const reason = (await person.ask("Why? ")).trim() || "no reason given";
    await station.decline(request, reason);
    person.show(["Refused, and told so."]);
    return { kind: "declined", id, reason };
  }
  if (said !== "sign" || !may) return { kind: "left", id, why: "left for later" };
  if (device) person.show(["Look at the device now, and compare every line."]);
  const outcome = await station.approve(request, sight.spendHash);
  if (outcome.kind === "signed") {
    person.show(["Signed, verified and handed over."]);
    return { kind: "signed", id };
  }
  const why = outcome.violations.map(({ rule, detail }) => `${rule}: ${detail}`).join("; ");
  person.show([`Your law has changed its mind meanwhile: ${why}`]);
  return { kind: "left", id, why };
}
