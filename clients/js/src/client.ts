/** The client: one session at a hub, over as many connections as it takes. */

import type {
  Client, ClientEvents, History, HistoryOptions, Lock, Off, OfflineReason, Position, Presence, PublishOptions, RequestOptions,
  SessionInfo, State, SubscribeOptions, Subscription,
} from "./api.js";
import { onAbort } from "./abort.js";
import { Calls } from "./calls.js";
import { Commands } from "./commands.js";
import type { ConnectionEvents } from "./connection.js";
import { Connection } from "./connection.js";
import { Code, reason as textOf } from "./errors.generated.js";
import { ChappeError, LocalError, retryAfterMs } from "./errors.js";
import { Events } from "./events.js";
import { isHidden, isOnline, watchPage } from "./network.js";
import type { ClientOptions, Settings } from "./options.js";
import { resolveOptions } from "./options.js";
import { Outbox } from "./outbox.js";
import type { Command, Message } from "./protocol.js";
import * as protocol from "./protocol.js";
import type { Input } from "./state.js";
import { advance } from "./state.js";
import { ChannelSubscription } from "./subscription.js";
import { Subscriptions } from "./subscriptions.js";
import { hubUrl } from "./transport.js";

/** The close code for what the client ends itself in order to try again. */
const TRY_AGAIN = 4000;
/** And for what it ends for a while: 1000 would be a goodbye, after which the hub resumes nothing. */
const COME_BACK = 1001;

/**
 * Connects, and keeps connected until `disconnect`. Returns at once: subscribe, publish and call right away.
 * @throws LocalError `bad_url`, `bad_option`; the reason of a signal that is aborted already
 */
export function connect(url: string, options: ClientOptions = {}): Client {
  options.signal?.throwIfAborted();
  const client = new HubClient(hubUrl(url), resolveOptions(options));
  onAbort(options.signal, () => client.disconnect());
  return client;
}

class HubClient implements Client {
  state: State = "connecting";
  reason: OfflineReason | null = null;
  info: SessionInfo | null = null;
  latencyMs: number | null = null;
  readonly #events = new Events<ClientEvents>();
  readonly #connection: Connection;
  readonly #subscriptions: Subscriptions;
  readonly #calls: Calls;
  readonly #outbox: Outbox;
  /** Of the present connection; null until the hub accepts the session. */
  #commands: Commands | null = null;
  /** `asked` is the name in the unanswered `connect`; undefined while the hub waits for us to send another. */
  #handshake: { commands: Commands; token: string | null; asked: string | null | undefined } | null = null;
  #name: string | null;
  /** The name under which the hub accepted us before. */
  #accepted: string | null | undefined;
  #resume: string | undefined;
  /** Until when locks are held: they would not follow to another connection. */
  readonly #locks = new Map<string, number>();
  /** Says `connect` on a better transport, until that is answered. */
  #rising: Commands | null = null;
  #lastTransport: string | null = null;
  #background = false;
  /** What the hub of the present connection was last told. */
  #toldBackground = false;
  #cancelLeaving: () => void = () => undefined;
  #closed = false;
  /** Why nothing is sent in the state `refused`. */
  #refusal: ChappeError | null = null;
  readonly #keyPrefix: string;
  #keys = 0;
  #waiters: { resolve: (info: SessionInfo) => void; reject: (error: ChappeError) => void }[] = [];
  readonly #stopWatching: () => void;

