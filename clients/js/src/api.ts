/** What a user of the SDK sees: the client, its subscriptions, and the values they hand out. */

import type { ChappeError } from "./errors.js";

/** A place in a channel's log. Offsets grow strictly within an epoch, may have gaps, and mean nothing in another epoch. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** Who published. `user` is authenticated or null; `name` is what to show; `session` is the public id. */
export interface Sender {
  readonly user: string | null;
  readonly name: string | null;
  readonly session: string;
}

/** Who is present on a channel. Sessions of one authenticated user share one entry. */
export interface Member extends Sender {
  readonly info?: unknown;
}

export interface Publication<T = unknown> {
  readonly channel: string;
  readonly data: T;
  /** null for an ephemeral publication, which has no place in the log. */
  readonly offset: number | null;
  readonly epoch: string | null;
  /** The hub's time, RFC 3339, UTC. */
  readonly time: string | null;
  /** null when a backend or another program published. */
  readonly from: Sender | null;
  readonly id: string | null;
  readonly headers: Readonly<Record<string, string>>;
  /** True for the channel's retained slot, delivered on subscribe, apart from history. */
  readonly retained: boolean;
}

/** Where to begin: after a position, at the newest publication, or with the newest `count`. */
export type Since = Position | "latest" | number;

/**
 * - `connecting`: dialing, or waiting for the hub to accept the session
 * - `catching-up`: connected again, missed publications are arriving
 * - `live`: connected, and every subscription is up to date
 * - `offline`: no connection; `reason` says why (null after your own `disconnect`)
 * - `refused`: the hub said no and will say no again; nothing is retried
 */
export type State = "connecting" | "live" | "catching-up" | "offline" | "refused";
export type OfflineReason = "no_network" | "hub_down" | "background";

/** What the hub said when it accepted the session. The private resume handle is kept inside the client. */
export interface SessionInfo {
  readonly session: string;
  readonly user: string | null;
  readonly name: string | null;
  /** Seconds between the hub's own pings. */
  readonly ping: number;
  readonly version: string;
  readonly node: string;
  /** True when the earlier session moved to this connection. */
  readonly resumed: boolean;
}

export interface ClientEvents {
  state: [state: State, reason: OfflineReason | null];
  connected: [info: SessionInfo];
  disconnected: [code: number, reason: string];
  /** Attempt `n` starts in `delayMs`; `of` is the limit, 0 for none. */
  reconnecting: [n: number, of: number, delayMs: number];
  gave_up: [attempts: number];
  /** Sent by the application's server to this session alone. */
  message: [data: unknown];
  error: [error: ChappeError];
  latency: [ms: number];
  /** The session is carried by another transport than before: `websocket`, `sse`, `polling`. */
  transport: [name: string];
  /** The hub dropped `count` publications of `channel` because this reader was slow. */
  missed: [channel: string, count: number];
}

export interface SubscriptionEvents<T = unknown> {
  publication: [publication: Publication<T>];
  join: [member: Member];
  leave: [member: Member];
  /** The whole state again: at the start, after a reconnect, and above 200 members (then `members` is empty). */
  presence: [members: readonly Member[], count: number];
  /** Also after each reconnect. `recovered` is false when publications may have been lost in between. */
  subscribed: [recovered: boolean, position: Position | null];
  /** Not wanted, not allowed, or ended by the hub. With code 2500 and above the client subscribes again by itself. */
  unsubscribed: [code: number, reason: string];
  error: [error: ChappeError];
  missed: [count: number];
}

export interface SubscribeOptions {
  /** Its abort is an `unsubscribe`. */
  signal?: AbortSignal;
  /** Default: only what is published from now on. */
  since?: Since;
  /** Ask for `members`, joins and leaves. */
  presence?: boolean;
  /** Publications kept for an iterator that is slower than the channel; default 1,024. */
  queueSize?: number;
  /**
   * What a full queue does. `recover` (default) leaves the channel and comes back, from the last publication
   * taken, once the queue has room: on a channel with history nothing is lost, else `recovered` says so.
   * `drop_oldest` forgets the oldest and emits `missed`. `fail` ends the subscription with an error.
   */
  overflow?: "recover" | "drop_oldest" | "fail";
}

export interface PublishOptions {
  /** Its abort takes back what was not sent yet, and rejects in any case: what was sent may be stored. */
  signal?: AbortSignal;
  /** Idempotency key; by default one is made, so that a publish sent again is stored once. */
  key?: string;
  /** Compare-and-set: refuse with error 114 unless the channel stands exactly here. */
  expect?: number | Position;
  /** Also put it in the channel's retained slot; no bytes at all (`new Uint8Array()`) empty the slot. */
  retain?: boolean;
  headers?: Record<string, string>;
  /** Send again after a cut until the hub answers; default: the client's `resend`. */
  resend?: boolean;
}

