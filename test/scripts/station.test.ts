/** `ballast station`, called as a person calls it: files, a software key, a device, a real node. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromHex, hex } from "../../policies/bitcoin/hash.ts";
import { signsText } from "../../policies/bitcoin/message.ts";
import { readPsbt } from "../../policies/bitcoin/psbt.ts";
import { messageKey } from "../../policies/evidence/notice.ts";
import { spendFacts } from "../../policies/facts.ts";
import { writeIntent } from "../../policies/intent.ts";
import { possessionLine, possessionText, provesPossession } from "../../policies/possession.ts";
import { composeVault, readVault } from "../../policies/vault.ts";
import { createJournal } from "../../signer/journal-file.ts";
import { identityOf } from "../../signer/station/identity.ts";
import { openPurse } from "../support/funded-spend.ts";
import { type LedgerProcess, startLedger } from "../support/ledger-process.ts";
import { SEEDS } from "../support/ledger-stand.ts";
import { describeNode, type TestNode } from "../support/node.ts";
import { lspKeyFile, proofOf, registrationOf } from "../support/signer-room.ts";
import { honest, party, type Spend, USER_VAULT } from "../support/spend.ts";

const ROOT = join(import.meta.dirname, "../..");
let folder = "";
const at = (name: string) => join(folder, name);
function save(name: string, content: unknown): string {
  writeFileSync(at(name), typeof content === "string" ? content : JSON.stringify(content));
  return at(name);
}

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Each takes a second or two, so there are few of them: the rest is in `test/station/`. */
function station(words: readonly string[], typed = ""): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const run = spawn(join(ROOT, "scripts/ballast"), ["station", ...words]);
    let out = "";
    let err = "";
    run.stdout.on("data", (part: Buffer) => {
      out += part.toString();
    });
    run.stderr.on("data", (part: Buffer) => {
      err += part.toString();
    });
    run.once("error", reject);
    run.once("close", (code) => resolve({ code, out, err }));
    run.stdin.end(typed);
  });
}

/** A station of the first user's, with files of its own; the node is where nobody listens. */
function configured(name: string, bend: Readonly<Record<string, unknown>> = {}): readonly string[] {
  const file = save(`${name}.json`, {
    format: "ballast/station@1",
    ...{ name, policy: join(ROOT, "policies/user.regtest.yaml") },
    ...{ journal: at(`${name}.db`), identity: at(`${name}.key`) },
    key: `software:${lspKeyFile(folder, "first/user")}`,
    node: { url: "http://nobody:none@127.0.0.1:1" },
    ...bend,
  });
  return ["--config", file];
}

/** The same, with the memory and the identity that `init` makes. */
function ready(name: string, bend: Readonly<Record<string, unknown>> = {}): readonly string[] {
  createJournal({ file: at(`${name}.db`), network: "regtest", role: "user" });
  save(`${name}.key`, `${"11".repeat(32)}\n`);
  return configured(name, bend);
}

/** The request as a file, with its vault. */
function requestFile(name: string, spend: Spend): string {
  return save(name, {
    format: "ballast/request@1",
    intent: writeIntent(spend.intent),
    psbt: Buffer.from(spend.bytes).toString("base64"),
    vaults: [registrationOf(USER_VAULT)],
  });
}

/** All of standard output as the one object that it must be. */
const object = ({ out }: Ran) => JSON.parse(out);

