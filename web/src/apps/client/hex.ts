/** Bytes as hexadecimal text and back. */

export type HexResult =
  | { readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly fault: "odd" }
  | { readonly fault: "digit"; readonly what: string };

/** Reads pairs of digits; spaces, commas, colons and 0x are let through. */
export function parseHex(text: string): HexResult {
  const digits = text.replace(/0x/gi, "").replace(/[\s,:;]+/g, "");
  const stranger = /[^0-9a-f]/iu.exec(digits);
  if (stranger) return { fault: "digit", what: stranger[0] };
  if (digits.length % 2 === 1) return { fault: "odd" };
  const bytes = new Uint8Array(digits.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16);
  return { bytes };
}

export function toHex(bytes: Uint8Array, separator = " "): string {
  return Array.from(bytes, two).join(separator);
}

const PER_LINE = 16;

/** Sixteen bytes a line: offset, digits, and the printable ASCII among them. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += PER_LINE) {
    const part = bytes.subarray(at, at + PER_LINE);
    const ascii = Array.from(part, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${toHex(part).padEnd(PER_LINE * 3 - 1)}  ${ascii}`);
  }
  return lines.join("\n");
}

function two(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
