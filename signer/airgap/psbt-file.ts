/** PSBTs as files, on an SD card or a stick: read with a bound, written whole or not at all. */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AirgapError } from "./airgap-error.ts";
import { checkedPsbt, oversized, PSBT_TEXT_MAX, psbtOfBase64 } from "./psbt-bytes.ts";

/** Reads a binary or base64 PSBT file; throws an AirgapError in words for the person at the desk. */
export async function readPsbtFile(path: string): Promise<Uint8Array> {
  const content = await boundedContent(path);
  if (content.length === 0) {
    throw new AirgapError("file", `${basename(path)} is empty: it may not have been written yet`);
  }
  if (content[0] === MAGIC_FIRST && content[4] === MAGIC_LAST) return checkedPsbt(content);
  // Tools that write base64 to files break its lines and end the last one: that much is not junk.
  return psbtOfBase64(new TextDecoder("latin1").decode(content).replace(/\r?\n/g, ""));
}

/**
 * Writes a binary PSBT file that only its owner reads. A file of that name stays as it is, and the
 * content is complete and on the disk before the name has it.
 */
export async function writePsbtFile(path: string, psbt: Uint8Array): Promise<void> {
  checkedPsbt(psbt);
  // The empty file holds the name: a rename alone would replace whatever came there meanwhile, and
  // a hard link, which would not, cannot be made on an SD card's FAT.
  const claim = await opened(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
  await claim.close();
  const next = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
  try {
    const handle = await opened(next, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
    try {
      await handle.writeFile(psbt);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(next, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await Promise.all([rm(next, { force: true }), rm(path, { force: true })]);
    throw error instanceof AirgapError ? error : fileFault(path, "be written", error);
  }
}

const MAGIC_FIRST = 0x70;
const MAGIC_LAST = 0xff;
/** Base64 with line breaks stays far below. */
const FILE_BYTES_MAX = PSBT_TEXT_MAX;

async function boundedContent(path: string): Promise<Uint8Array> {
  // A pipe of that name would keep the reader waiting for ever.
  const handle = await opened(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!(await handle.stat()).isFile()) {
      throw new AirgapError("file", `${basename(path)} is no regular file`);
    }
    const content = new Uint8Array(FILE_BYTES_MAX + 1);
    let length = 0;
    while (length < content.length) {
      const { bytesRead } = await handle.read(content, length, content.length - length);
      if (bytesRead === 0) return content.slice(0, length);
      length += bytesRead;
    }
    throw oversized();
  } catch (error) {
    throw error instanceof AirgapError ? error : fileFault(path, "be read", error);
  } finally {
    await handle.close();
  }
}

async function opened(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags, 0o600);
  } catch (error) {
    if (reasonOf(error) === "EEXIST") {
      throw new AirgapError(
        "file-exists",
        `${basename(path)} is there already and is not overwritten: take another name`,
      );
    }
    throw fileFault(path, "be opened", error);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function fileFault(path: string, what: string, error: unknown): AirgapError {
  return new AirgapError("file", `${basename(path)} cannot ${what}: ${reasonOf(error)}`);
}

function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}
