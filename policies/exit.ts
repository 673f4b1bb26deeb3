/**
 * The exit of a `multi+exit` vault: a second leaf by which the user leaves alone, once a coin has
 * rested for the timelock. No law of ours guards that leaf and no signer signs it; consensus does.
 */

/** Blocks that a coin rests before its user may leave alone: half a year (BIP68, BIP112). */
export const EXIT_BLOCKS = 26_280;

/**
 * The exit key's branch lies so far above the 2-of-3's: `<2;3>` beside `/**`, which is `<0;1>`. One
 * account key may stand in two leaves only on branches that do not meet (BIP388).
 */
const EXIT_STEP = 2;

/** BIP388 template; `@u` stands for the user's own key, `@1`, `@2` or `@3`. */
export const EXIT_TEMPLATE = `tr(@0/**,{sortedmulti_a(2,@1/**,@2/**,@3/**),and_v(v:pk(@u/<2;3>/*),older(${EXIT_BLOCKS}))})`;

/** The template of a vault whose user holds the key `@user`: the only one that it may have. */
export function exitTemplate(user: 1 | 2 | 3): string {
  return EXIT_TEMPLATE.replace("@u", `@${user}`);
}

/** The branch of the exit key at an address of a 2-of-3 branch. */
export function exitBranch(branch: number): number {
  return branch + EXIT_STEP;
}
