/** When to dial again: exponential backoff with full jitter, without timers. */

export interface Backoff {
  readonly reconnectIntervalMs: number;
  readonly reconnectMaxMs: number;
  readonly jitter: "full" | "none";
  /** 0: for ever. */
  readonly maxAttempts: number;
  readonly random: () => number;
}

export interface Attempt {
  readonly n: number;
  readonly of: number;
  readonly delayMs: number;
}

/** Nobody is sent away for longer. */
const MAX_ADVISED_MS = 600_000;

/**
 * Whether a closed connection is dialed again: 3000-3499 and 4000-4499 yes, 3500-3999 and 4500-4999 no, and so are all
 * other codes (the network, a proxy, a crash) yes.
 */
export function reconnects(code: number): boolean {
  return !((code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999));
}

/** Attempt n waits up to interval x 2^(n-1), at most `maxMs`. */
export function delayMs(n: number, { reconnectIntervalMs, reconnectMaxMs, jitter, random }: Backoff): number {
  // 2^30 intervals are beyond every maximum, and 2^1024 would be Infinity.
  const ceiling = Math.min(reconnectIntervalMs * 2 ** Math.min(n - 1, 30), reconnectMaxMs);
  return jitter === "none" ? ceiling : Math.floor(random() * ceiling);
}

/** What a close reason says about when to come back (SH-1), in milliseconds; 0 if it says nothing. */
export function advisedMs(reason: string): number {
  const [, ms] = /reconnect after (\d{1,9}) ms/.exec(reason) ?? [];
  return Math.min(Number(ms ?? 0), MAX_ADVISED_MS);
}

/** Counts attempts from the last connection on. */
export class Reconnection {
  #attempts = 0;
  constructor(private readonly backoff: Backoff) {}

  get attempts(): number {
    return this.#attempts;
  }

  /**
   * The next attempt, or null when the limit is reached.
   * @param advised milliseconds, from the hub: instead of the first delay, and before each later one
   */
  next(advised = 0): Attempt | null {
    const of = this.backoff.maxAttempts;
    if (of > 0 && this.#attempts >= of) return null;
    const n = ++this.#attempts;
    const own = n === 1 && advised > 0 ? 0 : delayMs(n, this.backoff);
    return { n, of, delayMs: advised + own };
  }

  /** The hub accepted the session: the next loss counts from 1 again. */
  reset(): void {
    this.#attempts = 0;
  }
}
