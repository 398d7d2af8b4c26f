/** Lines of the log for other programs: one JSON object a line. */

import type { Frame } from "./frame";

export function toNdjson(frames: readonly Frame[]): string {
  return frames.map((frame) => `${JSON.stringify(plain(frame))}\n`).join("");
}

function plain(frame: Frame): Record<string, unknown> {
  const time = new Date(frame.time).toISOString();
  if (frame.kind === "event") {
    const { name, ...rest } = frame.happening;
    return { time, kind: "event", event: name, ...rest };
  }
  if (typeof frame.data === "string") return { time, kind: frame.kind, type: "text", bytes: frame.size, data: frame.data };
  return { time, kind: frame.kind, type: "binary", bytes: frame.size, base64: base64(frame.data) };
}

/** In slices: one call takes only so many arguments. */
function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8_192) binary += String.fromCharCode(...bytes.subarray(at, at + 8_192));
  return btoa(binary);
}

export function download(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/x-ndjson" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}
