/** The options of `connect`, their defaults and their limits. */

import type { Clock } from "./clock.js";
import { systemClock } from "./clock.js";
import type { DurableOutbox } from "./durable.js";
import { LocalError } from "./errors.js";
import type { Fetch, HttpOptions } from "./http_transport.js";
import { httpTransport } from "./http_transport.js";
import { savesData } from "./network.js";
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

  /**
   * `mobile`: pings after 60 s of silence, in background after 300 s, and the hub is told when the page is in
   * background and when it is back. Default `standard`: 30 s always.
   */
  heartbeat?: "standard" | "mobile";
  /** Silence after which the client pings, in foreground; 0 for never. Default as `heartbeat` says. */
  heartbeatMs?: number;
  /** Ping little and have ephemeral publications held back. `auto` (default): if the browser says to save data. */
  saveData?: "auto" | boolean;
  /** How long the answer may take before the connection counts as dead; default 10,000. */
  pongTimeoutMs?: number;
  /** For history, presence, locks and calls, the wait for a connection included; default 10,000. */
  commandTimeoutMs?: number;

  /** Send unacknowledged publishes again after a cut; default true. */
  resend?: boolean;
  /** Publishes that may wait for an acknowledgement; the next one is rejected with `queue_full`; default 1,000. */
  publishQueue?: number;

  /** Disconnect after so long in background (at once when the page is frozen), until it is over; default false: never. */
  backgroundDisconnect?: number | false;
  /** Keeps publishes over a reload or a crash: `indexedDbOutbox()` of `chappe/outbox`. */
  outbox?: DurableOutbox;
  /** One connection for all tabs: `sharedTabs()` of `chappe/tabs`, asked for each transport, with its place among them. */
  tabs?: (carrier: TransportFactory, place: number) => TransportFactory;
  /** Its abort is a `disconnect`. */
  signal?: AbortSignal;

  /** Numbers in [0, 1), for the jitter. */
  random?: () => number;
  /** Time and timers, for tests. */
  clock?: Clock;
  /** Watch the network and the life of the page where there is one; default true. */
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
  readonly heartbeat: "standard" | "mobile";
  readonly heartbeatMs: number;
  readonly backgroundHeartbeatMs: number;
  readonly savesData: () => boolean;
  readonly pongTimeoutMs: number;
  readonly commandTimeoutMs: number;
  readonly resend: boolean;
  readonly publishQueue: number;
  readonly backgroundDisconnect: number | false;
  readonly outbox: DurableOutbox | null;
  readonly tabs?: ClientOptions["tabs"];
  readonly random: () => number;
  readonly clock: Clock;
  readonly watchNetwork: boolean;
}

export const VERSION = "0.1.0";

const DEFAULTS = {
  name: null,
  client: { name: "js", version: VERSION },
  websocketTimeoutMs: 5_000,
  pollRetryMs: 5_000,
  batchMs: 0,
  batchMax: 10,
  reconnectIntervalMs: 1_000,
  reconnectMaxMs: 30_000,
  jitter: "full",
  maxAttempts: 0,
  connectTimeoutMs: 10_000,
  heartbeat: "standard",
  saveData: "auto",
  pongTimeoutMs: 10_000,
  commandTimeoutMs: 10_000,
  resend: true,
  publishQueue: 1_000,
  backgroundDisconnect: false,
  outbox: null,
  random: Math.random,
  clock: systemClock,
  watchNetwork: true,
} as const;

/** Fills in the defaults. @throws LocalError `bad_option`, `bad_transport` naming what came. */
export function resolveOptions(options: ClientOptions): Settings {
  const given = Object.entries(options).filter(([, value]) => value !== undefined && value !== null);
  const all = { ...DEFAULTS, ...(Object.fromEntries(given) as ClientOptions) };
  for (const [name, value] of Object.entries(all)) {
    if (typeof value === "number" && !(value >= 0)) throw new LocalError("bad_option", { name, value });
  }
  const { token = null, getToken, saveData, heartbeat, heartbeatMs = heartbeat === "mobile" ? 60_000 : 30_000 } = all;
  return {
    ...all,
    getToken: getToken ?? (() => token),
    renewsToken: getToken !== undefined,
    transports: resolveTransports(all),
    heartbeatMs,
    backgroundHeartbeatMs: heartbeatMs && Math.max(heartbeatMs, 300_000),
    savesData: saveData === "auto" ? savesData : () => saveData,
  };
}

type Wanted = Pick<ClientOptions, "transport" | "transports" | "WebSocket" | "tabs">;

function resolveTransports(options: Wanted & HttpOptions): TransportFactory[] {
  const wanted = options.transport ? [options.transport] : (options.transports ?? ["websocket", "sse", "polling"]);
  const found = wanted.map((each) => {
    if (typeof each === "function") return each;
    if (each === "websocket") return websocketTransport(options.WebSocket);
    return each === "sse" || each === "polling" ? httpTransport(each, options) : undefined;
  });
  if (found.length === 0 || found.includes(undefined)) throw new LocalError("bad_transport", { value: String(wanted) });
  const { tabs } = options;
  const carriers = found as TransportFactory[];
  return tabs ? carriers.map(tabs) : carriers;
}
