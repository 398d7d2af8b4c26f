/** The seam between the client and what carries its frames, and the first carrier: WebSocket. */

import { LocalError } from "./errors.js";
import type { Frame } from "./protocol.js";

/** What a carrier tells the client. `onClose` is the last call, comes once, and comes whoever closed. */
export interface TransportEvents {
  onOpen(): void;
  onMessage(frame: Frame): void;
  onClose(code: number, reason: string): void;
}

/**
 * An open or opening connection. Frames leave in order; after `close` no event but `onClose` follows. Whether it is closed
 * for good, or the session shall be resumed, is in the code: `isGoodbye`.
 */
export interface Transport {
  readonly name: string;
  send(frame: string): void;
  close(code: number, reason: string): void;
}

/** 1000, and what an application gives to `disconnect`. */
export function isGoodbye(code: number): boolean {
  return code === 1000 || code > 4000;
}

/** Dials. It may throw, which counts as a failed attempt, and must not call back before it returned. */
export type TransportFactory = (url: string, events: TransportEvents) => Transport;

/** The part of a WebSocket that is used here: browsers' and the `ws` package's fit. */
export interface WebSocketLike {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}
export type WebSocketClass = new (url: string, protocols?: string | string[]) => WebSocketLike;

const SUBPROTOCOL = "chappe.v1";
const OPEN = 1;

/**
 * Accepts what people write: `https://hub/ws`, and in a page also `/ws`.
 * @throws LocalError `bad_url`
 */
export function hubUrl(url: string): string {
  const base = (globalThis as { location?: { href?: string } }).location?.href;
  let parsed: URL;
  try {
    parsed = new URL(url, base);
  } catch {
    throw new LocalError("bad_url", { url });
  }
  parsed.protocol = parsed.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(parsed.protocol)) throw new LocalError("bad_url", { url });
  parsed.hash = "";
  return parsed.href;
}

/** Dials WebSockets with the given class, else the global one. @throws LocalError `no_websocket` when dialing */
export function websocketTransport(given?: WebSocketClass): TransportFactory {
  return (url, events) => {
    const Class = given ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
    if (Class === undefined) throw new LocalError("no_websocket", {});
    return openWebSocket(new Class(url, SUBPROTOCOL), events);
  };
}

function openWebSocket(socket: WebSocketLike, events: TransportEvents): Transport {
  let closed = false;
  const finish = (code: number, reason: string): void => {
    if (closed) return;
    closed = true;
    events.onClose(code, reason);
  };
  socket.onopen = () => closed || events.onOpen();
  socket.onmessage = (event: { data: unknown }) => closed || events.onMessage(String(event.data));
  socket.onclose = (event: { code?: number; reason?: string }) => finish(event.code ?? 1006, event.reason ?? "");
  // The close event follows each error and has the code; without a listener `ws` would throw instead.
  socket.onerror = () => undefined;
  return {
    name: "websocket",
    send: (frame) => {
      if (socket.readyState === OPEN) socket.send(frame);
    },
    close: (code, reason) => {
      // Browsers allow 1000 and 3000-4999 only, and take minutes to report the close of a dead peer: report it now.
      queueMicrotask(() => finish(code, reason));
      socket.close(code === 1000 || code >= 3000 ? code : 4000, reason);
    },
  };
}
