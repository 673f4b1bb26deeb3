/** The accounts of the book by their names; who owns what is told by the sign, see README.md. */

const USER = "user/";

/** What a person owns and may ask for. */
export function available(account: string): string {
  return `${USER}${account}/available`;
}

/** What a person owns and has asked for: on its way out. */
export function reserved(account: string): string {
  return `${USER}${account}/reserved`;
}

export function isUsers(name: string): boolean {
  return name.startsWith(USER);
}

/** Below zero: what an account has got and has to give back. */
export function debt(account: string): string {
  return `debt/${account}`;
}

export function isDebt(name: string): boolean {
  return name.startsWith("debt/");
}

/** The negative of all that the book holds. */
export const WORLD = "world";
/** Mining fees that withdrawals have paid. */
export const FEES = "fees";
/** Coins that stand for dollars: they lie in the vaults of the people whom the dollars are owed. */
export const HEDGE_WALLET = "hedge/wallet";
/** Below zero: dollars that are owed and that no exchange carries yet. */
export const HEDGE_UNALLOCATED = "hedge/unallocated";

/** Below zero: dollars that are owed and that this exchange is to carry. */
export function allocated(exchange: string): string {
  return `hedge/allocated/${exchange}`;
}

/** Quotes that were accepted and not settled: coins to come, and dollars that they stand for. */
export const QUOTED_WALLET = "quotes/wallet";
export const QUOTED_LIABILITY = "quotes/liability";

/** The position on an exchange in cents: below zero is short. */
export function position(exchange: string): string {
  return `exchange/${exchange}/position`;
}

/** The other side of all positions. */
export const POSITIONS = "exchange/world";
