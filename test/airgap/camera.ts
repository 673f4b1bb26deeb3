/** What a camera sees of a code in a terminal, read by a foreign decoder. */
import jsqr from "jsqr";
import type { QrPaint } from "../../signer/airgap/qr.ts";

// The package is CommonJS with a default export beside the function.
const decode = jsqr.default;

/** Escape codes that the painted lines carry. */
export const ANSI = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g");

/** The code in the picture of these lines, four pixels a module; null where there is none. */
export function seen(lines: readonly string[], paint: QrPaint): string | null {
  const rows = lines.flatMap((line) => {
    const letters = [...line.replace(ANSI, "")];
    const lit = (blocks: string) => letters.map((letter) => blocks.includes(letter));
    return [lit("█▀"), lit("█▄")];
  });
  const scale = 4;
  const width = (rows[0]?.length ?? 0) * scale;
  const height = rows.length * scale;
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const drawn = rows[Math.floor(y / scale)]?.[Math.floor(x / scale)] ?? false;
      const light = paint === "ansi" ? !drawn : drawn;
      pixels.fill(light ? 255 : 0, 4 * (y * width + x), 4 * (y * width + x) + 3);
      pixels[4 * (y * width + x) + 3] = 255;
    }
  }
  return decode(pixels, width, height, { inversionAttempts: "dontInvert" })?.data ?? null;
}
