/** How a publication of a chat channel reads as a message. */

import type { Publication, Sender } from "chappe";

/** What the chat publishes; a bare string published by another program is a message too. */
export interface ChatData {
  readonly type: "message";
  readonly content: string;
  readonly username: string;
}

export function chatData(content: string, username: string): ChatData {
  return { type: "message", content, username };
}

/** The text to show. Data that is no chat message is shown as its JSON text rather than hidden. */
export function textOf(data: unknown): string {
  if (typeof data === "string") return data;
  if (isRecord(data) && typeof data["content"] === "string") return data["content"];
  return JSON.stringify(data) ?? "";
}

/** Who to show as the sender: what the hub says, never what the data claims. Null when it names nobody. */
export function authorOf(from: Sender | null): string | null {
  return from === null ? null : (from.name ?? from.user);
}

/** The hub's time in milliseconds; the present where the hub told none. */
export function timeOf(publication: Publication, now: number): number {
  const time = publication.time === null ? Number.NaN : Date.parse(publication.time);
  return Number.isNaN(time) ? now : time;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
