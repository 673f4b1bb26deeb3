/** A bent spend put to a whole guard, with the policy, vault, history and chain that it was built on. */
import { IntentError, readIntent } from "../../policies/intent.ts";
import type { CurvePool } from "../../signer/curve.ts";
import { BitcoindError } from "../../signer/node/bitcoind-error.ts";
import type { SignOutcome, SignRequest } from "../../signer/signer.ts";
import { openRoom, requestOf, type SignerRoom } from "./signer-room.ts";
import { recipient, type Spend } from "./spend.ts";

export interface BentRequest {
  readonly folder: string;
  readonly curve: CurvePool;
  readonly spend: Spend;
}

export async function askBent({
  folder,
  curve,
  spend,
}: BentRequest): Promise<{ readonly room: SignerRoom; readonly outcome: SignOutcome }> {
  const { policy, vault, parties, history, chain } = spend.case;
  const room = await openRoom({
    folder,
    curve,
    bend: (parts) => ({
      ...parts,
      policy,
      vaults: { ...parts.vaults, byId: (id) => parties.find((party) => party.id === id) ?? vault },
      journal: {
        ...parts.journal,
        claimSoon: (request, decide) => parts.journal.claimSoon(request, () => decide(history)),
      },
      chain: {
        close: () => undefined,
        view: async () => {
          if (chain === null) throw new BitcoindError("unreachable", "the node is gone");
          return chain;
        },
      },
    }),
  });
  return { room, outcome: await room.signer.sign(asFarAsWritable(spend)) };
}

/** Rows that the journal holds, as the attacker would like to change them. */
export function traces({ journal }: Pick<SignerRoom, "journal">): Readonly<Record<string, number>> {
  const tables = ["claims", "charges", "outpoints", "signatures", "answers"];
  return Object.fromEntries(
    tables.map((table) => {
      const sql = `SELECT count(*) AS n FROM ${table}`;
      return [table, Number(journal.database.prepare<[], { n: bigint }>(sql).get()?.n)];
    }),
  );
}

/** An intent whose outputs have no address cannot travel: another honest payment stands in for it. */
function asFarAsWritable(spend: Spend): SignRequest {
  const outputs = spend.intent.outputs.map((output) => ({ ...output, script: recipient(9) }));
  for (const intent of [spend.intent, { ...spend.intent, outputs }]) {
    try {
      const request = requestOf({ ...spend, intent });
      readIntent(request.intent);
      return request;
    } catch (error) {
      if (!(error instanceof IntentError)) throw error;
    }
  }
  return requestOf({ ...spend, intent: { ...spend.intent, outputs: [] } });
}
