/** Keeps a connection to the hub: dials, watches that it lives, and dials again. What is said on it is the client's. */

import { Batch } from "./batch.js";
import { Climb } from "./climb.js";
import { LocalError } from "./errors.js";
import { Code } from "./errors.generated.js";
import { Fallback } from "./fallback.js";
import { Heartbeat } from "./heartbeat.js";
import type { Settings } from "./options.js";
import type { Frame, Message } from "./protocol.js";
import { decode, encode } from "./protocol.js";
import type { Attempt } from "./reconnection.js";
import { Reconnection, advisedMs, reconnects } from "./reconnection.js";
import type { Transport, TransportEvents } from "./transport.js";

/** Each listener may call the connection, `drop` and `stop` included. */
export interface ConnectionEvents {
  dialing(): void;
  /** Frames can be sent. Say `connect` now, and `established` when the hub accepts. */
  open(token: string | null): void;
  message(message: Message): void;
  /** An attempt or a connection ended and will be followed by another. */
  lost(code: number, reason: string): void;
  reconnecting(attempt: Attempt): void;
  gaveUp(attempts: number): void;
  /** The hub closed with a code that says not to come back, or nothing can be dialed from here. */
  refused(code: number, reason: string, error: LocalError | null): void;
  error(error: LocalError): void;
  latency(ms: number): void;
  /** A better transport is open beside the present one. Say `connect` by `climb.decide`, then `rise` or `climb.fail`. */
  better(token: string | null): void;
  /** What the hub says there before `rise`. */
  betterMessage(message: Message): void;
  /** The session stays where it is. */
  betterFailed(): void;
}

const NO_STATUS = 1006;

export class Connection {
  readonly climb: Climb;
  readonly #reconnection: Reconnection;
  readonly #fallback: Fallback;
  readonly #batch: Batch;
  #transport: Transport | null = null;
  #heartbeat: Heartbeat | null = null;
  /** `trying` from the first step of an attempt to the end of the connection it led to. */
  #phase: "idle" | "waiting" | "trying" = "idle";
  #cancelTimer: () => void = () => undefined;
  /** Grows with each transport that is tried and with its end: what belongs to an earlier one is ignored. */
  #attempt = 0;
  /** Whether the present transport has brought anything: then it works, and its end is none of its own. */
  #heard = false;
  /** Of this attempt, for each of its transports; undefined until it is there. */
  #token: string | null | undefined;
  #advisedMs = 0;
  /** The connection has ended while the session was moving to a better one. */
  #left = false;

  constructor(
    private readonly url: string,
    private readonly settings: Settings,
    private readonly events: ConnectionEvents,
    private readonly silenceMs: () => number,
  ) {
    this.#reconnection = new Reconnection(settings);
    this.#fallback = new Fallback(settings.transports.length, new URL(url).host);
    this.#batch = new Batch(settings, (frame) => this.#transport?.send(frame));
    this.climb = new Climb((to) => this.#factory(0)(url, to), settings, {
      open: (token) => this.events.better(token),
      message: (message) => this.events.betterMessage(message),
      failed: () => {
        this.events.betterFailed();
        if (this.#left) this.drop(NO_STATUS, "moved");
      },
    });
  }

  /** The name of the transport in use. */
  get transport(): string | null {
    return this.#transport?.name ?? null;
  }

  /** Dials now, unless an attempt or a connection is there already. */
  dial(): void {
    if (this.#phase !== "trying") void this.#dial();
  }

  /** @param patient whether it may wait for others to share a frame with */
  send(frame: string, patient = false): void {
    this.#batch.add(frame, patient);
  }

  /** The hub accepted the session: attempts count from 1 again, and the heartbeat starts. */
  established(): void {
    this.#cancelTimer();
    this.#reconnection.reset();
    this.#fallback.worked();
    // The session of several tabs cannot move with one of them: they go up when they dial next.
    if (this.#fallback.at > 0 && !this.settings.tabs) this.climb.start();
    const { clock, pongTimeoutMs } = this.settings;
    this.#heartbeat = new Heartbeat({ clock, pongTimeoutMs, silenceMs: this.silenceMs }, {
      sendPing: () => this.send(encode({ type: "ping" })),
      dead: (doubted) => {
        this.drop(Code.NO_PONG, "no pong");
        // Something changed on this side alone: nobody else comes back at this moment.
        if (doubted && this.#phase === "waiting") this.dial();
      },
      latency: (ms) => this.events.latency(ms),
    });
  }

  /** The hub accepted the session on the better transport, which carries it from now on. @param taken from the old one */
  rise(taken: boolean): void {
    const old = this.#transport;
    this.#left = false;
    this.#attempt += 1;
    this.#transport = this.climb.take(this.#listen(this.#attempt));
    this.#fallback.at = 0;
    this.#fallback.worked();
    old?.close(taken ? Code.STALE : 1000, "moved");
    this.#heartbeat?.moved();
  }

  /** The hub wants something else first (another name): it may take its time. */
  patient(): void {
    this.#cancelTimer();
  }

  /** Asks for a sign of life now. @param done called with the milliseconds, and not at all if the connection ends */
  ping(done?: (ms: number) => void): void {
    this.#heartbeat?.ping(done);
  }

  /** The network, the page or the machine is not what it was: a sign of life within 2 s, or another connection at once. */
  probe(): void {
    this.#heartbeat?.probe();
  }

  /** `silenceMs` has another answer now. */
  retime(): void {
    this.#heartbeat?.retime();
  }

  /** Ends the present connection or attempt; another follows if the code allows it. */
  drop(code: number, reason: string): void {
    this.#end(code, reason);
    this.#lost(code, reason, null);
  }

  /** Ends everything, without an event; `dial` starts again. */
  stop(code: number, reason: string): void {
    this.#batch.flush();
    this.#end(code, reason);
    this.#reconnection.reset();
  }

  async #dial(): Promise<void> {
    this.#phase = "trying";
    this.#token = undefined;
    this.#fallback.begin();
    const attempt = ++this.#attempt;
    this.#within(this.settings.connectTimeoutMs);
    this.events.dialing();
    let token: string | null;
    try {
      token = await this.settings.getToken();
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.events.error(new LocalError("token", { what: String(error) }, true));
      return this.drop(NO_STATUS, "no token");
    }
    if (attempt !== this.#attempt) return;
    this.#token = token;
    this.#open();
  }

  #open(): void {
    const attempt = ++this.#attempt;
    const { connectTimeoutMs, websocketTimeoutMs } = this.settings;
    this.#heard = false;
    this.#within(this.#fallback.isLast ? connectTimeoutMs : Math.min(websocketTimeoutMs, connectTimeoutMs));
    try {
      this.#transport = this.#factory(this.#fallback.at)(this.url, this.#listen(attempt));
    } catch (error) {
      // What the carrier throws (no class, a URL it cannot use) will not be better next time.
      const local = error instanceof LocalError ? error : new LocalError("bad_url", { url: this.url });
      this.#failed(NO_STATUS, local.reason, local);
    }
  }

