/** The text of an answer, read no further than its bound: who answers for ever fills no memory. */

/** Null where it is longer than that many bytes; the rest is not read. */
export async function boundedText(response: Response, bytesMax: number): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  // Breaking out of the loop cancels the stream.
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > bytesMax) return null;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
