/** Lets small messages wait for each other, so that several leave as one frame. */

import type { Clock } from "./clock.js";
import { takeFrame } from "./frames.js";

export interface BatchOptions {
  readonly clock: Clock;
  /** How long a message waits for others; 0: not at all. */
  readonly batchMs: number;
  /** So many do not wait any longer. */
  readonly batchMax: number;
}

export class Batch {
  readonly #queue: string[] = [];
  #cancel: (() => void) | null = null;

  constructor(
    private readonly options: BatchOptions,
    private readonly write: (frame: string) => void,
  ) {}

  /** @param patient whether it may wait; one that may not takes along all that wait, and order is kept */
  add(frame: string, patient: boolean): void {
    const { clock, batchMs, batchMax } = this.options;
    this.#queue.push(frame);
    if (!patient || batchMs === 0 || this.#queue.length >= batchMax) return this.flush();
    this.#cancel ??= clock.after(batchMs, () => this.flush());
  }

  flush(): void {
    this.#cancel?.();
    this.#cancel = null;
    while (this.#queue.length > 0) this.write(takeFrame(this.#queue));
  }

  /** What waits is not sent. */
  clear(): void {
    this.#queue.length = 0;
    this.flush();
  }
}