export interface HistoryOptions {
  /** Its abort rejects. */
  signal?: AbortSignal;
  limit?: number;
  since?: Position;
  reverse?: boolean;
}

/** `signal`: its abort rejects, and the answer is ignored; what the hub does meanwhile is not taken back. */
export interface RequestOptions {
  signal?: AbortSignal;
}

export interface History<T = unknown> {
  readonly publications: readonly Publication<T>[];
  readonly epoch: string;
  readonly offset: number;
}

export interface Presence {
  readonly members: readonly Member[];
  readonly count: number;
}

export interface Lock {
  readonly owner: string;
  /** Fencing token: grows with each holder; hand it to whatever the lock protects. */
  readonly token: number;
  readonly expires: string | null;
}

/** Stops the listener it was given for. */
export type Off = () => void;

/**
 * One channel, or all channels of a pattern (`+`, `#`).
 *
 * Iterate it for publications in order, without duplicates and across reconnects. All iterators share one queue, so use
 * one; leaving the loop (`break`, `return`, a throw) unsubscribes. Awaiting anything inside it, a call too, is fine.
 */
export interface Subscription<T = unknown> extends AsyncIterable<Publication<T>> {
  readonly channel: string;
  /** True while the hub counts us as subscribed on the present connection. */
  readonly active: boolean;
  /** What the last (re)subscribe said: null before the first answer, false if something may be missing. */
  readonly recovered: boolean | null;
  /** After the last publication handed over; null before the first answer and for patterns. */
  readonly position: Position | null;
  /** Empty without `presence: true`, and above 200 members: then only `count` is known. */
  readonly members: readonly Member[];
  readonly count: number;
  on<K extends keyof SubscriptionEvents<T>>(event: K, listener: (...args: SubscriptionEvents<T>[K]) => void): Off;
  /** Resolves at the first answer of the hub; rejects with its error. */
  subscribed(): Promise<void>;
  /** Leaves the channel. Publications already queued are still iterated, then the loop ends. */
  unsubscribe(): void;
}

export interface Client {
  readonly url: string;
  readonly state: State;
  /** Why the state is `offline`, else null. */
  readonly reason: OfflineReason | null;
  /** The public session id; null before the first connection. */
  readonly session: string | null;
  readonly info: SessionInfo | null;
  /** What carries the session: `websocket`, `sse`, `polling`; null while there is no connection. */
  readonly transport: string | null;
  /** The last measured round trip. */
  readonly latencyMs: number | null;
  /** By channel name or pattern. */
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  /** Publishes that the hub has not acknowledged. */
  readonly unacknowledged: number;

  on<K extends keyof ClientEvents>(event: K, listener: (...args: ClientEvents[K]) => void): Off;
  /** Resolves once the hub accepted the session; rejects when it refused, or when the name is in use (115). */
  connected(): Promise<SessionInfo>;
  /** Tries another name after error 115; the connection is still there. */
  claim(name: string): Promise<SessionInfo>;

  /** @throws ChappeError 105 if the channel is subscribed already: take it from `subscriptions`. */
  subscribe<T = unknown>(channel: string, options?: SubscribeOptions): Subscription<T>;
  /**
   * Resolves with the stored publication's position. Calls are sent in order. While there is no connection they wait
   * in a bounded queue (`publishQueue`), and what was not acknowledged is sent again after a reconnect.
   * Rejects: the hub's error; `queue_full`; `unconfirmed` when nobody can tell any more whether it was stored.
   */
  publish(channel: string, data: unknown, options?: PublishOptions): Promise<Position>;
  history<T = unknown>(channel: string, options?: HistoryOptions): Promise<History<T>>;
  presence(channel: string, options?: RequestOptions): Promise<Presence>;
  /** @param options `ttl` and `wait` in seconds. Rejects with 118, whose detail names the owner. */
  lock(resource: string, options?: RequestOptions & { ttl?: number; wait?: number }): Promise<Lock>;
  unlock(resource: string): Promise<void>;
  call<R = unknown>(method: string, params?: unknown, options?: RequestOptions): Promise<R>;
  /** Measures a round trip in milliseconds. */
  ping(): Promise<number>;
  /** Hands over a new token before the old one expires. */
  refresh(token: string): Promise<void>;
  /**
   * Tells the hub that nobody is looking: it pings less and holds back ephemeral publications. With
   * `heartbeat: "mobile"` or `backgroundDisconnect` the visibility of the page calls this by itself.
   */
  background(on: boolean): void;

  /** Dials now instead of waiting; starts again after `gave_up` and `refused`. */
  redial(): void;
  /**
   * Ends everything for good: never reconnects, subscriptions end, open calls reject.
   * @param code 1000 (default), or one of the application's own, 4001 to 4999
   */
  disconnect(code?: number, reason?: string): void;
}
