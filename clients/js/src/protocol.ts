/** chappe.v1 as JSON text, without I/O: frames to messages, and the members of messages to values. */

import type { History, Lock, Member, Position, Presence, Publication, Sender, SessionInfo } from "./api.js";
import { ChappeError, LocalError } from "./errors.js";

/** One message of the hub; `type` says what it is, the rest is read by the functions below. */
export type Message = Readonly<Record<string, unknown>> & { readonly type: string };
/** As it came: JSON text, or the messages themselves where the carrier has unpacked them. */
export type Frame = string | readonly unknown[];
/** Members that are undefined are not sent. */
export type Command = Readonly<Record<string, unknown>> & { readonly type: string };

/** @param data JSON text of the member `data`, already encoded. */
export function encode(command: Command, data?: string): string {
  const json = JSON.stringify(command);
  return data === undefined ? json : `${json.slice(0, -1)},"data":${data}}`;
}

/**
 * Encodes what is published, so that later changes of the value do not matter. Bytes travel as `{"$base64": "..."}`.
 * @throws TypeError what JSON cannot hold: a BigInt, a cycle
 */
export function encodeData(data: unknown): string {
  if (data instanceof Uint8Array) {
    let binary = "";
    for (const byte of data) binary += String.fromCharCode(byte);
    return JSON.stringify({ $base64: btoa(binary) });
  }
  return JSON.stringify(data) ?? "null";
}

function decodeData(data: unknown): unknown {
  if (!isRecord(data) || typeof data["$base64"] !== "string" || Object.keys(data).length !== 1) return data;
  try {
    return Uint8Array.from(atob(data["$base64"]), (character) => character.charCodeAt(0));
  } catch {
    return data;
  }
}

/**
 * Decodes one frame: an object is one message, an array a batch in order.
 * @throws LocalError `bad_frame`; the frame then had no effect.
 */
export function decode(frame: Frame): Message[] {
  let value: unknown = frame;
  try {
    if (typeof frame === "string") value = JSON.parse(frame);
  } catch {
    throw new LocalError("bad_frame", { what: `no JSON, ${frame.length} characters` });
  }
  const messages = Array.isArray(value) ? value : [value];
  for (const message of messages) {
    if (!isRecord(message)) throw new LocalError("bad_frame", { what: "no object" });
    if (typeof message["type"] !== "string") throw new LocalError("bad_frame", { what: "no type" });
  }
  return messages as Message[];
}

export function sessionInfo(reply: Message): SessionInfo {
  return {
    session: text(reply["session"]),
    user: textOrNull(reply["user"]),
    name: textOrNull(reply["name"]),
    ping: number(reply["ping"]),
    version: text(reply["version"]),
    node: text(reply["node"]),
    resumed: reply["resumed"] === true,
  };
}

/** The position a message carries, or null. Offset 0 stands for what has no place in a log. */
export function position(message: Readonly<Record<string, unknown>>): Position | null {
  const { epoch, offset } = message;
  return typeof epoch === "string" && typeof offset === "number" ? { epoch, offset } : null;
}

/** @param epoch of the subscription, for hubs that leave it out. */
export function publication(message: Readonly<Record<string, unknown>>, epoch: string | null = null): Publication {
  const offset = number(message["offset"]);
  return {
    channel: text(message["channel"]),
    data: decodeData(message["data"]),
    offset: offset > 0 ? offset : null,
    epoch: offset > 0 ? (textOrNull(message["epoch"]) ?? epoch) : null,
    time: textOrNull(message["time"]),
    from: sender(message["from"]),
    id: textOrNull(message["id"]),
    headers: isRecord(message["headers"]) ? (message["headers"] as Record<string, string>) : {},
    retained: message["retained"] === true,
  };
}

function sender(value: unknown): Sender | null {
  if (!isRecord(value)) return null;
  return { user: textOrNull(value["user"]), name: textOrNull(value["name"]), session: text(value["session"]) };
}

export function member(value: unknown): Member {
  const fields = isRecord(value) ? value : {};
  const base = { user: textOrNull(fields["user"]), name: textOrNull(fields["name"]), session: text(fields["session"]) };
  return fields["info"] === undefined ? base : { ...base, info: fields["info"] };
}

/** `members` is null where only the count is told. */
export function presence(message: Message): { members: Member[] | null; count: number } {
  const members = Array.isArray(message["members"]) ? message["members"].map(member) : null;
  const count = message["count"];
  return { members, count: typeof count === "number" ? count : (members?.length ?? 0) };
}

export function presenceReply(reply: Message): Presence {
  const { members, count } = presence(reply);
  return { members: members ?? [], count };
}

export function history(reply: Message): History {
  const epoch = text(reply["epoch"]);
  const items = Array.isArray(reply["publications"]) ? reply["publications"] : [];
  const channel = reply["channel"];
  return {
    publications: items.filter(isRecord).map((item) => publication({ channel, ...item }, epoch)),
    epoch,
    offset: number(reply["offset"]),
  };
}

export function lock(reply: Message): Lock {
  return { owner: text(reply["owner"]), token: number(reply["token"]), expires: textOrNull(reply["expires"]) };
}

export function hubError(message: Message): ChappeError {
  const detail = message["detail"] ?? null;
  return new ChappeError(number(message["code"]), text(message["reason"]), message["retry"] === true, detail);
}

export function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
