/** What the client page works on. It outlives the page, so that a visit to another page does not cut the connection. */

import { signal } from "@preact/signals";
import { socketUrl } from "../../shell/hub";
import type { DataFrame } from "./frame";
import { FrameLog } from "./frame_log";
import { InputHistory } from "./input_history";
import { Socket } from "./socket";

export const PROTOCOLS = ["none", "chappe.v1", "chappe.v1.msgpack", "classic", "mqtt", "other"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export const MODES = ["text", "json", "hex", "file"] as const;
export type Mode = (typeof MODES)[number];

export const log = new FrameLog((callback) => requestAnimationFrame(callback));
export const socket = new Socket(log);
export const history = new InputHistory();

export const url = signal(askedUrl() ?? socketUrl("ws"));
export const protocol = signal<Protocol>("chappe.v1");
export const otherProtocols = signal("");
export const mode = signal<Mode>("text");
export const draft = signal("");
export const selected = signal<DataFrame | null>(null);

/** The address of a link to this page: `?url=wss://...`; it is filled in, never dialed unasked. */
function askedUrl(): string | null {
  return new URLSearchParams(location.search).get("url");
}

/** The names to offer to the server. */
export function offeredProtocols(chosen: Protocol, others: string): string[] {
  if (chosen === "none") return [];
  if (chosen !== "other") return [chosen];
  return others.split(",").map((each) => each.trim()).filter((each) => each !== "");
}

export function connect(): void {
  socket.connect(url.value.trim(), offeredProtocols(protocol.value, otherProtocols.value));
}
