/**
 * The bends of the rules that only other purposes than a plain withdrawal meet: an honest spend of
 * the purpose with one thing bent, up to the bound and beyond it.
 */
import { fromHex } from "../../policies/bitcoin/hash.ts";
import { fixedHash } from "../../policies/claim.ts";
import type { PolicyDocument } from "../../policies/document/policy.ts";
import type { RuleId } from "../../policies/rules.ts";
import { CHANGE, RECEIVE } from "../../policies/vault.ts";
import {
  approvals,
  funding,
  GUARDIANS,
  mandate,
  notice,
  operation,
  PEOPLE,
  PRICES,
  psbtText,
  signatory,
  type statement,
  votes,
} from "../support/proofs.ts";
import {
  cancel,
  channelOpen,
  collect,
  collectBatch,
  consolidation,
  escrowIn,
  escrowOut,
  type Knobs,
  LAW,
  margin,
  OWN_COIN,
  proofOfReserves,
  recoveryLspGone,
  recoveryUserLost,
  refresh,
  topUp,
  withdrawal,
} from "../support/purposes.ts";
import {
  EXIT_VAULT,
  HEIGHT,
  honest,
  NOW,
  OTHER_VAULT,
  type SpendOptions,
  TREASURY,
  testVault,
  USER_VAULT,
} from "../support/spend.ts";
import type { BentSpend } from "./bends.ts";

const USER = USER_VAULT.vault.id;
const STRANGE_TREASURY = testVault({ seed: "strange house", kind: "treasury" });

/** What the honest collect takes: 300,000 sat and the fee. */
const COLLECTED = 301_800;

