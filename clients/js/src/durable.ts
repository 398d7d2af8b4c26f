/** Publishes that outlive the page: kept in a store until the hub has answered, and sent by the next page if need be. */

import type { Position } from "./api.js";
import type { ChappeError, LocalError, LocalKind } from "./errors.js";
import type { Outgoing } from "./outbox.js";

/** What the client does for its durable outbox. */
export interface OutboxLine {
  /** Sends now and, as long as this page lives, again after a cut. Rejects as `publish` does. */
  send(outgoing: Outgoing): Promise<Position>;
  error(kind: LocalKind, params?: Readonly<Record<string, unknown>>): LocalError;
  /** For what no promise tells. */
  report(error: ChappeError): void;
}

/** What the client asks of it; one for each client. */
export interface DurableOutbox {
  /** Publishes that are not acknowledged, those of earlier pages included. */
  readonly length: number;
  /** Called once, first. */
  attach(url: string, line: OutboxLine): void;
  publish(outgoing: Outgoing): Promise<Position>;
  /** @param owner for whom the hub remembers idempotency keys on this connection */
  connected(owner: string): void;
  cut(): void;
  /** Nothing is sent until `connected`: promises reject with the error, what is stored stays stored. */
  fail(error: ChappeError): void;
  /** The client ended for good; the next one may send what is stored. */
  close(): void;
}

/** A publish as it is kept. `page` is the tab it was made in; `n` orders those of a page. */
export interface StoredEntry {
  readonly page: string;
  readonly n: number;
  readonly command: Outgoing["command"];
  readonly data: string;
  readonly addedAt: number;
  /** Milliseconds of the calendar: it may have reached the hub at any time from here on. */
  sentAt: number | null;
  /** Who published, if that was known; once sent, for whom the hub remembers its key. */
  by: string | null;
}

/** Where entries are kept. Every call but `page` and `close` may reject, and then nothing was done. */
export interface OutboxStorage {
  /** The name of this tab, kept over a reload; known after `open`. */
  readonly page: string;
  /** Resolves when this tab owns its entries, to the exclusion of all others. */
  open(url: string): Promise<void>;
  /** The entries of a page, in order. */
  load(page: string): Promise<StoredEntry[]>;
  put(entries: readonly StoredEntry[]): Promise<void>;
  delete(entries: readonly StoredEntry[]): Promise<void>;
  /**
   * Calls `adopt` for each other page that has entries and is gone, or as soon as it is; no other tab gets them until
   * the promise of `adopt` is done.
   */
  watch(adopt: (page: string) => Promise<void>): Promise<void>;
  /** Gives up ownership. */
  close(): void;
}

export interface DurableOptions {
  /** Entries of this tab; default 1,000. */
  maxEntries?: number;
  /** Of JSON text, for this tab; default 5 MiB. */
  maxBytes?: number;
  /** When full: `reject` the new publish (default), or give up the oldest that was not sent; both with `queue_full`. */
  onFull?: "reject" | "drop_oldest";
  /** An entry of an earlier page is stored by the hub now. */
  onSent?: (publication: StoredEntry, position: Position) => void;
  /** An entry of an earlier page was refused, or is `unconfirmed`; the client's `error` event tells too. */
  onFailed?: (publication: StoredEntry, error: ChappeError) => void;
}

interface Item {
  readonly entry: StoredEntry;
  readonly outgoing: Outgoing;
  readonly settle: (error: unknown, position: Position | null) => void;
  stored: boolean;
  handed: boolean;
}

/** Under the 300 s for which the hub remembers keys. */
const CONFIRM_WITHIN_MS = 270_000;
const WINDOW = 100;

/** Each entry is in the store before it leaves, with the time it leaves, so that no page ever takes it for unsent. */
export class StoredOutbox implements DurableOutbox {
  #line!: OutboxLine;
  #items: Item[] = [];
  #owner: string | null = null;
  #lastOwner: string | null = null;
  #inFlight = 0;
  #n = 0;
  #bytes = 0;
  #ready: Promise<unknown> = Promise.resolve();
  #pumping = false;
  #durable = true;
  #failed = false;
  #releases: (() => void)[] = [];

