/** Where a Postgres database is, from a `postgres://` URL. */
import pg from "pg";

export interface PostgresAddress {
  /** What a person may see: user, host and database. */
  readonly place: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  /** Null where the URL has none. */
  readonly password: string | null;
  /** The rest of the URL, `sslmode` and such. */
  readonly settings: ReadonlyMap<string, string>;
}

export function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//.test(text);
}

/**
 * Null for a URL that cannot be read, or that could be read in two ways: an `@` in a password that
 * is not written `%40` would make a part of the password the host, and that is shown.
 */
export function readAddress(url: string): PostgresAddress | null {
  const rest = url.replace(/^postgres(ql)?:\/\//, "");
  if (rest === url || !/^[^@]*$|^[^@/?#]*@[^@]*$/.test(rest)) return null;
  try {
    const client = new pg.Client({ connectionString: url });
    const { host, port, user = "", database = "", password } = client;
    if (database === "" || user === "") return null;
    const [, query = ""] = rest.split("?");
    return {
      place: `postgres ${user}@${host}:${port}/${database}`,
      host,
      port,
      user,
      database,
      password: typeof password === "string" ? password : null,
      settings: new Map(new URLSearchParams(query)),
    };
  } catch {
    return null;
  }
}
