/** Time as an argument: everything that waits or measures takes a clock, so that tests can turn it by hand. */

export interface Clock {
  /** Monotonic milliseconds; may stand still while the machine sleeps. */
  now(): number;
  /** Milliseconds of the calendar, which go on during sleep and may be set back. */
  wall(): number;
  /** Calls once after `ms`; returns what cancels it. */
  after(ms: number, call: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};
