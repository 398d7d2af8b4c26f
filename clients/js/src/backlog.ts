/** The bounded queue between a subscription and its iterator. */

export class Backlog<T> {
  #items: T[] = [];
  #takers: { resolve: (result: IteratorResult<T>) => void; reject: (error: unknown) => void }[] = [];
  #end: { error: unknown } | null = null;

  /**
   * @param size the most items that wait; who pushes looks at `full` first and decides what to do
   * @param taken called after each item that was taken
   */
  constructor(
    readonly size: number,
    private readonly taken: () => void,
  ) {}

  get length(): number {
    return this.#items.length;
  }

  get full(): boolean {
    return this.#items.length >= this.size && this.#takers.length === 0;
  }

  push(item: T): void {
    const taker = this.#takers.shift();
    if (taker) taker.resolve({ value: item, done: false });
    else this.#items.push(item);
  }

  dropOldest(): void {
    this.#items.shift();
  }

  /** Takes everything that waits. */
  drain(): T[] {
    return this.#items.splice(0);
  }

  /** Resolves in the order of the calls. What was pushed before `end` is still taken, then the loop ends or throws. */
  next(): Promise<IteratorResult<T>> {
    if (this.#items.length > 0) {
      const value = this.#items.shift() as T;
      this.taken();
      return Promise.resolve({ value, done: false });
    }
    if (this.#end) {
      const { error } = this.#end;
      // Thrown once; after that the loop is simply over.
      this.#end = { error: null };
      return error === null ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error);
    }
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  /** No more will come. @param error null: the loop ends, else it throws */
  end(error: unknown = null): void {
    if (this.#end) return;
    this.#end = { error };
    for (const taker of this.#takers.splice(0)) this.next().then(taker.resolve, taker.reject);
  }
}