  constructor(
    readonly url: string,
    private readonly settings: Settings,
  ) {
    this.#name = settings.name;
    this.#keyPrefix = randomId();
    this.#calls = new Calls(settings.clock);
    this.#outbox = new Outbox(settings.clock, settings.publishQueue);
    this.#subscriptions = new Subscriptions(settings, {
      caughtUp: () => this.state === "catching-up" && this.#move("catch_up"),
      barrier: (done) => this.#connection.ping(done),
    });
    this.#connection = this.#makeConnection();
    settings.outbox?.attach(url, {
      send: (outgoing) => this.#outbox.add(outgoing),
      error: (kind, params) => new LocalError(kind, params),
      report: (error) => this.#events.emit("error", error),
    });
    this.#stopWatching = settings.watchNetwork ? this.#watchPage() : () => undefined;
    // Later, so that listeners added right after `connect` hear of the first attempt.
    queueMicrotask(() => this.redial());
  }

  get session(): string | null {
    return this.info?.session ?? null;
  }

  get transport(): string | null {
    return this.#commands ? this.#connection.transport : null;
  }

  get subscriptions(): ReadonlyMap<string, Subscription> {
    return this.#subscriptions.map;
  }

  get unacknowledged(): number {
    return this.settings.outbox?.length ?? this.#outbox.length;
  }

  on<K extends keyof ClientEvents>(event: K, listener: (...args: ClientEvents[K]) => void): Off {
    return this.#events.on(event, listener);
  }

  connected(): Promise<SessionInfo> {
    if (this.#commands && this.info) return Promise.resolve(this.info);
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      this.#waiters.push({ resolve, reject });
    });
  }

  claim(name: string): Promise<SessionInfo> {
    if (this.#commands) return Promise.reject(new LocalError("named", { name: this.info?.name ?? "" }));
    this.#name = name;
    const connected = this.connected();
    if (this.#handshake?.asked === undefined) this.#sayConnect();
    return connected.then((info) => {
      // The answer to an earlier name was on its way.
      if (this.#accepted !== name) throw new LocalError("named", { name: info.name ?? "" });
      return info;
    });
  }

  // ---- channels -----------------------------------------------------------------------------------------------------

  subscribe<T>(channel: string, options: SubscribeOptions = {}): Subscription<T> {
    if (this.#closed) throw new LocalError("closed");
    options.signal?.throwIfAborted();
    if (this.#subscriptions.map.has(channel)) {
      throw new ChappeError(Code.ALREADY_SUBSCRIBED, `already subscribed to ${channel}, see client.subscriptions`);
    }
    const subscription = new ChannelSubscription(channel, this.#subscriptions, options);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async publish(channel: string, data: unknown, options: PublishOptions = {}): Promise<Position> {
    this.#checkOpen();
    const { expect, retain, headers, signal, resend = this.settings.resend } = options;
    const key = options.key ?? (resend ? `${this.#keyPrefix}-${(this.#keys += 1)}` : undefined);
    const command: Command = { type: "publish", channel, key, expect, retain: retain || undefined, headers };
    const outgoing = { command, data: protocol.encodeData(data), resend, signal };
    const { outbox } = this.settings;
    return outbox && resend ? outbox.publish(outgoing) : this.#outbox.add(outgoing);
  }

  async history<T>(channel: string, options: HistoryOptions = {}): Promise<History<T>> {
    const { signal, ...wanted } = options;
    const reply = await this.#ask({ type: "history", channel, ...wanted }, true, signal);
    return protocol.history(reply) as History<T>;
  }

  async presence(channel: string, { signal }: RequestOptions = {}): Promise<Presence> {
    return protocol.presenceReply(await this.#ask({ type: "presence", channel }, true, signal));
  }

  // ---- requests -----------------------------------------------------------------------------------------------------

  async lock(resource: string, options: RequestOptions & { ttl?: number; wait?: number } = {}): Promise<Lock> {
    const { signal, ...wanted } = options;
    const { ttl = 30, wait = 0 } = options;
    const lock = protocol.lock(await this.#ask({ type: "lock", resource, ...wanted }, false, signal, wait * 1_000));
    this.#locks.set(resource, ttl === 0 ? Infinity : this.settings.clock.now() + ttl * 1_000);
    return lock;
  }

  async unlock(resource: string): Promise<void> {
    await this.#ask({ type: "unlock", resource }, false);
    this.#locks.delete(resource);
  }

  async call<R>(method: string, params: unknown = null, { signal }: RequestOptions = {}): Promise<R> {
    const reply = await this.#ask({ type: "rpc", method, params }, false, signal);
    return reply["result"] as R;
  }

  async refresh(token: string): Promise<void> {
    await this.#ask({ type: "refresh", token }, true);
  }

  async ping(): Promise<number> {
    this.#checkOpen();
    await this.connected();
    return new Promise((resolve, reject) => {
      const off = this.on("disconnected", () => {
        off();
        reject(new LocalError("disconnected", {}, true));
      });
      this.#connection.ping((ms) => {
        off();
        resolve(ms);
      });
    });
  }

  background(on: boolean): void {
    if (this.#background === on || this.#closed) return;
    this.#background = on;
    this.#tellBackground();
    this.#cancelLeaving();
    const ms = this.settings.backgroundDisconnect;
    if (on && ms !== false) this.#cancelLeaving = this.settings.clock.after(ms, () => this.#leaveForBackground());
    if (!on && this.reason === "background") this.redial();
  }

  async #ask(command: Command, repeatable: boolean, signal?: AbortSignal, waitMs = 0): Promise<Message> {
    this.#checkOpen();
    return this.#calls.request(command, repeatable, this.settings.commandTimeoutMs + waitMs, signal);
  }

  #checkOpen(): void {
    if (this.#closed) throw new LocalError("closed");
    if (this.#refusal) throw this.#refusal;
  }

  #tellBackground(): void {
    this.#connection.retime();
    const background = this.#background || this.settings.savesData();
    if (this.#commands === null || this.#toldBackground === background) return;
    this.#toldBackground = background;
    this.#commands.send({ type: "state", background }, () => undefined);
  }

  #leaveForBackground(): void {
    if (this.state === "refused" || this.#closed) return;
    this.#connection.stop(COME_BACK, "in background");
    this.#over("lose", 1000, "in background", "background");
  }

  #silenceMs(): number {
    const { heartbeat, heartbeatMs, backgroundHeartbeatMs, savesData } = this.settings;
    if (this.#background && (heartbeat === "mobile" || savesData())) return backgroundHeartbeatMs;
    return savesData() && heartbeatMs ? Math.max(heartbeatMs, 60_000) : heartbeatMs;
  }

  // ---- the connection -----------------------------------------------------------------------------------------------

  redial(): void {
    if (!this.#closed) this.#connection.dial();
  }

  disconnect(code = 1000, reason = ""): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopWatching();
    this.#cancelLeaving();
    this.#connection.stop(code, reason);
    this.#over("quit", code, reason);
    this.#fail(new LocalError("closed"));
    this.settings.outbox?.close();
    this.#subscriptions.end();
  }

  #makeConnection(): Connection {
    const emit = this.#events.emit.bind(this.#events);
    const events: ConnectionEvents = {
      dialing: () => {
        this.#refusal = null;
        this.#move("dial");
      },
      open: (token) => this.#open(token),
      message: (message) => this.#receive(message),
      lost: (code, reason) => this.#over("lose", code, reason, isOnline() ? "hub_down" : "no_network"),
      reconnecting: ({ n, of, delayMs }) => emit("reconnecting", n, of, delayMs),
      gaveUp: (attempts) => !this.#closed && emit("gave_up", attempts),
      refused: (code, reason, error) =>
        this.#refuse(error ?? new ChappeError(code, reason || (textOf(code) ?? "refused")), code),
      error: (error) => emit("error", error),
      latency: (ms) => {
        this.latencyMs = ms;
        emit("latency", ms);
      },
      better: (token) => this.#rise(token),
      betterMessage: (message) => void this.#rising?.receive(message),
      betterFailed: () => {
        this.#rising = null;
        this.#commands?.release();
      },
    };
    return new Connection(this.url, this.settings, events, () => this.#silenceMs());
  }

  #open(token: string | null): void {
    this.#handshake = { commands: new Commands((...frame) => this.#connection.send(...frame)), token, asked: undefined };
    this.#sayConnect();
  }

  #sayConnect(): void {
    if (!this.#handshake) return;
    const { commands, token } = this.#handshake;
    this.#handshake.asked = this.#name;
    commands.send(this.#connect(token, this.#name), (error, reply) => (error ? this.#unwelcome(error) : this.#welcome(commands, reply)));
  }

  #connect(token: string | null, name: string | null): Command {
    const { client } = this.settings;
    return { type: "connect", token: token ?? undefined, name: name ?? undefined, client, resume: this.#resume };
  }

  #welcome(commands: Commands, reply: Message): void {
    this.#accepted = this.#handshake?.asked;
    this.#handshake = null;
    this.#commands = commands;
    this.#connection.established();
    const before = this.info;
    const info = this.#introduced(reply);
    this.#toldBackground = false;
    this.#tellBackground();
    // Subscriptions first: what is published next comes back to us.
    const behind = this.#subscriptions.connected(commands);
    this.#calls.connected(commands);
    this.#outbox.connected(commands, before === null || keyOwner(before) === keyOwner(info));
    this.settings.outbox?.connected(keyOwner(info));
    this.#move(behind ? "resume" : "accept");
    this.#events.emit("connected", info);
    this.#tellTransport();
    for (const { resolve } of this.#waiters.splice(0)) resolve(info);
  }

  #introduced(reply: Message): SessionInfo {
    this.#resume = protocol.text(reply["resume"]) || undefined;
    return (this.info = protocol.sessionInfo(reply));
  }

  /** A better transport is open. The session moves once nothing is under way whose answer would be lost. */
  #rise(token: string | null): void {
    const { climb } = this.#connection;
    this.#commands?.hold(() => {
      const now = this.settings.clock.now();
      if ([...this.#locks.values()].some((until) => until > now)) return climb.fail();
      this.#rising = new Commands((frame) => climb.decide(frame));
      const connect = this.#connect(token, this.#accepted ?? null);
      this.#rising.send(connect, (error, reply) => (error ? climb.fail() : this.#risen(reply)));
    });
  }

  #risen(reply: Message): void {
    const commands = this.#commands;
    this.#rising = null;
    if (!commands) return;
    const info = this.#introduced(reply);
    this.#connection.rise(info.resumed);
    this.#subscriptions.cut();
    commands.release(() => {
      this.#toldBackground = false;
      this.#tellBackground();
      this.#move(this.#subscriptions.connected(commands) ? "resume" : "accept");
    });
    if (!info.resumed) this.#events.emit("connected", info);
    this.#tellTransport();
  }

  #tellTransport(): void {
    const { transport } = this;
    if (transport === null || transport === this.#lastTransport) return;
    this.#lastTransport = transport;
    this.#events.emit("transport", transport);
  }

  /** The hub answered `connect` with an error. */
  #unwelcome(error: ChappeError): void {
    const asked = this.#handshake?.asked;
    if (error.code === Code.NAME_IN_USE && asked !== this.#name) return this.#sayConnect();
    if (error.code === Code.NAME_IN_USE && asked !== this.#accepted) {
      if (this.#handshake) this.#handshake.asked = undefined;
      // The connection stays: another name may be claimed on it.
      this.#connection.patient();
      this.#events.emit("error", error);
      for (const { reject } of this.#waiters.splice(0)) reject(error);
      return;
    }
    // Our own earlier connection may hold the name until the hub notices that it is dead.
    const retry = error.code === Code.NAME_IN_USE || error.retry;
    const renew = error.code === Code.TOKEN_EXPIRED && this.settings.renewsToken;
    if (!retry && !renew) return this.#refuse(error, error.code === Code.TOKEN_EXPIRED ? Code.EXPIRED : Code.INVALID_TOKEN);
    this.#events.emit("error", error);
    this.#connection.drop(TRY_AGAIN, `connect failed; reconnect after ${retryAfterMs(error)} ms`);
  }

  #refuse(error: ChappeError, code: number): void {
    this.#connection.stop(1000, "");
    this.#refusal = error;
    this.#over("refuse", code, error.reason);
    this.#events.emit("error", error);
    this.#fail(error);
  }

  /** The connection, or the attempt, is over. */
  #over(input: Input, code: number, reason: string, why: OfflineReason | null = null): void {
    const wasConnected = this.#commands !== null;
    this.#handshake = null;
    this.#commands = null;
    this.#rising = null;
    this.#locks.clear();
    this.#subscriptions.cut();
    this.#calls.cut();
    this.#outbox.cut();
    this.settings.outbox?.cut();
    this.#move(input, why);
    if (wasConnected) this.#events.emit("disconnected", code, reason);
  }

  #fail(error: ChappeError): void {
    this.#calls.fail(error);
    this.settings.outbox?.fail(error);
    this.#outbox.fail(error);
    for (const { reject } of this.#waiters.splice(0)) reject(error);
  }

  #receive(message: Message): void {
    const { type } = message;
    if (type === "reply" || type === "error") {
      const answered = (this.#commands ?? this.#handshake?.commands)?.receive(message);
      if (!answered && type === "error") this.#events.emit("error", protocol.hubError(message));
    } else if (type === "message") {
      this.#events.emit("message", message["data"]);
    } else {
      this.#subscriptions.receive(message);
      if (type === "missed") {
        this.#events.emit("missed", protocol.text(message["channel"]), protocol.number(message["count"]));
      }
    }
  }

  #move(input: Input, reason: OfflineReason | null = null): void {
    const state = advance(this.state, input);
    if (state === this.state && reason === this.reason) return;
    this.state = state;
    this.reason = reason;
    this.#events.emit("state", state, reason);
  }

  #watchPage(): () => void {
    const { heartbeat, backgroundDisconnect } = this.settings;
    const leaves = backgroundDisconnect !== false;
    const follows = leaves || heartbeat === "mobile";
    if (follows && isHidden()) queueMicrotask(() => this.background(true));
    return watchPage({
      doubt: () => this.#doubt(),
      visible: (yes) => {
        if (follows) this.background(!yes);
        if (yes) this.#doubt();
      },
      // No timer would fire any more, and the hub would talk to nobody.
      freeze: () => leaves && this.#background && this.#leaveForBackground(),
      offline: () => {
        // A hub on this machine is still there; one that is not will miss the ping.
        if (this.#commands) this.#connection.probe();
        else if (this.state === "offline" && this.reason === "hub_down") this.#move("lose", "no_network");
      },
    });
  }

  #doubt(): void {
    this.#connection.climb.now();
    if (this.#commands) {
      this.#tellBackground();
      this.#connection.probe();
    } else if (this.state === "offline" && this.reason !== "background" && !this.#closed) this.#connection.dial();
  }
}

/** Whose idempotency keys the hub remembers (spec/protocol.md, CH-9.3). A resumed session keeps its id. */
function keyOwner({ user, name, session }: SessionInfo): string {
  return user !== null ? `user ${user}` : name !== null ? `name ${name}` : `session ${session}`;
}

function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
