/** Notices a dead connection (browsers do not), and measures the latency. */

import type { Clock } from "./clock.js";

export interface HeartbeatEvents {
  sendPing(): void;
  /** Nothing was heard for `pongTimeoutMs` after a ping. */
  dead(): void;
  latency(ms: number): void;
}

export interface HeartbeatOptions {
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly pongTimeoutMs: number;
}

/** One for each connection. Any frame is a sign of life; pongs answer pings in order. */
export class Heartbeat {
  #heardAt: number;
  #cancelSilence: () => void = () => undefined;
  #cancelDeadline: (() => void) | null = null;
  readonly #pings: { sentAt: number; done: (ms: number) => void }[] = [];

  constructor(
    private readonly options: HeartbeatOptions,
    private readonly events: HeartbeatEvents,
  ) {
    this.#heardAt = options.clock.now();
    this.#watchSilence(options.heartbeatMs);
  }

  stop(): void {
    this.#cancelSilence();
    this.#cancelDeadline?.();
  }

  /** A frame came. Cheap: no timer is touched, the next one to fire looks at the time. */
  heard(): void {
    this.#heardAt = this.options.clock.now();
  }

  /** Another connection carries the session: what was asked on the old one is asked again. */
  moved(): void {
    for (const _ of this.#pings) this.events.sendPing();
  }

  pong(): void {
    const ping = this.#pings.shift();
    if (ping === undefined) return;
    const ms = this.options.clock.now() - ping.sentAt;
    this.events.latency(ms);
    ping.done(ms);
  }

  /** Asks for a sign of life now, within `pongTimeoutMs`. @param done is called at the pong, and never after `stop` */
  ping(done: (ms: number) => void = () => undefined): void {
    const sentAt = this.options.clock.now();
    this.#pings.push({ sentAt, done });
    this.events.sendPing();
    this.#cancelDeadline ??= this.options.clock.after(this.options.pongTimeoutMs, () => {
      this.#cancelDeadline = null;
      if (this.#heardAt < sentAt) this.events.dead();
    });
  }

  #watchSilence(ms: number): void {
    if (this.options.heartbeatMs === 0) return;
    this.#cancelSilence = this.options.clock.after(ms, () => {
      const silent = this.options.clock.now() - this.#heardAt;
      const due = silent >= this.options.heartbeatMs;
      if (due && this.#cancelDeadline === null) this.ping();
      this.#watchSilence(due ? this.options.heartbeatMs : this.options.heartbeatMs - silent);
    });
  }
}