export const purposeBends = {
  "one-policy-a-device": [
    {
      what: "coins of two vaults before a device",
      brink: collect({ law: device() }),
      beyond: collectBatch({ law: device() }),
    },
    {
      what: "nine outputs before a device",
      brink: paying(7),
      beyond: paying(8),
    },
  ],
  "purpose-signers": [
    {
      what: "a trustee asked for a channel",
      beyond: channelOpen({ law: { ...LAW, role: "trustee" } }),
    },
    {
      what: "an LSP asked for what only its absence allows",
      beyond: recoveryLspGone({ law: LAW }),
    },
    {
      what: "a user asked to take from the house",
      beyond: topUp({ law: { ...LAW, role: "user" } }),
      also: ["vault-registered"],
    },
  ],
  "house-vaults-known": [
    {
      what: "a treasury that only looks alike",
      brink: margin(),
      beyond: margin({ spend: { from: STRANGE_TREASURY } }),
    },
    {
      what: "a policy that names another treasury",
      beyond: margin({
        law: { ...LAW, house: { ...LAW.house, treasury: OTHER_VAULT.vault.id } },
      }),
    },
  ],
  "bump-keeps-outputs": [
    {
      what: "a bump that pays the fee from the payment",
      brink: bumped("same"),
      beyond: bumped("other"),
    },
  ],
  "approvals-valid": [
    {
      what: "an approval of another transaction",
      brink: approved((spend) => approvals(spend, PEOPLE.slice(0, 1))),
      beyond: approved((spend) =>
        approvals({ ...spend, spendHash: "00".repeat(32) }, PEOPLE.slice(0, 1)),
      ),
    },
    {
      what: "an approval of another intent",
      beyond: approved((spend) =>
        approvals({ ...spend, intent: "00".repeat(32) }, PEOPLE.slice(0, 1)),
      ),
    },
    {
      what: "an approval under another policy",
      beyond: approved((spend) =>
        approvals({ ...spend, policy: "00".repeat(32) }, PEOPLE.slice(0, 1)),
      ),
    },
    {
      what: "an approval on another network",
      beyond: approved((spend) => approvals({ ...spend, network: "bitcoin" }, PEOPLE.slice(0, 1))),
    },
    {
      what: "an approval that has ended",
      brink: approved((spend) => approvals(spend, PEOPLE.slice(0, 1), { until: HEIGHT })),
      beyond: approved((spend) => approvals(spend, PEOPLE.slice(0, 1), { until: HEIGHT - 1 })),
    },
    {
      what: "one person twice",
      beyond: approved((spend) =>
        [PEOPLE[0], PEOPLE[0]].flatMap((person) =>
          person === undefined ? [] : approvals(spend, [person]),
        ),
      ),
    },
    {
      what: "somebody whom the policy does not name",
      beyond: approved((spend) => approvals(spend, [signatory("mallory")])),
    },
    {
      what: "the proposer's own approval",
      brink: approved((spend) => approvals(spend, PEOPLE.slice(0, 1)), { proposer: "bert" }),
      beyond: approved((spend) => approvals(spend, PEOPLE.slice(0, 1)), { proposer: "anna" }),
    },
    {
      what: "a rule that nobody may lift",
      brink: approved((spend) => approvals(spend, PEOPLE.slice(0, 1), { lifts: ["spend-limit"] })),
      beyond: approved((spend) =>
        approvals(spend, PEOPLE.slice(0, 1), { lifts: ["user-signs-first"] }),
      ),
    },
    {
      what: "an approval whose expiry was changed afterwards",
      beyond: approved((spend) =>
        approvals(spend, PEOPLE.slice(0, 1), { until: HEIGHT }).map((approval) => ({
          ...approval,
          until: HEIGHT + 1_000,
        })),
      ),
    },
  ],
  "approvals-enough": [
    {
      what: "an amount above the first tier without anybody",
      brink: tiers([{ above_sats: 2_000_000, people: 1 }], 0),
      beyond: tiers([{ above_sats: 1_999_999, people: 1 }], 0),
    },
    {
      what: "an amount above the second tier with one person",
      brink: tiers(
        [
          { above_sats: 1_000_000, people: 1 },
          { above_sats: 1_500_000, people: 2 },
        ],
        2,
      ),
      beyond: tiers(
        [
          { above_sats: 1_500_000, people: 2 },
          { above_sats: 1_000_000, people: 1 },
        ],
        1,
      ),
    },
  ],
  "mandate-live": [
    { what: "no mandate at all", beyond: collect({ notices: [] }) },
    { what: "no mandate of a vault that is topped up", beyond: topUp({ notices: [] }) },
    {
      what: "a mandate of another user",
      beyond: collect({ notices: [mandate(OTHER_VAULT)] }),
    },
    {
      what: "a mandate that has ended",
      brink: collect({ notices: [mandate(USER_VAULT, { until: HEIGHT })] }),
      beyond: collect({ notices: [mandate(USER_VAULT, { until: HEIGHT - 1 })] }),
    },
    {
      what: "a mandate that reaches too far ahead of when it was heard",
      brink: collect({ notices: [mandate(USER_VAULT, { until: 26_900 }, 900)] }),
      beyond: collect({ notices: [mandate(USER_VAULT, { until: 26_901 }, 900)] }),
    },
    {
      what: "a mandate that was revoked",
      brink: collect({
        notices: [mandate(USER_VAULT, { no: 2 }), notice("revoke", { vault: USER, no: 1 })],
      }),
      beyond: collect({
        notices: [mandate(USER_VAULT, { no: 2 }), notice("revoke", { vault: USER, no: 2 })],
      }),
    },
    {
      what: "an older mandate beside a higher number that allows less",
      beyond: collect({
        notices: [mandate(USER_VAULT, { no: 2, may: "none" }), mandate(USER_VAULT, { no: 1 })],
      }),
    },
    {
      what: "a purpose that the mandate does not cover",
      brink: collect({ notices: [mandate(USER_VAULT, { may: "collect" })] }),
      beyond: collect({ notices: [mandate(USER_VAULT, { may: "top-up,consolidation,cancel" })] }),
    },
    {
      what: "a refresh that the mandate does not cover",
      beyond: refresh({ notices: [mandate(EXIT_VAULT, { refresh: 0 })] }),
      also: ["mandate-limits"],
    },
    {
      what: "a mandate for another treasury",
      beyond: collect({
        notices: [mandate(USER_VAULT, { treasury: STRANGE_TREASURY.vault.id })],
      }),
    },
  ],
  "mandate-limits": [
    {
      what: "sats of 30 days",
      brink: collect({ notices: [mandate(USER_VAULT, { sats30d: COLLECTED })] }),
      beyond: collect({ notices: [mandate(USER_VAULT, { sats30d: COLLECTED - 1 })] }),
    },
    {
      what: "sats of 30 days, with what left before",
      held: true,
      brink: charged(`userless ${USER}`, 1_000n, COLLECTED + 1_000),
      beyond: charged(`userless ${USER}`, 1_001n, COLLECTED + 1_000),
    },
    {
      what: "fees of 30 days",
      brink: consolidation({ notices: [mandate(USER_VAULT, { fees30d: 1_900 })] }),
      beyond: consolidation({ notices: [mandate(USER_VAULT, { fees30d: 1_899 })] }),
    },
    {
      what: "refreshes of a year",
      brink: refresh({ notices: [mandate(EXIT_VAULT, { refresh: 1 })] }),
      beyond: refresh({ notices: [mandate(EXIT_VAULT, { refresh: 0, may: "none" })] }),
      also: ["mandate-live"],
    },
  ],
  "votes-agree": [
    {
      what: "two votes where three are needed",
      beyond: collect({ votes: { prices: PRICES.slice(0, 2) } }),
    },
    {
      what: "one guardian twice",
      beyond: collect({ votes: { by: twice(GUARDIANS) } }),
    },
    {
      what: "a stranger's vote",
      beyond: collect({ votes: { by: [...GUARDIANS.slice(0, 2), signatory("mallory")] } }),
    },
    {
      what: "a vote whose price was changed afterwards",
      beyond: collect({
        evidence: (evidence) => ({
          ...evidence,
          votes: votes().map((vote) => ({ ...vote, price: "10010001" })),
        }),
      }),
      also: ["own-guardian"],
    },
    {
      what: "votes too far apart",
      brink: collect({ votes: { prices: [10_000_000n, 10_050_000n, 10_100_000n] } }),
      beyond: collect({ votes: { prices: [10_000_000n, 10_050_000n, 10_100_001n] } }),
    },
    {
      what: "votes that are too old",
      held: true,
      brink: collect({ votes: { time: NOW / 1000 - 60 } }),
      beyond: collect({ votes: { time: NOW / 1000 - 61 } }),
      also: ["own-guardian"],
    },
    {
      what: "votes from the future",
      held: true,
      brink: collect({ votes: { time: NOW / 1000 + 60 } }),
      beyond: collect({ votes: { time: NOW / 1000 + 61 } }),
      also: ["own-guardian"],
    },
    {
      what: "votes of another turn",
      beyond: collect({ votes: { index: 4_710 } }),
      also: ["own-guardian"],
    },
    {
      what: "votes of another currency",
      beyond: collect({ votes: { pool: "eur" } }),
      also: ["own-guardian"],
    },
    { what: "no turn named", beyond: collect({ cycle: null }), also: ["own-guardian"] },
    {
      what: "a withdrawal above the tier without a price",
      brink: tier({ no_proof_sats: 2_001_800 }, { votes: null, statement: null }),
      beyond: tier({ no_proof_sats: 2_001_799 }, { votes: null, statement: null }),
      also: ["statement-signed", "account-proven"],
    },
  ],
  "statement-signed": [
    {
      what: "two guardians where three are needed",
      beyond: collect({ statement: { by: GUARDIANS.slice(0, 2) } }),
    },
    {
      what: "one guardian twice",
      beyond: collect({ statement: { by: twice(GUARDIANS) } }),
    },
    {
      what: "a stranger beside two",
      beyond: collect({
        statement: { by: [...GUARDIANS.slice(0, 2), signatory("mallory")] },
      }),
    },
    {
      what: "a sum that was changed after the root was made",
      beyond: collect({
        statement: { header: (header) => ({ ...header, idleSats: header.idleSats + 1n }) },
      }),
      also: ["account-proven"],
    },
    {
      what: "a leaf that was changed",
      beyond: leafChanged((leaf) => ({ ...leaf, hedgedCents: "199999" })),
      also: ["account-proven"],
    },
    {
      what: "a leaf with a coin more",
      beyond: leafChanged((leaf) => ({
        ...leaf,
        outpoints: [`${"00".repeat(32)}:0`, ...leaf.outpoints],
      })),
      also: ["account-proven"],
    },
    {
      what: "a statement of another network",
      beyond: collect({
        statement: { header: (header) => ({ ...header, network: "bitcoin" }) },
      }),
    },
    {
      what: "a margin without a statement",
      beyond: margin({ statement: null }),
      also: ["own-guardian"],
    },
  ],
  "statement-fresh": [
    {
      what: "a statement that is too old",
      held: true,
      brink: collect({ statement: { height: HEIGHT - 12 } }),
      beyond: collect({ statement: { height: HEIGHT - 13 } }),
    },
    {
      what: "a statement of another block of that height",
      held: true,
      beyond: collect({
        chain: (chain) => ({
          ...chain,
          blocks: new Map([...chain.blocks, [HEIGHT - 6, "0c".repeat(32)]]),
        }),
      }),
    },
    {
      what: "a block of which the node has not told",
      held: true,
      beyond: collect({ chain: (chain) => ({ ...chain, blocks: new Map() }) }),
    },
    {
      what: "a statement of a block that the node has not seen",
      held: true,
      brink: collect({ statement: { height: HEIGHT } }),
      beyond: collect({ statement: { height: HEIGHT + 1 } }),
    },
  ],
  "own-guardian": [
    {
      what: "votes of others only",
      held: true,
      brink: collect({ votes: { by: [3, 0, 1].flatMap((n) => GUARDIANS[n] ?? []) } }),
      beyond: collect({ votes: { by: GUARDIANS.slice(1) } }),
    },
    {
      what: "a statement of others only",
      held: true,
      brink: withdrawal({ statement: { by: GUARDIANS.slice(1) } }),
      beyond: collect({ statement: { by: GUARDIANS.slice(1) } }),
    },
  ],
  "account-proven": [
    {
      what: "another account's proof",
      beyond: collect({ account: { vault: OTHER_VAULT.vault.id } }),
    },
    {
      what: "a log with an entry left out",
      beyond: collect({ evidence: (evidence) => ({ ...evidence, logs: [] }) }),
    },
    {
      what: "a log with another amount",
      beyond: collect({
        evidence: ({ logs = [], ...evidence }) => ({
          ...evidence,
          logs: logs.map((log) => ({
            ...log,
            entries: log.entries.map((entry) => ({ ...entry, idleSats: "99999" })),
          })),
        }),
      }),
    },
    {
      what: "a top-up that is credited as a deposit",
      brink: crediting({ purpose: "migration" }),
      beyond: crediting({ purpose: "top-up" }),
    },
    {
      what: "what came out of escrow, credited as a deposit",
      beyond: crediting({ purpose: "escrow-out" }),
    },
    {
      what: "change that is credited as a deposit",
      beyond: crediting({ purpose: "withdrawal", gained: false }),
    },
    {
      what: "a deposit that no outpoint names",
      beyond: collect({
        account: { credited: { reference: `${"d2".repeat(32)}:00`, idleSats: 1n } },
      }),
    },
    {
      what: "a claim that is older than the one remembered",
      brink: remembering(1, null),
      beyond: remembering(2, null),
    },
  ],
  "statement-once": [
    {
      what: "a statement that was used already",
      brink: remembering(1, 29),
      beyond: remembering(1, 30),
    },
    { what: "an older statement than the last one used", beyond: remembering(1, 31) },
  ],
  "operation-authorised": [
    {
      what: "an operation of another account's key",
      beyond: locking((spend) => [
        { ...operation(OTHER_VAULT, { sats: 700_000n }), vault: spend.vault },
      ]),
    },
    {
      what: "an operation whose amount was changed",
      beyond: locking(() => [{ ...operation(USER_VAULT, { sats: 700_001n }), sats: "700000" }]),
    },
    {
      what: "an operating key within its cap",
      brink: operating({ sats: 700_000, until: HEIGHT }),
      beyond: operating({ sats: 699_999, until: HEIGHT }),
    },
    {
      what: "an operating key whose time is over",
      beyond: operating({ sats: 700_000, until: HEIGHT - 1 }),
    },
    {
      what: "an operating key that a newer one has replaced",
      beyond: operating({ sats: 700_000, until: HEIGHT }, [
        notice("delegate", {
          ...{ vault: USER, no: 2, key: signatory("other").key, sats: 1, until: HEIGHT },
        }),
      ]),
    },
    {
      what: "an operation that another intent has used",
      beyond: escrowIn({
        history: (document) => ({
          ...document,
          claims: [past({ nonces: [`operation ${USER} 1`] })],
        }),
      }),
    },
  ],
  "within-claim": [
    {
      what: "a sat more than the claim",
      brink: withdrawal({ account: { idleSats: 3_799n } }),
      beyond: withdrawal({ account: { idleSats: 3_798n } }),
    },
    {
      what: "the highest price counts",
      brink: withdrawal({
        votes: { prices: [9_990_000n, 10_000_000n, 10_000_000n] },
        account: { idleSats: 1_800n },
      }),
      beyond: withdrawal({
        votes: { prices: [9_990_000n, 10_000_000n, 10_000_001n] },
        account: { idleSats: 1_800n },
      }),
    },
    {
      what: "what was signed away since the statement",
      brink: withdrawal({ history: drew(96_201n) }),
      beyond: withdrawal({ history: drew(96_202n) }),
    },
    {
      what: "a channel beyond the claim",
      brink: channelOpen({ account: { hedgedCents: 0n, idleSats: 1_501_800n } }),
      beyond: channelOpen({ account: { hedgedCents: 0n, idleSats: 1_501_799n } }),
    },
  ],
  "collect-leaves-claim": [
    {
      what: "a sat less than the claim at the lowest price",
      brink: collect({ returned: 2_102_003n }),
      beyond: collect({ returned: 2_102_002n }),
    },
    {
      what: "one vault of a batch",
      brink: collectBatch({ returned: [2_102_003n, 2_102_003n] }),
      beyond: collectBatch({ returned: [2_102_003n, 2_102_002n] }),
    },
    {
      what: "idle sats taken for surplus",
      beyond: collect({ returned: 2_002_003n }),
    },
  ],
  "collect-credited-coins": [
    {
      what: "a coin that the statement does not list",
      beyond: collect({ account: { outpoints: [] } }),
    },
  ],
  "collect-without-deficit": [
    {
      what: "a vault that was short of its claim",
      brink: collect({ account: { deficitSince: 0 } }),
      beyond: collect({ account: { deficitSince: HEIGHT - 200 } }),
    },
  ],
  "collect-gives-nothing": [
    {
      what: "a vault that gains from the treasury",
      brink: collectBatch({ returned: [2_400_000n, 2_102_003n] }),
      beyond: collectBatch({ returned: [2_400_001n, 2_102_003n] }),
    },
  ],
  "accounts-settled": [
    {
      what: "a credited coin that is spent",
      held: true,
      beyond: collect({ coins: (coins) => new Map([...coins, [USER, []]]) }),
    },
    {
      what: "a credited coin that is in flight",
      held: true,
      beyond: topUp({
        history: (document) => ({
          ...document,
          claims: [past({ outpoints: [OWN_COIN.outpoint] })],
        }),
      }),
    },
    {
      what: "a credited coin of a payment whose other coin was spent otherwise, not deep yet",
      held: true,
      brink: deadPayment(100),
      beyond: deadPayment(99),
    },
  ],
  "vault-coins-known": [
    {
      what: "a vault that the node does not watch",
      held: true,
      beyond: topUp({ coins: () => new Map() }),
    },
  ],
  "within-deficit": [
    {
      what: "a sat more than the deficit",
      brink: topUp({ sats: 498_001n }),
      beyond: topUp({ sats: 498_002n }),
    },
    {
      what: "a coin that came later",
      brink: topUp({ sats: 497_001n, coins: laterCoin }),
      beyond: topUp({ sats: 497_002n, coins: laterCoin }),
    },
    {
      what: "a top-up that is signed and not seen yet",
      brink: topUp({ sats: 398_001n, history: comingTo("cc", 100_000n) }),
      beyond: topUp({ sats: 398_002n, history: comingTo("cc", 100_000n) }),
    },
    {
      what: "a top-up that came after the statement's block and is gone again",
      brink: topUp({ history: comingTo("cc", 100_000n), chain: buriedAt("cc", HEIGHT - 6) }),
      beyond: topUp({ history: comingTo("cc", 100_000n), chain: buriedAt("cc", HEIGHT - 5) }),
    },
    {
      what: "escrow beyond the deficit",
      brink: escrowOut({ sats: 498_001n }),
      beyond: escrowOut({ sats: 498_002n }),
    },
    {
      what: "a claim below what the vault holds",
      beyond: topUp({ account: { outpoints: [OWN_COIN.outpoint], hedgedCents: 1_000n } }),
    },
  ],
  "escrow-in-asked": [
    {
      what: "a sat more than was asked for",
      brink: escrowIn({ sats: 700_000n }),
      beyond: escrowIn({ sats: 700_001n }),
    },
    {
      what: "an operation to unlock",
      beyond: locking(() => [operation(USER_VAULT, { sats: 700_000n, do: "unlock" })]),
    },
    { what: "nobody has asked", beyond: locking(() => []) },
  ],
  "escrow-covers-pool": [
    {
      what: "less than the pool owes",
      brink: escrowOut({ account: pool(1_000_000_000n) }),
      beyond: escrowOut({ account: pool(1_000_000_001n) }),
    },
  ],
  "funding-output": [
    { what: "no keys", beyond: channel(() => undefined), also: ["purpose-fits"] },
    {
      what: "another node than the user has named",
      beyond: channel(() => funding(USER_VAULT, 1_500_000n, { user: signatory("other node") })),
    },
    {
      what: "another node than the policy names",
      beyond: channel(() => funding(USER_VAULT, 1_500_000n, { lsp: signatory("other node") })),
    },
    {
      what: "another amount",
      beyond: channel(() => funding(USER_VAULT, 1_499_999n)),
    },
    {
      what: "a key that was swapped",
      beyond: channel(() => {
        const both = funding(USER_VAULT, 1_500_000n);
        return { ...both, lsp: { ...both.lsp, key: signatory("thief").key } };
      }),
    },
    {
      what: "keys for another vault",
      beyond: channel(() => funding(OTHER_VAULT, 1_500_000n)),
    },
    {
      what: "a second payment beside the channel",
      beyond: channelOpen({
        spend: {
          payments: [
            ...(channelOpen().payments ?? []),
            { script: new Uint8Array([0, 20, ...new Uint8Array(20)]), sats: 1_000n },
          ],
        },
      }),
    },
  ],
  "channel-not-bumped": [
    {
      what: "a second funding of one channel",
      beyond: again(channelOpen, { feeSats: 3_000n }),
    },
  ],
  "recovery-announced": [
    {
      what: "no announcement",
      beyond: recoveryLspGone({ notices: [] }),
    },
    {
      what: "before the delay is over",
      held: true,
      brink: recoveryLspGone({ heard: HEIGHT - 144 }),
      beyond: recoveryLspGone({ heard: HEIGHT - 143 }),
    },
    {
      what: "a month after the delay",
      brink: recoveryUserLost({ heard: 10_000 - 8_640 }),
      beyond: recoveryUserLost({ heard: 10_000 - 8_641 }),
    },
    {
      what: "stopped by the user",
      beyond: recoveryLspGone({
        notices: [
          notice("lsp-gone", { vault: USER, no: 1 }, HEIGHT - 200),
          notice("stop", { vault: USER, no: 1 }, HEIGHT - 100),
        ],
      }),
    },
    {
      what: "a lost user: before the delay is over",
      held: true,
      brink: recoveryUserLost({ heard: 5_680 }),
      beyond: recoveryUserLost({ heard: 5_681 }),
    },
    {
      what: "a lost user who has signed since",
      brink: recoveryUserLost({ history: spoke(5_679) }),
      beyond: recoveryUserLost({ history: spoke(5_680) }),
    },
    {
      what: "a lost user who has said a word",
      beyond: recoveryUserLost({
        history: (document) => ({
          ...document,
          notices: [...document.notices, notice("stop", { vault: USER, no: 1 }, 9_000)],
        }),
      }),
    },
  ],
  "recovery-to-named-key": [
    {
      what: "no recovery key is named",
      beyond: recoveryUserLost({ mandate: { recovery: "none" } }),
    },
    {
      what: "another key than the mandate names",
      beyond: recoveryUserLost({ mandate: { recovery: "00".repeat(20) } }),
    },
    {
      what: "a mandate that was revoked",
      beyond: recoveryUserLost({
        history: (document) => ({
          ...document,
          notices: [...document.notices, notice("revoke", { vault: USER, no: 1 }, 200)],
        }),
      }),
    },
  ],
  "refresh-due": [
    {
      what: "a block too early",
      held: true,
      brink: refresh({ age: 15_768 }),
      beyond: refresh({ age: 15_767 }),
    },
    {
      what: "a vault without an exit",
      beyond: {
        ...consolidation({
          notices: [mandate(USER_VAULT)],
          spend: { coins: 1, change: 1_000_000n },
        }),
        purpose: "refresh",
      },
    },
  ],
  "consolidation-worth": [
    {
      what: "four coins",
      brink: consolidation({ spend: { coins: 5 } }),
      beyond: consolidation({ spend: { coins: 4 } }),
    },
    {
      what: "a fee rate of a millisat too many",
      brink: consolidation({ law: cheap(2.691) }),
      beyond: consolidation({ law: cheap(2.69) }),
    },
  ],
  "cancel-takes-back": [
    {
      what: "a coin that the original does not spend",
      beyond: cancel({
        spend: {
          coins: [
            { branch: RECEIVE, index: 0, sats: 2_404_103n },
            { branch: RECEIVE, index: 5, sats: 10_000n },
          ],
        },
      }),
    },
    {
      what: "the original of another intent",
      beyond: cancel({
        evidence: (evidence) => ({
          ...evidence,
          original: psbtText(honest(collect({ returned: 2_110_000n })).psbt),
        }),
      }),
    },
    {
      what: "the anchor is left out",
      brink: cancelOf(0),
      beyond: cancelOf(1),
    },
  ],
  "cancelled-for-good": [
    {
      what: "asked again after a cancel",
      beyond: {
        ...withdrawal({
          history: (document, draft) => ({
            ...document,
            claims: [
              past({
                nonces: [`cancel ${honest(withdrawal()).intent.id}`],
                outpoints: [`${"0c".repeat(32)}:${draft.tx.version}`],
              }),
            ],
          }),
        }),
      },
    },
  ],
  "reserves-never-final": [
    {
      what: "a sat less comes back",
      beyond: proofOfReserves({ spend: { change: 2_999_999n } }),
    },
    {
      what: "the coin that cannot exist holds something",
      beyond: proofOfReserves({
        spend: {
          coins: [
            { branch: RECEIVE, index: 0, sats: 1n },
            { branch: RECEIVE, index: 1, sats: 2_999_999n },
          ],
        },
      }),
    },
    {
      what: "nothing is shown",
      beyond: proofOfReserves({
        spend: { coins: [{ branch: RECEIVE, index: 0, sats: 0n }], change: 0n },
      }),
      also: ["no-dust"],
    },
    {
      what: "somebody is paid",
      beyond: proofOfReserves({
        spend: {
          payments: [{ script: fromHex(`0014${"11".repeat(20)}`), sats: 1_000n }],
          change: 2_999_000n,
        },
      }),
      also: ["spend-limit"],
    },
  ],
} satisfies Partial<Record<RuleId, readonly BentSpend[]>>;

