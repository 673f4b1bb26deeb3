import { describe, expect, it } from "vitest";
import { silentLog } from "../../orchestrator/log.ts";
import { runRoles } from "../../orchestrator/role.ts";

const LONG_MS = 60_000;

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("roles", () => {
  it("work while there is more, then rest until woken", async () => {
    let steps = 0;
    const step = async () => {
      steps += 1;
      return steps < 250 ? ("more" as const) : ("idle" as const);
    };
    const running = runRoles([{ name: "r", step }], { log: silentLog, paceMs: LONG_MS });
    await until(() => steps === 250);
    running.wake();
    await until(() => steps === 251);
    await running.stop();
    expect(steps).toBe(251);
  });

  it("that stumble do not stop the others, say why, and recover", async () => {
    let failures = 0;
    let others = 0;
    const shaky = async () => {
      failures += 1;
      if (failures === 1) throw new TypeError("no node");
      return "idle" as const;
    };
    const steady = async () => {
      others += 1;
      return "idle" as const;
    };
    const roles = [
      { name: "shaky", step: shaky },
      { name: "steady", step: steady },
    ];
    const running = runRoles(roles, { log: silentLog, paceMs: 10 });
    await until(() => others > 3);
    expect(running.faults().get("shaky")).toBe("TypeError: no node");
    // Hints do not drive a failing role.
    for (let i = 0; i < 20; i += 1) running.wake();
    expect(failures).toBe(1);
    await until(() => failures > 1);
    await until(() => running.faults().get("shaky") === null);
    await running.stop();
  });

  it("end their step before stop returns", async () => {
    let ended = false;
    const step = async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      ended = true;
      return "more" as const;
    };
    const running = runRoles([{ name: "slow", step }], { log: silentLog, paceMs: 1 });
    await running.stop();
    expect(ended).toBe(true);
  });
});
