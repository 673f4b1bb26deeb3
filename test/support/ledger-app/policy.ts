/** A wallet policy (BIP388) as the client hands it over, and whether the app takes it. */
import { sha256 } from "@noble/hashes/sha2.js";
import { equalBytes } from "@scure/btc-signer/utils.js";
import { type Ask, type List, preimage } from "./client.ts";
import { reader } from "./reader.ts";
import { refuse, STATUS } from "./status.ts";
import { readTemplate, type Template } from "./template.ts";

export interface Policy {
  readonly id: Uint8Array;
  readonly name: string;
  /** The template's text, as it was hashed. */
  readonly text: string;
  readonly template: Template;
  readonly keys: List;
}

/** Limits of the app (2.4.6). */
const NAME_MAX = 64;
const TEMPLATE_MAX = 512;
/** Version, name, compact sizes and two hashes. */
const POLICY_MAX = 1 + 1 + NAME_MAX + 9 + 32 + 9 + 32;

/** The format in which the template is given by its hash. */
const VERSION = 2;

/** @throws StatusError 6A80 for a policy that cannot be read. */
export async function readPolicy(ask: Ask, bytes: Uint8Array): Promise<Policy> {
  const from = reader(bytes, STATUS.incorrectData);
  if (from.u8() !== VERSION) refuse(STATUS.incorrectData);
  const nameLength = from.varint();
  if (nameLength > NAME_MAX) refuse(STATUS.incorrectData);
  const name = text(from.bytes(nameLength));
  const templateLength = from.varint();
  if (templateLength > TEMPLATE_MAX) refuse(STATUS.incorrectData);
  const templateHash = from.bytes(32);
  const keys = { size: from.varint(), root: from.bytes(32) };
  const template = await preimage(ask, templateHash, { max: TEMPLATE_MAX });
  if (template.length !== templateLength || from.left > 0) refuse(STATUS.incorrectData);
  return {
    id: sha256(bytes),
    name,
    text: text(template),
    template: readTemplate(text(template)),
    keys,
  };
}

/** The policy with this id. */
export async function policyWithId(ask: Ask, id: Uint8Array): Promise<Policy> {
  const policy = await readPolicy(ask, await preimage(ask, id, { max: POLICY_MAX }));
  return equalBytes(policy.id, id) ? policy : refuse(STATUS.incorrectData);
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
