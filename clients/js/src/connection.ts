/** Keeps a connection to the hub: dials, watches that it lives, and dials again. What is said on it is the client's. */

import { LocalError } from "./errors.js";
import { Code } from "./errors.generated.js";
import { Heartbeat } from "./heartbeat.js";
import type { Settings } from "./options.js";
import type { Message } from "./protocol.js";
import { decode, encode } from "./protocol.js";
import type { Attempt } from "./reconnection.js";
import { Reconnection, reconnects } from "./reconnection.js";
import type { Transport } from "./transport.js";

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
}

const NO_STATUS = 1006;

export class Connection {
  readonly #reconnection: Reconnection;
  #transport: Transport | null = null;
  #heartbeat: Heartbeat | null = null;
  /** `trying` from the first step of an attempt to the end of the connection it led to. */
  #phase: "idle" | "waiting" | "trying" = "idle";
  #cancelTimer: () => void = () => undefined;
  /** Grows with each attempt and with its end: what belongs to an earlier one is ignored. */
  #attempt = 0;

  constructor(
    private readonly url: string,
    private readonly settings: Settings,
    private readonly events: ConnectionEvents,
    private readonly silenceMs: () => number,
  ) {
    this.#reconnection = new Reconnection(settings);
  }

  /** Dials now, unless an attempt or a connection is there already. */
  dial(): void {
    if (this.#phase !== "trying") void this.#dial();
  }

  send(frame: string): void {
    this.#transport?.send(frame);
  }

  /** The hub accepted the session: attempts count from 1 again, and the heartbeat starts. */
  established(): void {
    this.#cancelTimer();
    this.#reconnection.reset();
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
    this.#end(code, reason);
    this.#reconnection.reset();
  }

  async #dial(): Promise<void> {
    const attempt = this.#begin();
    this.events.dialing();
    let token: string | null;
    try {
      token = await this.settings.getToken();
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.events.error(new LocalError("token", { what: String(error) }, true));
      return this.drop(NO_STATUS, "no token");
    }
    if (attempt === this.#attempt) this.#open(attempt, token);
  }

  #open(attempt: number, token: string | null): void {
    const current = (call: () => void) => attempt === this.#attempt && call();
    try {
      this.#transport = this.settings.transport(this.url, {
        onOpen: () => current(() => this.events.open(token)),
        onMessage: (frame) => current(() => this.#receive(frame, attempt)),
        onClose: (code, reason) =>
          current(() => {
            this.#end(code, reason);
            this.#lost(code, reason, null);
          }),
      });
    } catch (error) {
      this.#end(NO_STATUS, "");
      // What the carrier throws (no class, a URL it cannot use) will not be better next time.
      const local = error instanceof LocalError ? error : new LocalError("bad_url", { url: this.url });
      this.#lost(Code.BAD_REQUEST_CLOSE, local.reason, local);
    }
  }

  #begin(): number {
    this.#cancelTimer();
    this.#phase = "trying";
    this.#attempt += 1;
    const ms = this.settings.connectTimeoutMs;
    this.#cancelTimer = this.settings.clock.after(ms, () => this.drop(NO_STATUS, `no answer within ${ms} ms`));
    return this.#attempt;
  }

  #end(code: number, reason: string): void {
    this.#cancelTimer();
    this.#phase = "idle";
    this.#attempt += 1;
    this.#heartbeat?.stop();
    this.#heartbeat = null;
    const transport = this.#transport;
    this.#transport = null;
    transport?.close(code, reason);
  }

  #lost(code: number, reason: string, error: LocalError | null): void {
    if (!reconnects(code)) return this.events.refused(code, reason, error);
    const attempt = this.#reconnection.next();
    if (attempt !== null) {
      this.#phase = "waiting";
      this.#cancelTimer = this.settings.clock.after(attempt.delayMs, () => void this.#dial());
    }
    this.events.lost(code, reason);
    // A listener may have dialed, or disconnected, meanwhile.
    if (attempt === null && this.#phase === "idle") this.events.gaveUp(this.#reconnection.attempts);
    if (attempt !== null && this.#phase === "waiting") this.events.reconnecting(attempt);
  }

  #receive(frame: string, attempt: number): void {
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
