/** Which transport is tried next, and which one worked here before. */

/** Web storage, or something like it. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** A transport below the first is remembered so long: later the network, or its proxy, may be another. */
const MAX_AGE_MS = 600_000;

/** Goes from the remembered transport, else the first, through all of them once for each attempt. */
export class Fallback {
  /** Of the transport to try, or that is in use. */
  at = 0;
  #tried = 1;
  /** Where there is no store. */
  #memory = "";

  /**
   * @param count of transports
   * @param host of the hub
   * @param wallClock milliseconds since 1970: what is remembered outlives the page
   */
  constructor(
    private readonly count: number,
    private readonly host: string,
    private readonly store: () => Store | undefined = pageStore,
    private readonly wallClock: () => number = Date.now,
  ) {}

  begin(): void {
    this.at = this.#remembered();
    this.#tried = 1;
  }

  get isLast(): boolean {
    return this.#tried >= this.count;
  }

  /** @returns whether there is another one to try; else the attempt failed */
  next(): boolean {
    if (this.isLast) return false;
    this.#tried += 1;
    this.at = (this.at + 1) % this.count;
    return true;
  }

  /** The hub accepted a session on the present transport. */
  worked(): void {
    // The age counts from the time it was found, so that pages which are often left try the first one again.
    if (this.at === this.#remembered()) return;
    this.#memory = `${this.at} ${this.wallClock()}`;
    try {
      this.store()?.setItem(this.#key, this.#memory);
    } catch {
      // It is full, or forbidden.
    }
  }

  #remembered(): number {
    let stored: string | null | undefined;
    try {
      stored = this.store()?.getItem(this.#key);
    } catch {
      // It is forbidden.
    }
    const [at = 0, since = NaN] = (stored ?? this.#memory).split(" ").map(Number);
    const age = this.wallClock() - since;
    return at < this.count && age >= 0 && age < MAX_AGE_MS ? Math.floor(Math.max(at, 0)) : 0;
  }

  /** Some browsers tell the kind of network (https://wicg.github.io/netinfo). */
  get #key(): string {
    const { navigator } = globalThis as { navigator?: { connection?: { type?: string } } };
    return `chappe:${this.host}:${navigator?.connection?.type}`;
  }
}

/** Node has a storage as well, and warns when it is touched. */
function pageStore(): Store | undefined {
  const page = globalThis as { document?: unknown; localStorage?: Store };
  return page.document ? page.localStorage : undefined;
}
