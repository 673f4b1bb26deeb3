/** A person at a station: what waits is shown one by one, and each is signed, refused or left for later. */
import { KeyError } from "../key-error.ts";
import { LedgerError } from "../ledger/ledger-error.ts";
import type { SignOutcome } from "../signer.ts";
import { plain } from "./plain.ts";
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
  /** Nothing was signed, and it may be asked again. */
  | { readonly kind: "left"; readonly id: string; readonly why: string };

/** Goes once through all that waits. */
export async function goThrough(parts: SessionParts): Promise<readonly Handled[]> {
  const { station } = parts;
  const person = plainly(parts.person);
  const { heard, refused } = await station.hear();
  if (heard > 0) person.show([`${heard} words of users are known to this station.`]);
  for (const reason of refused) person.show([`Words that this station does not take: ${reason}`]);
  await attest({ station, person });
  const requests = await station.list();
  if (requests.length === 0) person.show(["Nothing waits for you."]);
  const handled: Handled[] = [];
  for (const [i, request] of requests.entries()) {
    person.show(["", `Request ${i + 1} of ${requests.length}`, ""]);
    handled.push(await handle(parts, request));
  }
  return handled;
}

/** A transcript that is not what was said is told, and keeps nobody from what waits. */
async function attest({ station, person }: Pick<SessionParts, "station" | "person">) {
  try {
    for (const ceremony of await station.attest()) {
      const attested = `Ceremony ${ceremony} has ended, and this station has attested its transcript.`;
      person.show([attested]);
    }
  } catch (error) {
    if (!(error instanceof StationError)) throw error;
    person.show([`No transcript was attested: ${error.message}`]);
  }
}

/** Whatever others have written is shown as letters; see plain.ts. */
function plainly({ show, ask }: Person): Person {
  return { show: (lines) => show(lines.map(plain)), ask };
}

/** One request, from its look to its end. */
export async function handle(parts: SessionParts, request: StationRequest): Promise<Handled> {
  const { station, device } = parts;
  const person = plainly(parts.person);
  const left = (why: string, what = "Nothing was signed"): Handled => {
    person.show([`${what}: ${why}`]);
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
    return await decide({ station, person, device }, request, sight);
  } catch (error) {
    if (error instanceof KeyError) {
      if (error.code === "rejected") {
        person.show([error.message]);
        return { kind: "declined", id: request.id, reason: error.message };
      }
      return left(error.message);
    }
    // It may have been signed, and only not handed over.
    if (error instanceof StationError) return left(error.message, "Not done");
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
  const outcome = await approve({ station, person }, request, sight.spendHash);
  if (outcome.kind === "signed") {
    person.show(["Signed, verified and handed over."]);
    return { kind: "signed", id };
  }
  const why = outcome.violations.map(({ rule, detail }) => `${rule}: ${detail}`).join("; ");
  person.show([`Your law has changed its mind meanwhile: ${why}`]);
  return { kind: "left", id, why };
}

/** A device that does not know the vault yet is shown it first, if the person wants that now. */
async function approve(
  { station, person }: Pick<SessionParts, "station" | "person">,
  request: StationRequest,
  spendHash: string,
): Promise<SignOutcome> {
  try {
    return await station.approve(request, spendHash);
  } catch (error) {
    if (!(error instanceof LedgerError) || error.fault !== "not-registered") throw error;
    person.show(["Your device does not know this vault yet: it must register it, page by page."]);
    const said = await person.ask("Type yes to register it now: ");
    if (said.trim().toLowerCase() !== "yes" || !(await station.enrol(request))) throw error;
    person.show(["Registered. Now the spend itself:"]);
    return await station.approve(request, spendHash);
  }
}