function device(): PolicyDocument {
  return { ...LAW, transaction: { ...LAW.transaction, one_policy: true } };
}

/** A withdrawal with so many payees and change, before a device. */
function paying(payees: number): SpendOptions {
  const payments = Array.from({ length: payees }, (_, i) => ({
    script: fromHex(`0014${String(i).padStart(2, "0").repeat(20)}`),
    sats: 10_000n,
  }));
  return withdrawal({ law: device(), votes: null, statement: null, spend: { payments } });
}

function approved(
  by: (spend: Parameters<typeof approvals>[0]) => ReturnType<typeof approvals>,
  part: { readonly proposer?: string } = {},
): SpendOptions {
  return withdrawal({
    intent: (content) => ({ ...content, ...part }),
    evidence: (evidence, spend) => ({ ...evidence, approvals: by(spend) }),
  });
}

function tiers(list: { above_sats: number; people: number }[], people: number): SpendOptions {
  return tier(
    { approvals: list },
    {
      evidence: (evidence, spend) => ({
        ...evidence,
        approvals: approvals(spend, PEOPLE.slice(0, people)),
      }),
    },
  );
}

/** A withdrawal whose limits are others. */
function tier(
  part: Partial<(typeof LAW)["purposes"]["withdrawal"]> & {
    approvals?: { above_sats: number; people: number }[];
  },
  knobs: Knobs,
): SpendOptions {
  const limits = { ...LAW.purposes.withdrawal, ...part };
  return withdrawal({
    law: { ...LAW, purposes: { ...LAW.purposes, withdrawal: limits } },
    ...knobs,
  });
}