let ann: readonly string[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ballast-station-"));
  ann = configured("ann");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("ballast station", () => {
  it("says what it does", async () => {
    const { code, out } = await station(["--help"]);
    expect(code).toBe(0);
    for (const verb of ["list", "show", "sign", "refuse", "init", "prove", "register", "say"]) {
      expect(out).toMatch(new RegExp(`^ {2}${verb} `, "m"));
    }
    expect(out).toContain("Exit: 0 done, 2 wrong input, 3 refused");
  });

  it("is made once: init again changes nothing", async () => {
    const first = await station(["init", ...ann]);
    const before = readFileSync(at("ann.key"), "utf8");
    const again = await station(["init", ...ann, "--json"]);
    expect([first.code, again.code]).toEqual([0, 0]);
    const { publicKey } = object(again);
    expect(object(again)).toEqual({ name: "ann", role: "user", publicKey });
    expect(first.out).toBe(`Station ann (user on regtest) is ready; its key: ${publicKey}\n`);
    expect(publicKey).toBe(identityOf(fromHex(before.trim())).publicKey);
    expect(readFileSync(at("ann.key"), "utf8")).toBe(before);
    expect(statSync(at("ann.key")).mode & 0o777).toBe(0o600);
  });

  it("tells its account key, and proves that a vault's key is its own", async () => {
    const account = await station(["account", "vault", ...ann]);
    expect([account.code, account.out]).toEqual([0, `${USER_VAULT.parties.get("user")?.text}\n`]);
    const file = save("vault.json", USER_VAULT.vault.document);
    const proof = await station(["prove", "--vault", file, ...ann, "--json"]);
    expect([proof.code, object(proof).role]).toEqual([0, "user"]);
    expect(provesPossession(USER_VAULT.vault, "user", fromHex(object(proof).proof))).toBe(true);
  });

  it("is not opened with a configuration that has a word too many", async () => {
    const ran = await station(["list", ...configured("bad", { pin: "1234" })]);
    expect([ran.code, ran.out]).toEqual([2, ""]);
    expect(ran.err).toContain("pin");
  });

  it("says that it cannot open such a key, to people and to machines", async () => {
    const person = await station(["account", "0", ...ann, "--key", "trezor:usb"]);
    expect([person.code, person.out]).toEqual([4, ""]);
    expect(person.err).toMatch(/^ballast: no key can be opened by "trezor:"[^\n]*\n$/);
    const machine = await station(["account", "0", ...ann, "--key", "hid", "--json"]);
    expect([machine.code, object(machine).error.code]).toEqual([4, "unsupported"]);
    expect(object(machine).error.detail).toContain("the key is no URI");
  });
});

describe("a request as a file, where no node answers", () => {
  const spend = honest({ signed: [] });

  it("is shown, held, and not signed: by a request, or a PSBT with its intent", async () => {
    const request = ["--request", requestFile("request.json", spend)];
    const bare = [
      ...["--psbt", save("spend.psbt", Buffer.from(spend.bytes).toString("base64"))],
      ...["--intent", save("intent.json", writeIntent(spend.intent))],
    ];
    const shown = await station(["show", ...ann, ...request]);
    expect([shown.code, shown.err]).toEqual([4, ""]);
    expect(shown.out).toContain("Your law says NOT YET, and would sign nothing now:");
    expect(shown.out).toContain(`You agree to ${spend.facts.spendHash}`);
    const machine = await station(["show", ...ann, ...bare, "--json"]);
    expect([machine.code, object(machine)]).toMatchObject([
      ...[4, { verdict: "held", spendHash: spend.facts.spendHash, purpose: "withdrawal" }],
    ]);
    const agreed = ["--agree", spend.facts.spendHash];
    const unsigned = await station(["sign", ...ann, ...bare, ...agreed, "--out", at("none")]);
    expect([unsigned.code, existsSync(at("none"))]).toEqual([4, false]);
    expect(unsigned.out).toContain("node");
    const taken = await station(["sign", ...ann, ...bare, ...agreed, "--out", at("ann.key")]);
    expect([taken.code, taken.out]).toEqual([2, ""]);
    expect(taken.err).toContain("ann.key is there already, and nothing is overwritten");
  });

  it("is refused, which is told to nobody", async () => {
    const words = ["refuse", ...ann, "--request", requestFile("no.json", spend), "--reason", "no"];
    const ran = await station([...words, "--json"]);
    expect([ran.code, object(ran)]).toEqual([
      ...[0, { kind: "declined", id: spend.intent.id, reason: "no", told: false }],
    ]);
  });

  it("paints nothing on the terminal", async () => {
    const file = save("paint.json", { "\u001b[2J": 1 });
    const ran = await station(["show", ...ann, "--request", file]);
    expect([ran.code, ran.out]).toEqual([4, ""]);
    expect(ran.err.trimEnd()).toMatch(
      /^ballast: not a request: [\x20-\x7e]*\\u\{1b\}\[2J[\x20-\x7e]*$/,
    );
  });
});

describe("words", () => {
  const vault = () => ["--vault", save("mine.json", registrationOf(USER_VAULT))];

  it("are signed after a yes, and heard by the station itself", async () => {
    const say = ["say", "stop", ...ann, ...vault(), "--number", "3"];
    const no = await station(say, "no\n");
    expect([no.code, no.out]).toEqual([3, expect.stringContaining("Nothing was signed.")]);
    expect(no.out).toContain("Every announced recovery of your vault stops.");
    const yes = await station([...say, "--json"], "yes\n");
    expect(yes.code).toBe(0);
    const { words, heard } = object(yes);
    expect(heard).toMatchObject({ kind: "heard", notice: "stop" });
    expect(words.text).toBe(`Ballast stop 1 regtest vault=${USER_VAULT.vault.id} no=3`);
    const key = messageKey(USER_VAULT.vault) ?? new Uint8Array();
    expect(signsText(words.text, fromHex(words.signature), key)).toBe(true);
  });

  it("with a field that stands twice are not signed", async () => {
    const key = `02${"3c".repeat(32)}`;
    const twice = ["say", "node", `node=${key}`, `node=${key}`, "--number", "1", "--yes"];
    const ran = await station([...twice, ...ann, ...vault()]);
    expect([ran.code, ran.out]).toEqual([2, ""]);
    expect(ran.err).toContain('"node" stands twice');
  });
});

describe("a station with a device", () => {
  let device: LedgerProcess;
  beforeAll(async () => {
    device = await startLedger({ seed: SEEDS.user, person: "auto" });
  });
  afterAll(() => device.stop());

  it("tells the device's account key, proves it there, and registers the vault", async () => {
    const lea = ready("lea", { key: `ledger:emulator?port=${device.port}` });
    const account = await station(["account", "0", ...lea, "--json"]);
    const lsp = party("first/lsp");
    const trustee = party("first/trustee");
    const vault = readVault(
      composeVault({
        ...{ network: "regtest", kind: "user", name: "Lea" },
        holders: [
          { role: "user", key: object(account).key },
          { role: "lsp", key: lsp.text },
          { role: "trustee", key: trustee.text },
        ],
      }),
    );
    const proof = await station(["prove", "--vault", save("lea.vault", vault.document), ...lea]);
    expect(proof.code).toBe(0);
    // What the device shows is told before it shows it; the proof is the last line.
    const line = possessionLine(possessionText(vault, "user"));
    expect(proof.out).toContain(`The device shows these words, and nothing else:\n  ${line}\n`);
    const signature = proof.out.trimEnd().split("\n").at(-1) ?? "";
    expect(signsText(line, fromHex(signature), messageKey(vault) ?? new Uint8Array())).toBe(true);
    const proofs = {
      user: signature,
      lsp: hex(proofOf(USER_VAULT, "lsp", vault)),
      trustee: hex(proofOf(USER_VAULT, "trustee", vault)),
    };
    const file = save("lea.registration", { vault: vault.document, proofs });
    const register = ["register", "--vault", file, ...lea, "--people", "lea"];
    const registered = await station([...register, "--transcript", at("lea.transcript")]);
    expect(registered).toMatchObject({ code: 0, err: "" });
    expect(registered.out).toContain("is registered here and on the device.");
    expect(readFileSync(at("lea.transcript"), "utf8").split("\n").length).toBeGreaterThan(2);
  });
});

describeNode("a request as a file, with a node", (node: TestNode) => {
  it("is shown, signed as it was seen, and not otherwise", async () => {
    const purse = openPurse(node);
    const options = { signed: [], coins: 2 } as const;
    await purse.settle(101);
    await purse.fund(options);
    await purse.settle(2);
    const spend = purse.spend(options);
    const cal = ready("cal", { node: { url: node.url, cookie: node.cookieFile } });
    const asked = [...cal, "--request", requestFile("cal.request", spend)];
    const { spendHash } = spend.facts;

    const shown = await station(["show", ...asked]);
    expect([shown.err, shown.code]).toEqual(["", 0]);
    expect(shown.out).toContain(`You agree to ${spendHash}`);
    expect(shown.out).toMatch(/Your law agrees: (\d+) rules of \1\./);

    const out = ["--out", at("cal.psbt")];
    const wrong = await station(["sign", ...asked, "--agree", "5a".repeat(32), ...out]);
    expect([wrong.code, existsSync(at("cal.psbt"))]).toEqual([4, false]);
    expect(wrong.err).toContain("the request is not the one that was shown");

    const signed = await station(["sign", ...asked, "--agree", spendHash, ...out, "--json"]);
    expect([signed.code, signed.err]).toEqual([0, ""]);
    expect(object(signed)).toMatchObject({ kind: "signed", id: spend.intent.id });
    const bytes = readFileSync(at("cal.psbt"));
    expect(object(signed).psbt).toBe(bytes.toString("base64"));
    const facts = spendFacts(readPsbt(bytes), [USER_VAULT.scripts]);
    for (const { signatures } of facts.inputs) {
      expect(signatures).toMatchObject([{ role: "user", valid: true }]);
    }
  });
});