  #factory(at: number) {
    return this.settings.transports[at] as Settings["transports"][number];
  }

  #listen(attempt: number): TransportEvents {
    const current = (call: () => void) => attempt === this.#attempt && call();
    return {
      onOpen: () =>
        current(() => {
          // Another transport would have been tried by now, and will if the hub does not answer on this one.
          if (!this.#fallback.isLast) this.#within(this.settings.connectTimeoutMs);
          this.events.open(this.#token ?? null);
        }),
      onMessage: (frame) => current(() => this.#receive(frame, attempt)),
      onClose: (code, reason) =>
        current(() => {
          if (this.climb.deciding) this.#left = true;
          else this.#failed(code, reason);
        }),
    };
  }

  /** A transport ended: the next one is tried at once if it never worked, else, and after all of them, there is a wait. */
  #failed(code: number, reason: string, error: LocalError | null = null): void {
    this.#advisedMs = Math.max(this.#advisedMs, advisedMs(reason));
    if (this.#token !== undefined && !this.#heard && code < 3000 && this.#fallback.next()) {
      // For good: were the session only slow, it would hold our name.
      this.#close(1000, reason);
      return this.#open();
    }
    this.#end(code, reason);
    // Of several, some can be dialed from anywhere: it is not for ever.
    if (error !== null && this.settings.transports.length === 1) this.#lost(Code.BAD_REQUEST_CLOSE, reason, error);
    else this.#lost(code, reason, null);
  }

  #within(ms: number): void {
    this.#cancelTimer();
    this.#cancelTimer = this.settings.clock.after(ms, () => this.#failed(NO_STATUS, `no answer within ${ms} ms`));
  }

  #end(code: number, reason: string): void {
    this.#phase = "idle";
    this.#left = false;
    this.climb.stop();
    this.#batch.clear();
    this.#heartbeat?.stop();
    this.#heartbeat = null;
    this.#close(code, reason);
  }

  #close(code: number, reason: string): void {
    this.#cancelTimer();
    this.#attempt += 1;
    const transport = this.#transport;
    this.#transport = null;
    transport?.close(code, reason);
  }

  #lost(code: number, reason: string, error: LocalError | null): void {
    const advised = Math.max(this.#advisedMs, advisedMs(reason));
    this.#advisedMs = 0;
    if (!reconnects(code)) return this.events.refused(code, reason, error);
    const attempt = this.#reconnection.next(advised);
    if (attempt !== null) {
      this.#phase = "waiting";
      this.#cancelTimer = this.settings.clock.after(attempt.delayMs, () => void this.#dial());
    }
    this.events.lost(code, reason);
    // A listener may have dialed, or disconnected, meanwhile.
    if (attempt === null && this.#phase === "idle") this.events.gaveUp(this.#reconnection.attempts);
    if (attempt !== null && this.#phase === "waiting") this.events.reconnecting(attempt);
  }

  #receive(frame: Frame, attempt: number): void {
    this.#heard = true;
    this.#heartbeat?.heard();
    let messages: Message[];
    try {
      messages = decode(frame);
    } catch (error) {
      return this.events.error(error as LocalError);
    }
    for (const message of messages) {
      // Handling one message may have ended the connection.
      if (attempt !== this.#attempt) return;
      if (message.type === "ping") this.send(encode({ type: "pong" }));
      else if (message.type === "pong") this.#heartbeat?.pong();
      else this.events.message(message);
    }
  }
}
