/** One line of the log: a frame that was sent or received, or something that happened to the connection. */

export type Happening =
  | { readonly name: "connecting"; readonly url: string }
  | { readonly name: "opened"; readonly protocol: string; readonly ms: number }
  | { readonly name: "closed"; readonly code: number; readonly reason: string }
  | { readonly name: "failed" }
  | { readonly name: "refused"; readonly message: string }
  | { readonly name: "notSent" };

export interface DataFrame {
  readonly id: number;
  readonly time: number;
  readonly kind: "sent" | "received";
  /** A string for a text frame, bytes for a binary one. */
  readonly data: string | Uint8Array<ArrayBuffer>;
  /** Payload bytes on the wire. */
  readonly size: number;
}

export interface EventFrame {
  readonly id: number;
  readonly time: number;
  readonly kind: "event";
  readonly happening: Happening;
  readonly size: 0;
}

export type Frame = DataFrame | EventFrame;
export type FrameKind = Frame["kind"];

const encoder = new TextEncoder();

export function sizeOf(data: string | Uint8Array): number {
  return typeof data === "string" ? encoder.encode(data).length : data.length;
}

export function isBad(happening: Happening): boolean {
  if (happening.name === "closed") return happening.code !== 1000 && happening.code !== 1005;
  return happening.name === "failed" || happening.name === "refused" || happening.name === "notSent";
}