function cheap(rate: number): PolicyDocument {
  const limits = { ...LAW.purposes.consolidation, sat_per_vbyte_max: rate };
  return { ...LAW, purposes: { ...LAW.purposes, consolidation: limits } };
}

/** Something else that was signed before. */
function past(part: Partial<Claims[number]>): Claims[number] {
  return {
    intent: "ef".repeat(32),
    purpose: "withdrawal",
    vault: OTHER_VAULT.vault.id,
    txid: "12".repeat(32),
    anchor: `${"cd".repeat(32)}:0`,
    outpoints: [`${"cd".repeat(32)}:0`],
    charges: [],
    places: [],
    userSigned: true,
    fixed: "",
    nonces: [],
    at: NOW - 3_600_000,
    height: HEIGHT - 6,
    ...part,
  };
}

type History = Parameters<NonNullable<Knobs["history"]>>[0];
type Claims = History["claims"];

function charged(account: string, sats: bigint, cap: number): SpendOptions {
  return collect({
    notices: [mandate(USER_VAULT, { sats30d: cap })],
    history: (document) => ({
      ...document,
      claims: [past({ charges: [{ account, sats }] })],
    }),
  });
}

function drew(sats: bigint): NonNullable<Knobs["history"]> {
  return (document) => ({
    ...document,
    claims: [past({ vault: USER, charges: [{ account: `drawn ${USER}`, sats }] })],
  });
}

