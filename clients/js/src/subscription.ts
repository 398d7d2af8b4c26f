/** One channel or pattern: what the hub says about it, in order and without duplicates, for listeners and an iterator. */

import type {
  Member, Off, Position, Publication, SubscribeOptions, Subscription, SubscriptionEvents,
} from "./api.js";
import { onAbort } from "./abort.js";
import { Backlog } from "./backlog.js";
import { isPattern } from "./channels.js";
import type { Cursor } from "./cursor.js";
import { ChannelCursor, PatternCursor } from "./cursor.js";
import { Code } from "./errors.generated.js";
import type { ChappeError } from "./errors.js";
import { LocalError } from "./errors.js";
import { Events } from "./events.js";
import { Members } from "./members.js";
import type { Command, Message } from "./protocol.js";
import { member, number, presence, publication, text } from "./protocol.js";

/** What a subscription asks of its client. */
export interface SubscriptionOwner {
  /** Subscribe now if there is a connection, else at the next one. */
  enter(subscription: ChannelSubscription): void;
  /** Tell the hub, and keep the subscription: it will enter again. */
  leave(subscription: ChannelSubscription): void;
  /** Tell the hub, and forget the subscription. */
  remove(subscription: ChannelSubscription): void;
}

export class ChannelSubscription implements Subscription<any> {
  readonly cursor: Cursor;
  active = false;
  recovered: boolean | null = null;
  /** Counts the times the hub let us in. */
  stay = 0;
  /** Has left because the iterator is behind. */
  paused = false;
  readonly #events = new Events<SubscriptionEvents<any>>();
  readonly #backlog: Backlog<Publication<any>>;
  readonly #members = new Members();
  readonly #stopListening: () => void;
  #iterated = false;
  #ended: { error: ChappeError | null } | null = null;
  #waiters: { resolve: () => void; reject: (error: ChappeError) => void }[] = [];

  constructor(
    readonly channel: string,
    private readonly owner: SubscriptionOwner,
    private readonly options: SubscribeOptions,
  ) {
    const since = options.since;
    this.cursor = isPattern(channel) ? new PatternCursor() : new ChannelCursor(since);
    this.#backlog = new Backlog(Math.max(1, options.queueSize ?? 1_024), () => this.#taken());
    this.#stopListening = onAbort(options.signal, () => this.unsubscribe());
  }

  get position(): Position | null {
    return this.cursor.position;
  }

  get members(): readonly Member[] {
    return this.#members.list;
  }

  get count(): number {
    return this.#members.count;
  }

  on<K extends keyof SubscriptionEvents<any>>(event: K, listener: (...args: SubscriptionEvents<any>[K]) => void): Off {
    const off = this.#events.on(event, listener);
    // What came before the first listener, and no iterator wants, is for the listener.
    if (event === "publication" && !this.#iterated && this.#backlog.length > 0) {
      queueMicrotask(() => {
        for (const item of this.#backlog.drain()) this.#events.emit("publication", item);
        this.#taken();
      });
    }
    return off;
  }

  subscribed(): Promise<void> {
    if (this.active || (this.recovered !== null && !this.#ended)) return Promise.resolve();
    if (this.#ended) return Promise.reject(this.#ended.error ?? new LocalError("closed"));
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  unsubscribe(): void {
    if (this.#ended) return;
    this.owner.remove(this);
    this.end(Code.UNSUBSCRIBED, "", null);
  }

  [Symbol.asyncIterator](): AsyncIterator<Publication<any>> {
    this.#iterated = true;
    return {
      next: () => this.#backlog.next(),
      return: () => {
        this.unsubscribe();
        return Promise.resolve({ value: undefined, done: true });
      },
    };
  }

  // ---- from the client ----------------------------------------------------------------------------------------------

  command(): Command {
    const { since } = this.cursor;
    return { type: "subscribe", channel: this.channel, since, presence: this.options.presence || undefined };
  }

  accepted(reply: Message): void {
    this.cursor.accepted(reply);
    this.active = true;
    this.stay += 1;
    this.recovered = reply["recovered"] === true;
    this.#events.emit("subscribed", this.recovered, this.position);
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  /** The connection, or this stay on the channel, is over; another will follow. */
  cut(): void {
    this.active = false;
  }

  /** It will not be tried again. */
  end(code: number, reason: string, error: ChappeError | null): void {
    if (this.#ended) return;
    this.active = false;
    this.#stopListening();
    this.#ended = { error };
    this.#backlog.end(error);
    if (error) this.#events.emit("error", error);
    this.#events.emit("unsubscribed", code, reason);
    for (const { reject } of this.#waiters.splice(0)) reject(error ?? new LocalError("closed"));
  }

  /** The hub ended this stay and asks to come back. */
  interrupted(code: number, reason: string): void {
    this.cut();
    this.#events.emit("unsubscribed", code, reason);
  }

  failed(error: ChappeError): void {
    this.#events.emit("error", error);
  }

  receive(message: Message): void {
    // Before the answer to subscribe, what comes belongs to an earlier stay, and the answer will bring it again.
    if (!this.active) return;
    if (message.type === "publication") this.#publication(message);
    else if (message.type === "join") this.#join(member(message["member"]));
    else if (message.type === "leave") this.#leave(member(message["member"]));
    else if (message.type === "presence") this.#presence(message);
    else if (message.type === "missed") this.#events.emit("missed", number(message["count"]));
  }

  // ---- publications -------------------------------------------------------------------------------------------------

  #publication(message: Message): void {
    const item = publication(message, this.cursor.epoch);
    const queued = this.#iterated || !this.#events.has("publication");
    if (queued && this.#backlog.full && !this.#makeRoom()) return;
    if (item.retained ? this.cursor.knew(item.channel, item.epoch, item.offset) : !this.#isNew(item)) return;
    if (queued) this.#backlog.push(item);
    this.#events.emit("publication", item);
  }

  #isNew(item: Publication): boolean {
    return this.cursor.take(item.channel, item.epoch, item.offset);
  }

  /** @returns whether the publication at hand may be queued now */
  #makeRoom(): boolean {
    const size = this.#backlog.size;
    if (this.options.overflow === "drop_oldest") {
      this.#backlog.dropOldest();
      this.#events.emit("missed", 1);
      return true;
    }
    if (this.options.overflow === "fail") {
      this.owner.remove(this);
      this.end(Code.UNSUBSCRIBED, "", new LocalError("overflow", { size }));
      return false;
    }
    this.paused = true;
    this.cut();
    this.owner.leave(this);
    return false;
  }

  #taken(): void {
    if (!this.paused || this.#ended || this.#backlog.length > this.#backlog.size / 2) return;
    this.paused = false;
    this.owner.enter(this);
  }

  // ---- presence -----------------------------------------------------------------------------------------------------

  #join(who: Member): void {
    this.#members.join(who);
    this.#events.emit("join", who);
  }

  #leave(who: Member): void {
    this.#members.leave(who);
    this.#events.emit("leave", who);
  }

  #presence(message: Message): void {
    const state = presence(message);
    this.#members.become(state.members, state.count);
    this.#events.emit("presence", this.members, this.count);
  }
}

/** @returns the channel a push is about */
export function channelOf(message: Message): string {
  return text(message["channel"]);
}
