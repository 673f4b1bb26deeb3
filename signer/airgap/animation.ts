/** A PSBT as the frames of an animation; the caller shows them in turn, over and over. */
import { splitBbqr } from "./bbqr.ts";
import { checkedPsbt } from "./psbt-bytes.ts";
import { QR_VERSION_DEFAULT, type QrPaint, qrCapacity, qrLines, qrVersionFor } from "./qr.ts";
import { splitUr, type UrType } from "./ur.ts";

/** BBQr, or a UR by one of its two names. */
export type AnimationFormat = "bbqr" | UrType;

export interface Frame {
  /** From 0. */
  readonly index: number;
  readonly total: number;
  /** What the code says. */
  readonly text: string;
  /** Half blocks, with the quiet zone. */
  readonly lines: readonly string[];
}

export interface AnimationOptions {
  readonly psbt: Uint8Array;
  readonly format: AnimationFormat;
  /** The largest QR version that is shown. */
  readonly version?: number;
  readonly paint?: QrPaint;
}

/** All frames are of one size: a camera loses the focus when the code changes its own. */
export function animation(options: AnimationOptions): readonly Frame[] {
  const { psbt, format, version = QR_VERSION_DEFAULT, paint = "ansi" } = options;
  const bytes = checkedPsbt(psbt);
  const charactersMax = qrCapacity(version);
  const texts =
    format === "bbqr"
      ? splitBbqr({ bytes, fileType: "P", charactersMax })
      : splitUr({ bytes, type: format, charactersMax });
  const shown = qrVersionFor(Math.max(...texts.map(({ length }) => length)));
  return texts.map((text, index) => ({
    index,
    total: texts.length,
    text,
    lines: qrLines(text, { version: shown, paint }),
  }));
}
