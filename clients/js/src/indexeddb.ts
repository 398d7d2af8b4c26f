/** `chappe/outbox`: publishes that survive a reload, kept in IndexedDB and owned by one tab at a time. */

import type { DurableOptions, OutboxStorage, StoredEntry } from "./durable.js";
import { StoredOutbox } from "./durable.js";

export type { DurableOptions, DurableOutbox, StoredEntry } from "./durable.js";

export interface IndexedDbOutboxOptions extends DurableOptions {
  /** What separates users of one browser: entries made before the hub told who publishes go to whoever has this name. */
  name?: string;
}

/** One for each client: `connect(url, { outbox: indexedDbOutbox() })`. Needs a secure context, for Web Locks. */
export function indexedDbOutbox(options: IndexedDbOutboxOptions = {}): StoredOutbox {
  return new StoredOutbox(new IndexedDbStorage(options.name ?? ""), options);
}

const ENTRIES = "entries";
/** A tab that was duplicated has the name of the first: it waits so long for a page that is being left. */
const RELOAD_MS = 2_000;

class IndexedDbStorage implements OutboxStorage {
  page = "";
  #database!: IDBDatabase;
  #name = "";
  readonly #closed = new AbortController();
  readonly #watched = new Set<string>();

  constructor(private readonly user: string) {}

  async open(url: string): Promise<void> {
    if (!globalThis.navigator?.locks) throw new Error("no Web Locks: the page is no secure context");
    this.#name = `chappe-outbox ${this.user} ${url}`;
    const request = indexedDB.open(this.#name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(ENTRIES, { keyPath: ["page", "n"] });
    this.#database = await result(request);
    const earlier = sessionStorage.getItem(this.#name);
    if (earlier === null || !(await this.#own(earlier, AbortSignal.timeout(RELOAD_MS)))) await this.#own(crypto.randomUUID());
    sessionStorage.setItem(this.#name, this.page);
  }

  load(page: string): Promise<StoredEntry[]> {
    const all = IDBKeyRange.bound([page, 0], [page, Infinity]);
    return result(this.#transaction("readonly").objectStore(ENTRIES).getAll(all) as IDBRequest<StoredEntry[]>);
  }

  put(entries: readonly StoredEntry[]): Promise<void> {
    return this.#write((store) => entries.forEach((entry) => store.put(entry)));
  }

  delete(entries: readonly StoredEntry[]): Promise<void> {
    return this.#write((store) => entries.forEach(({ page, n }) => store.delete([page, n])));
  }

  async watch(adopt: (page: string) => Promise<void>): Promise<void> {
    const keys = await result(this.#transaction("readonly").objectStore(ENTRIES).getAllKeys());
    for (const page of new Set((keys as [string, number][]).map(([page]) => page))) {
      if (page === this.page || this.#watched.has(page)) continue;
      this.#watched.add(page);
      const lock = navigator.locks.request(this.#lock(page), { signal: this.#closed.signal }, () => adopt(page));
      lock.catch(() => undefined).finally(() => this.#watched.delete(page));
    }
  }

  close(): void {
    this.#closed.abort();
    this.#database?.close();
  }

  /** Owns the entries of a page until `close`. @returns false if another tab has them when the signal comes */
  #own(page: string, signal?: AbortSignal): Promise<boolean> {
    this.#closed.signal.throwIfAborted();
    return new Promise((resolve) => {
      const until = new Promise<void>((release) => this.#closed.signal.addEventListener("abort", () => release()));
      const lock = navigator.locks.request(this.#lock(page), signal ? { signal } : {}, () => {
        this.page = page;
        resolve(true);
        return until;
      });
      lock.catch(() => resolve(false));
    });
  }

  #lock(page: string): string {
    return `${this.#name} ${page}`;
  }

  #transaction(mode: IDBTransactionMode): IDBTransaction {
    return this.#database.transaction(ENTRIES, mode, { durability: "strict" });
  }

  async #write(change: (store: IDBObjectStore) => void): Promise<void> {
    const transaction = this.#transaction("readwrite");
    change(transaction.objectStore(ENTRIES));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
    });
  }
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
