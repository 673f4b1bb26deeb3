/** An answer over HTTP, read no further than it may be long. */

/** Null for a longer one; the rest of it is never asked for. */
export async function boundedText(response: Response, bytesMax: number): Promise<string | null> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  // Leaving the loop early cancels the stream, and so the connection.
  for await (const part of response.body) {
    bytes += part.byteLength;
    if (bytes > bytesMax) return null;
    text += decoder.decode(part, { stream: true });
  }
  return text + decoder.decode();
}
