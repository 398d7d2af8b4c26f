/** Notices a dead connection (browsers do not) and a machine that slept, and measures the latency. */

import type { Clock } from "./clock.js";

export interface HeartbeatEvents {
  sendPing(): void;
  /** Nothing was heard in time after a ping; `doubted` if there was a reason to ask. */
  dead(doubted: boolean): void;
  latency(ms: number): void;
}

export interface HeartbeatOptions {
  readonly clock: Clock;
  readonly pongTimeoutMs: number;
  /** Silence that is followed by a ping, as things are now; 0 for none. Ask again with `retime` when it changed. */
  silenceMs(): number;
}

/** How long an answer may take when there is a reason to doubt the connection. */
export const PROBE_MS = 2_000;
/** How often the clocks are compared, at most this late is sleep noticed. A hidden page's timers are later anyway. */
const LOOK_MS = 5_000;

/** One for each connection. Any frame is a sign of life; pongs answer pings in order. */
export class Heartbeat {
  #heardAt: number;
  #cancelSilence: () => void = () => undefined;
  readonly #deadlines = new Map<number, () => void>();
  readonly #pings: { sentAt: number; done: (ms: number) => void }[] = [];

  constructor(
    private readonly options: HeartbeatOptions,
    private readonly events: HeartbeatEvents,
  ) {
    this.#heardAt = options.clock.now();
    this.retime();
  }

  stop(): void {
    this.#cancelSilence();
    for (const cancel of this.#deadlines.values()) cancel();
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
  ping(done: (ms: number) => void = () => undefined, withinMs = this.options.pongTimeoutMs): void {
    const { clock } = this.options;
    const sentAt = clock.now();
    this.#pings.push({ sentAt, done });
    this.events.sendPing();
    if (this.#deadlines.has(withinMs)) return;
    const cancel = clock.after(withinMs, () => {
      this.#deadlines.delete(withinMs);
      if (this.#heardAt >= sentAt) return;
      this.stop();
      this.events.dead(withinMs === PROBE_MS);
    });
    this.#deadlines.set(withinMs, cancel);
  }

  /** Asks for a sign of life within 2 s: the network, the page or the machine is not what it was. */
  probe(): void {
    this.ping(undefined, PROBE_MS);
  }

  /** Looks at the present `silenceMs`, counted from the last frame heard. */
  retime(): void {
    this.#cancelSilence();
    const { clock } = this.options;
    const silenceMs = this.options.silenceMs();
    if (silenceMs === 0) return;
    const [now, wall] = [clock.now(), clock.wall()];
    const dueMs = Math.max(0, this.#heardAt + silenceMs - now);
    // Shorter steps only where a person may be waiting for the page after sleep.
    const stepMs = silenceMs <= 60_000 ? Math.min(dueMs || silenceMs, LOOK_MS) : dueMs || silenceMs;
    if (dueMs === 0 && this.#deadlines.size === 0) this.ping();
    this.#cancelSilence = clock.after(stepMs, () => {
      const lateMs = Math.max(clock.wall() - wall, clock.now() - now) - stepMs;
      if (lateMs > silenceMs) this.probe();
      this.retime();
    });
  }
}
