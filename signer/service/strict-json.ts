/**
 * JSON in which no key stands twice in one object. `JSON.parse` lets the second win unseen, and a
 * proxy or a log that reads the first would see another request (attacks.md 92).
 */

/** What is written could be read in two ways, or is no JSON. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

/** No request here nests deeper than this. */
const DEPTH_MAX = 32;

export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new JsonError("the text is no JSON");
  }
  checkKeys(text);
  return value;
}

/** A string, with its colon where it is a key, or a bracket: all that tells objects apart. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"(?<colon>\s*:)?|[{}[\]]/g;

/** Walks text that JSON.parse has accepted, so every token is where it may stand. */
function checkKeys(text: string): void {
  /** Keys of the open objects; an open array has none. */
  const open: Set<string>[] = [];
  for (const { 0: token, groups } of text.matchAll(TOKEN)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (groups?.["colon"] !== undefined) addKey(open.at(-1), token);
    if (open.length > DEPTH_MAX) throw new JsonError(`nested deeper than ${DEPTH_MAX}`);
  }
}

/** Keys are compared as what they mean: "a" and "\u0061" are one. */
function addKey(keys: Set<string> | undefined, token: string): void {
  const literal = token.slice(0, token.lastIndexOf('"') + 1);
  const key: string = JSON.parse(literal);
  if (keys?.has(key)) throw new JsonError(`the key ${literal.slice(0, 40)} stands twice`);
  keys?.add(key);
}
