/** A clock that the test turns by hand. */

import type { Clock } from "../src/clock.js";

interface Timer {
  readonly at: number;
  readonly n: number;
  readonly call: () => void;
}

export class FakeClock implements Clock {
  #now = 0;
  #n = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  /** Milliseconds the machine slept: the calendar went on, and no timer did. */
  slept = 0;

  wall(): number {
    return 1_790_000_000_000 + this.#now + this.slept;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#now + ms, n: ++this.#n, call };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Timers that would still fire. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets time pass: due timers fire in order, and promises settle before the next one. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (let timer = this.#next(end); timer; timer = this.#next(end)) {
      this.#now = timer.at;
      this.#timers.delete(timer);
      timer.call();
      await settled();
    }
    this.#now = end;
  }

  #next(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= end && (!next || timer.at < next.at || (timer.at === next.at && timer.n < next.n))) next = timer;
    }
    return next;
  }
}

/** Resolves after all promises that can settle without time passing. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Numbers in [0, 1) that repeat for a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