function comingTo(txid: string, sats: bigint): NonNullable<Knobs["history"]> {
  const outpoint = `${txid.repeat(32)}:0`;
  return (document) => ({
    ...document,
    claims: [
      past({
        purpose: "top-up",
        vault: TREASURY.vault.id,
        places: [{ outpoint, vault: USER, index: 0, sats, gained: true }],
      }),
    ],
  });
}

/** The node has the transaction in the block of this height. */
function buriedAt(txid: string, height: number): NonNullable<Knobs["chain"]> {
  return (chain) => ({
    ...chain,
    burials: new Map([[txid.repeat(32), { depth: chain.height - height + 1, spends: [] }]]),
  });
}

function laterCoin(coins: Parameters<NonNullable<Knobs["coins"]>>[0]) {
  const later = { outpoint: `${"b2".repeat(32)}:1`, sats: 1_000n, height: 0 };
  return new Map([...coins, [USER, [...(coins.get(USER) ?? []), later]]]);
}

function spoke(height: number): NonNullable<Knobs["history"]> {
  return (document) => ({ ...document, claims: [past({ vault: USER, height })] });
}

function twice(guardians: typeof GUARDIANS) {
  return [0, 1, 1].flatMap((n) => guardians[n] ?? []);
}

function pool(poolMsats: bigint) {
  // The two other accounts of the test's statement hold 5,000,000 msats each.
  return { outpoints: [OWN_COIN.outpoint], poolMsats: poolMsats - 10_000_000n };
}