  constructor(
    private readonly storage: OutboxStorage,
    private readonly options: DurableOptions = {},
    private readonly now: () => number = Date.now,
  ) {}

  get length(): number {
    return this.#items.length;
  }

  /** False after the store failed: publishes are then kept in memory only. */
  get durable(): boolean {
    return this.#durable;
  }

  attach(url: string, line: OutboxLine): void {
    this.#line = line;
    this.#ready = this.storage.open(url).then(
      () => this.#load(),
      (error: unknown) => this.#broken(error),
    );
  }

  publish(outgoing: Outgoing): Promise<Position> {
    return new Promise((resolve, reject) => {
      const { signal, ...kept } = outgoing;
      signal?.throwIfAborted();
      if (!this.#makeRoom(size(kept))) return reject(this.#full());
      const entry = { page: "", n: 0, command: kept.command, data: kept.data, addedAt: this.now(), sentAt: null, by: this.#lastOwner };
      const item = this.#add(entry, outgoing, (error, position) => {
        signal?.removeEventListener("abort", abort);
        if (position) resolve(position);
        else reject(error);
      });
      const abort = (): void => this.#end(item, signal?.reason, null);
      signal?.addEventListener("abort", abort, { once: true });
      void this.#pump();
    });
  }

  connected(owner: string): void {
    this.#owner = this.#lastOwner = owner;
    if (this.#failed) this.#ready = this.#load();
    this.#failed = false;
    void this.#pump();
    void this.#ready.then(() => this.storage.watch((page) => this.#adopt(page))).catch(() => undefined);
  }

  cut(): void {
    this.#owner = null;
  }

  fail(error: ChappeError): void {
    this.#owner = null;
    this.#failed = true;
    const items = this.#items.splice(0);
    this.#inFlight = this.#bytes = 0;
    for (const { settle } of items) settle(error, null);
    for (const release of this.#releases.splice(0)) release();
  }

  close(): void {
    this.storage.close();
  }

  // ---- what earlier pages left --------------------------------------------------------------------------------------

  /** In front of what this page publishes. */
  async #load(): Promise<void> {
    const later = this.#items.splice(0);
    try {
      for (const entry of await this.storage.load(this.storage.page)) this.#take(entry);
    } catch (error) {
      this.#broken(error);
    }
    this.#items.push(...later);
  }

  async #adopt(page: string): Promise<void> {
    const taken = (await this.storage.load(page)).map((entry) => this.#take(entry));
    const done = Promise.all(taken);
    const released = new Promise<void>((resolve) => this.#releases.push(resolve));
    void this.#pump();
    await Promise.race([done, released]);
  }

  /** @returns when its fate is known */
  #take(entry: StoredEntry): Promise<void> {
    this.#n = Math.max(this.#n, entry.n);
    return new Promise((resolve) => {
      const outgoing = { command: entry.command, data: entry.data, resend: true };
      const item = this.#add(entry, outgoing, (error, position) => {
        if (position) this.options.onSent?.(entry, position);
        else if (!this.#failed) {
          this.options.onFailed?.(entry, error as ChappeError);
          this.#line.report(error as ChappeError);
        }
        resolve();
      });
      item.stored = true;
    });
  }

  // ---- room ---------------------------------------------------------------------------------------------------------

  #makeRoom(bytes: number): boolean {
    const { maxEntries = 1_000, maxBytes = 5 * 1024 * 1024, onFull = "reject" } = this.options;
    const fits = () => this.#items.length < maxEntries && this.#bytes + bytes <= maxBytes;
    while (!fits() && onFull === "drop_oldest" && bytes <= maxBytes) {
      const oldest = this.#items.find(({ entry }) => entry.sentAt === null);
      if (oldest === undefined) break;
      this.#end(oldest, this.#full(), null);
    }
    return fits();
  }

  #full(): ChappeError {
    return this.#line.error("queue_full", { size: this.#items.length });
  }

  #add(entry: StoredEntry, outgoing: Outgoing, settle: Item["settle"]): Item {
    const item = { entry, outgoing, settle, stored: false, handed: false };
    this.#items.push(item);
    this.#bytes += size(entry);
    return item;
  }

  #end(item: Item, error: unknown, position: Position | null): void {
    const index = this.#items.indexOf(item);
    if (index < 0) return;
    this.#items.splice(index, 1);
    this.#bytes -= size(item.entry);
    if (item.handed) this.#inFlight -= 1;
    if (item.stored) this.storage.delete([item.entry]).catch(() => undefined);
    item.settle(error, position);
    void this.#pump();
  }

  // ---- sending ------------------------------------------------------------------------------------------------------

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    await this.#ready;
    while (await this.#step());
    this.#pumping = false;
  }

  /** Stores what is new and sends what may be sent. @returns whether there was anything to do */
  async #step(): Promise<boolean> {
    const owner = this.#owner;
    const free = owner === null ? 0 : WINDOW - this.#inFlight;
    const waiting = this.#items.filter(({ handed, entry }) => !handed && !isForeign(entry, owner));
    const leaving = waiting.slice(0, free).filter((item) => this.#mayLeave(item, owner));
    const fresh = this.#items.filter((item) => !item.stored && !item.handed && !leaving.includes(item));
    if (leaving.length + fresh.length === 0) return false;
    const unsent = leaving.filter(({ entry }) => entry.sentAt === null);
    for (const { entry } of unsent) Object.assign(entry, { sentAt: this.now(), by: owner });
    await this.#store([...fresh, ...unsent]);
    for (const item of leaving) {
      if (!this.#items.includes(item)) continue;
      if (this.#owner === owner) this.#send(item);
      else if (unsent.includes(item)) Object.assign(item, { stored: false }).entry.sentAt = null;
    }
    return true;
  }

  /** What an earlier page sent may only be repeated while the hub recognises it. */
  #mayLeave(item: Item, owner: string | null): boolean {
    const { sentAt, by } = item.entry;
    if (sentAt === null) return true;
    // A clock that was set back says nothing about how long ago it was.
    if (by === owner && Math.abs(this.now() - sentAt) <= CONFIRM_WITHIN_MS) return true;
    this.#end(item, this.#line.error("unconfirmed"), null);
    return false;
  }

  #send(item: Item): void {
    item.handed = true;
    this.#inFlight += 1;
    this.#line.send(item.outgoing).then(
      (position) => this.#end(item, null, position),
      (error: unknown) => this.#end(item, error, null),
    );
  }

  async #store(items: readonly Item[]): Promise<void> {
    const wanted = items.filter((item) => this.#items.includes(item));
    const entries = wanted.map(({ entry }) => (entry.n === 0 ? Object.assign(entry, { page: this.storage.page, n: ++this.#n }) : entry));
    if (!this.#durable || entries.length === 0) return this.#mark(wanted);
    try {
      await this.storage.put(entries);
    } catch (error) {
      this.#broken(error);
      // What is stored as unsent would be sent once more by the next page.
      await this.storage.delete(entries).catch(() => undefined);
    }
    this.#mark(wanted);
  }

  #mark(items: readonly Item[]): void {
    for (const item of items) {
      // It ended while it was being stored.
      if (!this.#items.includes(item)) this.storage.delete([item.entry]).catch(() => undefined);
      item.stored = true;
    }
  }

  #broken(error: unknown): void {
    if (!this.#durable) return;
    this.#durable = false;
    const what = error instanceof Error ? error.name + (error.message && `: ${error.message}`) : String(error);
    this.#line.report(this.#line.error("storage", { what }));
  }
}

/** Another user of this browser published it: it waits for that one. */
function isForeign({ by }: StoredEntry, owner: string | null): boolean {
  return by !== null && by !== owner && by.startsWith("user ");
}

function size({ command, data }: { readonly command: object; readonly data: string }): number {
  return data.length + JSON.stringify(command).length;
}
