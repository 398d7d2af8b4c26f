/** The way back up: while a lower transport carries the session, the first one is tried beside it from time to time. */

import type { Clock } from "./clock.js";
import type { Frame, Message } from "./protocol.js";
import { decode } from "./protocol.js";
import type { Transport, TransportEvents } from "./transport.js";

export interface ClimbOptions {
  readonly clock: Clock;
  readonly getToken: () => string | null | Promise<string | null>;
  readonly websocketTimeoutMs: number;
  readonly connectTimeoutMs: number;
}

export interface ClimbEvents {
  /** The first transport is open. `decide` when the session may move, and say `connect` there. */
  open(token: string | null): void;
  message(message: Message): void;
  /** It did not open, was too slow, or was given up: all stays as it is. */
  failed(): void;
}

/** Between tries; doubled each time. */
const FIRST_MS = 60_000;
const MAX_MS = 600_000;
/** How long the session may take until nothing is under way. */
const SETTLE_MS = 2_000;

export class Climb {
  /** Whether `connect` was said up there: the hub may end the present connection any time now. */
  deciding = false;
  /** Until the next try; 0: not wanted. */
  #waitMs = 0;
  #cancelTimer: () => void = () => undefined;
  #transport: Transport | null = null;
  /** There while it tries: says who hears of the transport. */
  #redirect: ((events: TransportEvents) => void) | null = null;
  /** Grows with each try and with its end. */
  #try = 0;

  constructor(
    private readonly dial: (events: TransportEvents) => Transport,
    private readonly options: ClimbOptions,
    private readonly events: ClimbEvents,
  ) {}

  start(): void {
    this.stop();
    this.#waitMs = FIRST_MS;
    this.#later();
  }

  /** Ends the present try as well. */
  stop(): void {
    this.#waitMs = 0;
    this.#end();
  }

  /** The network came back or is another one: tries at once, if it is wanted and not under way. */
  now(): void {
    if (this.#waitMs > 0 && this.#redirect === null) void this.#dial();
  }

  decide(frame: string): void {
    this.deciding = true;
    this.#within(this.options.connectTimeoutMs);
    this.#transport?.send(frame);
  }

  /** Gives the try up; another follows. */
  fail(): void {
    this.#end();
    this.#later();
    this.events.failed();
  }

  /** Hands the transport over, and ends. @param events hears of it from now on */
  take(events: TransportEvents): Transport {
    const transport = this.#transport as Transport;
    this.#redirect?.(events);
    this.#transport = null;
    this.stop();
    return transport;
  }

  async #dial(): Promise<void> {
    const id = ++this.#try;
    const current = (call: () => void) => id === this.#try && call();
    let token: string | null = null;
    let target: TransportEvents = {
      onOpen: () =>
        current(() => {
          this.#within(SETTLE_MS);
          this.events.open(token);
        }),
      onMessage: (frame) => current(() => this.#receive(frame)),
      onClose: () => current(() => this.fail()),
    };
    this.#redirect = (events) => (target = events);
    this.#within(this.options.websocketTimeoutMs);
    try {
      token = await this.options.getToken();
      if (id !== this.#try) return;
      this.#transport = this.dial({
        onOpen: () => target.onOpen(),
        onMessage: (frame) => target.onMessage(frame),
        onClose: (code, reason) => target.onClose(code, reason),
      });
    } catch {
      current(() => this.fail());
    }
  }

  #receive(frame: Frame): void {
    try {
      for (const message of decode(frame)) this.events.message(message);
    } catch {
      this.fail();
    }
  }

  #within(ms: number): void {
    this.#cancelTimer();
    this.#cancelTimer = this.options.clock.after(ms, () => this.fail());
  }

  #later(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.options.clock.after(this.#waitMs, () => void this.#dial());
    this.#waitMs = Math.min(this.#waitMs * 2, MAX_MS);
  }

  #end(): void {
    this.#cancelTimer();
    this.#try += 1;
    this.deciding = false;
    this.#redirect = null;
    const transport = this.#transport;
    this.#transport = null;
    transport?.close(1000, "");
  }
}