function locking(
  operations: (spend: { vault: string }) => ReturnType<typeof operation>[],
): SpendOptions {
  return escrowIn({
    evidence: (evidence) => ({ ...evidence, operations: operations({ vault: USER }) }),
  });
}

/** The lock is signed by an operating key that the vault's key has named. */
function operating(
  part: { readonly sats: number; readonly until: number },
  more: History["notices"] = [],
): SpendOptions {
  const key = signatory("operating");
  return escrowIn({
    evidence: (evidence) => ({
      ...evidence,
      operations: [operation(USER_VAULT, { sats: 700_000n }, { secret: key.secret, key: key.key })],
    }),
    notices: [notice("delegate", { vault: USER, no: 1, key: key.key, ...part }), ...more],
  });
}

function channel(made: () => ReturnType<typeof funding> | undefined): SpendOptions {
  return channelOpen({
    evidence: ({ funding: _, ...evidence }) => {
      const keys = made();
      return keys === undefined ? evidence : { ...evidence, funding: keys };
    },
  });
}

function leafChanged(change: (leaf: Leaf) => Leaf): SpendOptions {
  return collect({
    evidence: ({ statement: said, ...evidence }) => {
      if (said === undefined) return evidence;
      const accounts = said.accounts.map((account) => ({ ...account, leaf: change(account.leaf) }));
      return { ...evidence, statement: { ...said, accounts } };
    },
  });
}

