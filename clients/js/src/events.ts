/** Typed events. Listeners run in the order they were added, inside the call that emits. */

import type { Off } from "./api.js";

type Listener = (...args: any[]) => void;

export class Events<E extends { [K in keyof E]: unknown[] }> {
  readonly #listeners = new Map<keyof E, Set<{ call: Listener }>>();

  /** The same function may be added twice; each `off` removes its own. */
  on<K extends keyof E>(event: K, call: (...args: E[K]) => void): Off {
    const entry = { call: call as Listener };
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(entry));
    return () => void listeners.delete(entry);
  }

  has(event: keyof E): boolean {
    return (this.#listeners.get(event)?.size ?? 0) > 0;
  }

  /** A listener that throws does not disturb the others, nor the connection: its error surfaces as an uncaught one. */
  emit<K extends keyof E>(event: K, ...args: E[K]): void {
    for (const { call } of [...(this.#listeners.get(event) ?? [])]) {
      try {
        call(...args);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
