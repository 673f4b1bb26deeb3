/**
 * - `newer`: a later version of Ballast has written this database
 * - `foreign`: the database is another program's, or of another network
 * - `inexact`: a number was handed in, or came back, that is no safe integer
 * - `unreachable`: no connection to the server can be had; a later try may get one
 * - `lost`: the connection ended in the middle; what was under way is kept whole or not at all
 * - `busy`: somebody else holds the write lock, or every connection, for too long
 * - `unsafe`: the server is set up to lose what it has said to be written
 */
export type StoreErrorCode =
  | "newer"
  | "foreign"
  | "inexact"
  | "unreachable"
  | "lost"
  | "busy"
  | "unsafe";

/** A fault of the database. Its words never hold a password. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