type Leaf = NonNullable<ReturnType<typeof statement>["statement"]>["accounts"][number]["leaf"];

/** A payment of the vault's coin and another one, which a transaction so deep has spent. */
function deadPayment(depth: number): SpendOptions {
  const other = `${"cd".repeat(32)}:0`;
  return topUp({
    history: (document) => ({
      ...document,
      claims: [past({ outpoints: [OWN_COIN.outpoint, other] })],
    }),
    chain: (chain) => ({
      ...chain,
      burials: new Map([["ce".repeat(32), { depth, spends: [other] }]]),
    }),
  });
}

/** The log credits an output that this signer has signed, as a deposit. */
function crediting({
  purpose,
  gained = true,
}: {
  purpose: string;
  gained?: boolean;
}): SpendOptions {
  const place = { outpoint: `${"d0".repeat(32)}:0`, vault: USER, index: 0, sats: 2_100_000n };
  return collect({
    history: (document) => ({
      ...document,
      claims: [past({ purpose, txid: "d0".repeat(32), places: [{ ...place, gained }] })],
    }),
  });
}

/** The signer remembers this account, of this sequence, and the statement last used for it. */
function remembering(sequence: number, index: number | null): SpendOptions {
  return collect({
    evidence: (evidence) => ({ ...evidence, ...(sequence === 1 && { logs: [] }) }),
    history: (document) => {
      const leaf = honest(collect()).case.evidence.statement?.accounts[0];
      if (leaf === undefined) throw new Error("the collect proves no account");
      const { outpoints: _, deficitSince: __, ...account } = leaf;
      return {
        ...document,
        accounts: [
          {
            account: { ...account, sequence },
            used: index === null ? null : { index, intent: "ef".repeat(32) },
          },
        ],
      };
    },
  });
}

