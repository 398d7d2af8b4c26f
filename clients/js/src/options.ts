/** The options of `connect`, their defaults and their limits. */

import type { Clock } from "./clock.js";
import { systemClock } from "./clock.js";
import { LocalError } from "./errors.js";
import type { Fetch, HttpOptions } from "./http_transport.js";
import { httpTransport } from "./http_transport.js";
import type { TransportFactory, WebSocketClass } from "./transport.js";
import { websocketTransport } from "./transport.js";

export type TransportName = "websocket" | "sse" | "polling";

export interface ClientOptions {
  /** Called before every connection, so that an expired token is replaced. A throw counts as a failed attempt. */
  getToken?: () => string | null | Promise<string | null>;
  token?: string;
  /** The name to claim; unique on the hub. */
  name?: string;
  /** Shown to operators; default `{ name: "js", version }`. */
  client?: { name: string; version: string };
  /** The WebSocket class where there is no global one (Node before 22: `ws`). */
  WebSocket?: WebSocketClass;
  /**
   * Tried in this order until one works; default all three. What worked is remembered for this network for 10 minutes,
   * and the first is tried again meanwhile.
   */
  transports?: readonly (TransportName | TransportFactory)[];
  /** Another carrier, instead of `transports`. */
  transport?: TransportFactory;
  /** How long a transport may take to open before the next one is tried; default 5,000. */
  websocketTimeoutMs?: number;
  /** Sent with each request of `sse` and `polling`; a WebSocket of a browser cannot send any. */
  headers?: Record<string, string>;
  /** Whether `sse` and `polling` send cookies to another origin; default `same-origin`. */
  credentials?: RequestCredentials;
  /** Instead of the global `fetch`. */
  fetch?: Fetch;
  /** When `sse` and `polling` repeat a request that failed; default 5,000. */
  pollRetryMs?: number;

  /** Lets a publish wait so long for others, to leave in one frame; default 0: each leaves at once. 200 suits most. */
  batchMs?: number;
  /** So many publishes do not wait any longer; default 10. */
  batchMax?: number;

  reconnectIntervalMs?: number;
  reconnectMaxMs?: number;
  jitter?: "full" | "none";
  /** 0: for ever. */
  maxAttempts?: number;
  /** From dialing to the hub's answer to `connect`; default 10,000. */
  connectTimeoutMs?: number;

  /** Silence after which the client pings; default 30,000. */
  heartbeatMs?: number;
  /** How long the answer may take before the connection counts as dead; default 10,000. */
  pongTimeoutMs?: number;
  /** For history, presence, locks and calls, the wait for a connection included; default 10,000. */
  commandTimeoutMs?: number;

  /** Send unacknowledged publishes again after a cut; default true. */
  resend?: boolean;
  /** Publishes that may wait for an acknowledgement; the next one is rejected with `queue_full`; default 1,000. */
  publishQueue?: number;

  /** What `background(true)` does: tell the hub and stay (default), or disconnect until `background(false)`. */
  inBackground?: "stay" | "disconnect";

  /** Numbers in [0, 1), for the jitter. */
  random?: () => number;
  /** Time and timers, for tests. */
  clock?: Clock;
  /** Watch `online`, `offline` and page visibility where they exist; default true. */
  watchNetwork?: boolean;
}

export interface Settings {
  readonly getToken: () => string | null | Promise<string | null>;
  /** A refused token may be followed by a better one. */
  readonly renewsToken: boolean;
  readonly name: string | null;
  readonly client: { name: string; version: string };
  readonly transports: readonly TransportFactory[];
  readonly websocketTimeoutMs: number;
  readonly batchMs: number;
  readonly batchMax: number;
  readonly reconnectIntervalMs: number;
  readonly reconnectMaxMs: number;
  readonly jitter: "full" | "none";
  readonly maxAttempts: number;
  readonly connectTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly pongTimeoutMs: number;
  readonly commandTimeoutMs: number;
  readonly resend: boolean;
  readonly publishQueue: number;
  readonly inBackground: "stay" | "disconnect";
  readonly random: () => number;
  readonly clock: Clock;
  readonly watchNetwork: boolean;
}

export const VERSION = "0.1.0";

/** Fills in the defaults. @throws LocalError `bad_option`, `bad_transport` naming what came. */
export function resolveOptions(options: ClientOptions): Settings {
  const token = options.token ?? null;
  const settings: Settings = {
    getToken: options.getToken ?? (() => token),
    renewsToken: options.getToken !== undefined,
    name: options.name ?? null,
    client: options.client ?? { name: "js", version: VERSION },
    transports: resolveTransports(options),
    websocketTimeoutMs: options.websocketTimeoutMs ?? 5_000,
    batchMs: options.batchMs ?? 0,
    batchMax: options.batchMax ?? 10,
    reconnectIntervalMs: options.reconnectIntervalMs ?? 1_000,
    reconnectMaxMs: options.reconnectMaxMs ?? 30_000,
    jitter: options.jitter ?? "full",
    maxAttempts: options.maxAttempts ?? 0,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    heartbeatMs: options.heartbeatMs ?? 30_000,
    pongTimeoutMs: options.pongTimeoutMs ?? 10_000,
    commandTimeoutMs: options.commandTimeoutMs ?? 10_000,
    resend: options.resend ?? true,
    publishQueue: options.publishQueue ?? 1_000,
    inBackground: options.inBackground ?? "stay",
    random: options.random ?? Math.random,
    clock: options.clock ?? systemClock,
    watchNetwork: options.watchNetwork ?? true,
  };
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === "number" && !(value >= 0)) throw new LocalError("bad_option", { name, value });
  }
  return settings;
}

function resolveTransports(options: ClientOptions): TransportFactory[] {
  const http: HttpOptions = {
    clock: options.clock ?? systemClock,
    fetch: options.fetch,
    headers: options.headers ?? {},
    credentials: options.credentials,
    retryMs: options.pollRetryMs ?? 5_000,
  };
  const known = new Map<unknown, TransportFactory>([
    ["websocket", websocketTransport(options.WebSocket)],
    ["sse", httpTransport("sse", http)],
    ["polling", httpTransport("polling", http)],
  ]);
  const wanted = options.transport ? [options.transport] : (options.transports ?? [...known.keys()]);
  const found = wanted.map((each) => (typeof each === "function" ? (each as TransportFactory) : known.get(each)));
  if (found.length === 0 || found.includes(undefined)) throw new LocalError("bad_transport", { value: String(wanted) });
  return found as TransportFactory[];
}
