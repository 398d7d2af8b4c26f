/** Which transport is tried next, and which one worked here before. */

export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** A transport below the first is remembered so long: later the network, or its proxy, may be another. */
const MAX_AGE_MS = 600_000;

/** Goes from the remembered transport, else the first, through all of them once for each attempt. */
export class Fallback {
  /** Of the transport to try, or that is in use. */
  at = 0;
  #tried = 1;
  readonly #store: Store;

  /**
   * @param count of transports
   * @param host of the hub
   * @param wallClock milliseconds since 1970: what is remembered outlives the page
   */
  constructor(
    private readonly count: number,
    private readonly host: string,
    store: Store | null = pageStore(),
    private readonly wallClock: () => number = Date.now,
  ) {
    this.#store = store ?? memoryStore();
  }

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
    this.#quietly((key) =>
      this.at === 0 ? this.#store.removeItem(key) : this.#store.setItem(key, `${this.at} ${this.wallClock()}`),
    );
  }

  #remembered(): number {
    const [at, since] = (this.#quietly((key) => this.#store.getItem(key)) ?? "").split(" ").map(Number);
    const age = this.wallClock() - (since ?? NaN);
    return at! > 0 && at! < this.count && age >= 0 && age < MAX_AGE_MS ? Math.floor(at!) : 0;
  }

  /** Storage may be full, or forbidden. */
  #quietly<T>(call: (key: string) => T): T | null {
    try {
      return call(`chappe:${this.host}:${networkInformation()?.type ?? ""}`);
    } catch {
      return null;
    }
  }
}

/** https://wicg.github.io/netinfo: some browsers tell the kind of network, and when it changes. */
export function networkInformation(): { type?: string; addEventListener?: unknown; removeEventListener?: unknown } | undefined {
  return (globalThis as { navigator?: { connection?: { type?: string } } }).navigator?.connection;
}

function pageStore(): Store | null {
  const page = globalThis as { document?: unknown; localStorage?: Store };
  try {
    // Node has a storage as well, and warns when it is touched.
    return page.document === undefined ? null : (page.localStorage ?? null);
  } catch {
    return null;
  }
}

function memoryStore(): Store {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}