/** The same intent was signed before, with a lower fee. */
function again(of: (knobs?: Knobs) => SpendOptions, spend: SpendOptions): SpendOptions {
  const before = honest(of());
  return of({
    spend: {
      ...spend,
      coins: [{ branch: RECEIVE, index: 0, sats: before.spent[0]?.sats ?? 0n }],
      change: 498_800n,
    },
    history: (document) => ({
      ...document,
      claims: [
        past({
          intent: before.intent.id,
          purpose: before.intent.purpose,
          vault: USER,
          txid: "34".repeat(32),
          outpoints: before.facts.inputs.map(({ outpoint }) => outpoint),
          charges: [{ account: "fees", sats: before.facts.feeSats ?? 0n }],
        }),
      ],
    }),
  });
}

/** A cancel that spends one of the two coins of what it takes back; the first is the anchor. */
function cancelOf(which: number): SpendOptions {
  const original = honest(collect({ spend: { coins: 2 } }));
  const sats = original.spent[which]?.sats ?? 0n;
  return cancel({
    spend: { coins: [{ branch: RECEIVE, index: which, sats }], change: sats - 2_000n },
    tx: (tx) => ({ ...tx, inputs: original.tx.inputs.slice(which, which + 1) }),
    evidence: (evidence) => ({ ...evidence, original: psbtText(original.psbt) }),
    history: (document) => ({
      ...document,
      claims: document.claims.map((claim) => ({
        ...claim,
        txid: original.facts.txid,
        anchor: original.facts.inputs[0]?.outpoint ?? "",
        outpoints: original.facts.inputs.map(({ outpoint }) => outpoint),
      })),
    }),
  });
}

/** A collect that was signed before, and its bump: what the vault keeps is the same, or is not. */
function bumped(how: "same" | "other"): SpendOptions {
  const before = honest(collect({ returned: 2_102_103n }));
  const coin = before.spent[0]?.sats ?? 0n;
  return collect({
    returned: how === "same" ? 2_102_103n : 2_102_003n,
    spend: {
      coins: [{ branch: RECEIVE, index: 0, sats: coin }],
      payments: [
        {
          script: TREASURY.scripts.at(RECEIVE, 0).script,
          sats: how === "same" ? 299_000n : 299_100n,
        },
      ],
      changeAt: { branch: CHANGE, index: 3 },
    },
    history: (document) => ({
      ...document,
      claims: [
        past({
          intent: before.intent.id,
          purpose: "collect",
          vault: USER,
          txid: before.facts.txid,
          outpoints: before.facts.inputs.map(({ outpoint }) => outpoint),
          charges: [{ account: "fees", sats: before.facts.feeSats ?? 0n }],
          userSigned: false,
          fixed: fixedHash(before.facts),
        }),
      ],
    }),
  });
}
