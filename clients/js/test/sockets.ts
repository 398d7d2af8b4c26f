/** Real sockets: a LittleHub on a port of loopback, and a WebSocket class whose connections can be cut. */

import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import type { Client } from "../src/api.js";
import { LittleHub } from "./little_hub.js";

export interface RunningHub {
  readonly url: string;
  readonly hub: LittleHub;
  stop(): Promise<void>;
}

export async function serve(port = 0, hub = new LittleHub()): Promise<RunningHub> {
  const server = new WebSocketServer({ host: "127.0.0.1", port, handleProtocols: (names) => (names.has("chappe.v1") ? "chappe.v1" : false) });
  await new Promise((resolve, reject) => server.once("listening", resolve).once("error", reject));
  server.on("connection", (socket) => {
    const session = hub.open({ send: (frame) => socket.send(frame), close: (code, reason) => socket.close(code, reason) });
    socket.on("message", (frame) => session.receive(String(frame)));
    socket.on("close", () => session.lost());
  });
  const stop = async () => {
    for (const socket of server.clients) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`, hub, stop };
}

export interface Cuttable {
  readonly WebSocket: new (url: string, protocols?: string | string[]) => any;
  readonly fetch: typeof fetch;
  /** Ends all connections; requests fail from then on until `heal`. */
  cut(): void;
  heal(): void;
}

/** What to inject, and what cuts all its connections as a broken network does. */
export function cuttable(): Cuttable {
  const open = new Set<WebSocket>();
  let network = new AbortController();
  class CuttableWebSocket extends WebSocket {
    constructor(url: string, protocols?: string | string[]) {
      super(url, protocols);
      open.add(this);
      this.once("close", () => open.delete(this));
    }
  }
  return {
    WebSocket: CuttableWebSocket,
    fetch: (url, init = {}) => fetch(url, { ...init, signal: AbortSignal.any([network.signal, ...(init.signal ? [init.signal] : [])]) }),
    cut: () => {
      network.abort();
      open.forEach((socket) => socket.terminate());
    },
    heal: () => (network = new AbortController()),
  };
}

/** Cuts, and resolves when the client has noticed and is back. */
export async function cutOff(client: Client, { cut, heal }: Pick<Cuttable, "cut" | "heal">): Promise<void> {
  const noticed = new Promise<void>((resolve) => {
    const off = client.on("disconnected", () => (off(), resolve()));
  });
  cut();
  await noticed;
  heal();
  await client.connected();
}

/** Resolves when the condition holds; asked again at each of the events. */
export function until(source: { on(event: any, listener: () => void): () => void }, events: string[], condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const offs = events.map((event) =>
      source.on(event, () => {
        if (!condition()) return;
        for (const off of offs) off();
        resolve();
      }),
    );
    if (condition()) {
      for (const off of offs) off();
      resolve();
    }
  });
}
