/**
 * Words of others on the way to a screen. What a terminal would obey, or what turns the order of
 * letters or hides them, is written out, so that nobody paints over what this station has computed.
 */

/** Control, format, surrogate, private and unassigned characters, and both separators of lines. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu;

export function plain(text: string): string {
  return text.replace(UNSEEN, (sign) => `\\u{${sign.codePointAt(0)?.toString(16)}}`);
}

/** The same inside JSON, which may write any character in this way. */
export function plainJson(value: unknown): string {
  return JSON.stringify(value).replace(UNSEEN, (sign) =>
    Array.from({ length: sign.length }, (_, i) => {
      return `\\u${sign.charCodeAt(i).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
}
