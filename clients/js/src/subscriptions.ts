/** All subscriptions of a client: entered again at each connection, and told what concerns them. */

import { isPattern, patternMatches } from "./channels.js";
import type { Clock } from "./clock.js";
import type { Commands } from "./commands.js";
import { Code } from "./errors.generated.js";
import { ChappeError, retryAfterMs } from "./errors.js";
import type { Message } from "./protocol.js";
import { number, text } from "./protocol.js";
import type { Backoff } from "./reconnection.js";
import { delayMs } from "./reconnection.js";
import type { ChannelSubscription, SubscriptionOwner } from "./subscription.js";
import { channelOf } from "./subscription.js";

export interface SubscriptionsEvents {
  /** Everything missed while away has arrived, or is known to be lost. */
  caughtUp(): void;
  /** Asks the hub for a sign that all it sent before has arrived. */
  barrier(done: () => void): void;
}

/** How long announced publications may take before the hub is asked whether they are all there. */
const BARRIER_MS = 100;
const RESUBSCRIBE = 2500;

export class Subscriptions implements SubscriptionOwner {
  readonly map = new Map<string, ChannelSubscription>();
  readonly #patterns = new Set<ChannelSubscription>();
  /** Those that the state `catching-up` waits for. */
  readonly #behind = new Set<ChannelSubscription>();
  readonly #attempts = new Map<ChannelSubscription, number>();
  #commands: Commands | null = null;
  #cancelBarrier: (() => void) | null = null;

  constructor(
    private readonly settings: Backoff & { readonly clock: Clock },
    private readonly events: SubscriptionsEvents,
  ) {}

  add(subscription: ChannelSubscription): void {
    this.map.set(subscription.channel, subscription);
    if (isPattern(subscription.channel)) this.#patterns.add(subscription);
    this.enter(subscription);
  }

  /** @returns whether something was missed, so that `caughtUp` will follow */
  connected(commands: Commands): boolean {
    this.#commands = commands;
    for (const subscription of this.map.values()) {
      if (subscription.paused) continue;
      if (subscription.recovered !== null) this.#behind.add(subscription);
      this.enter(subscription);
    }
    return this.#behind.size > 0;
  }

  cut(): void {
    this.#commands = null;
    this.#behind.clear();
    this.#attempts.clear();
    this.#cancelBarrier?.();
    this.#cancelBarrier = null;
    for (const subscription of this.map.values()) subscription.cut();
  }

  end(): void {
    this.cut();
    const all = [...this.map.values()];
    this.map.clear();
    this.#patterns.clear();
    for (const subscription of all) subscription.end(Code.UNSUBSCRIBED, "", null);
  }

  receive(message: Message): void {
    const channel = channelOf(message);
    const subscription = this.map.get(channel);
    if (message.type === "unsubscribed") {
      if (subscription) this.#unsubscribed(subscription, number(message["code"]), text(message["reason"]));
      return;
    }
    if (subscription) this.#tell(subscription, message);
    // Who matches by several subscriptions gets one copy, and it is for all of them.
    for (const pattern of this.#patterns) {
      if (pattern !== subscription && patternMatches(pattern.channel, channel)) this.#tell(pattern, message);
    }
  }

  // ---- for a subscription -------------------------------------------------------------------------------------------

  enter(subscription: ChannelSubscription): void {
    const commands = this.#commands;
    if (commands === null) return;
    commands.send(subscription.command(), (error, reply) => {
      if (this.map.get(subscription.channel) !== subscription) return;
      if (error) return this.#refused(subscription, error);
      this.#attempts.delete(subscription);
      subscription.accepted(reply);
      this.#check(subscription);
    });
  }

  leave({ channel }: ChannelSubscription): void {
    // The answer does not matter: it is gone, or it was not there.
    this.#commands?.send({ type: "unsubscribe", channel }, () => undefined);
  }

  remove(subscription: ChannelSubscription): void {
    if (this.map.get(subscription.channel) !== subscription) return;
    this.#forget(subscription);
    this.leave(subscription);
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  #refused(subscription: ChannelSubscription, error: ChappeError): void {
    if (error.code === Code.ALREADY_SUBSCRIBED) {
      // A resumed session kept it, but our place in it is only sure after a new start.
      this.leave(subscription);
      this.enter(subscription);
    } else if (error.code === Code.UNRECOVERABLE_POSITION && subscription.cursor.since !== undefined) {
      subscription.cursor.forget();
      this.enter(subscription);
    } else if (error.retry) {
      subscription.failed(error);
      this.#enterLater(subscription, retryAfterMs(error));
    } else {
      this.#forget(subscription);
      subscription.end(error.code, error.reason, error);
    }
  }

  #enterLater(subscription: ChannelSubscription, leastMs = 0): void {
    const commands = this.#commands;
    const n = (this.#attempts.get(subscription) ?? 0) + 1;
    this.#attempts.set(subscription, n);
    this.settings.clock.after(Math.max(leastMs, delayMs(n, this.settings)), () => {
      const wanted = this.map.get(subscription.channel) === subscription && !subscription.paused;
      if (wanted && commands !== null && this.#commands === commands) this.enter(subscription);
    });
  }

  #unsubscribed(subscription: ChannelSubscription, code: number, reason: string): void {
    if (code >= RESUBSCRIBE) {
      subscription.interrupted(code, reason);
      this.#enterLater(subscription);
    } else {
      this.#forget(subscription);
      subscription.end(code, reason, new ChappeError(code, reason));
    }
  }

  #tell(subscription: ChannelSubscription, message: Message): void {
    subscription.receive(message);
    if (this.#behind.size > 0) this.#check(subscription);
  }

  #check(subscription: ChannelSubscription): void {
    if (subscription.active && !subscription.cursor.caughtUp) return this.#barrierLater();
    if (subscription.active || subscription.paused) this.#level(subscription);
  }

  #level(subscription: ChannelSubscription): void {
    if (this.#behind.delete(subscription) && this.#behind.size === 0) this.events.caughtUp();
  }

  #barrierLater(): void {
    const commands = this.#commands;
    this.#cancelBarrier ??= this.settings.clock.after(BARRIER_MS, () => {
      const behind = [...this.map.values()].filter(({ active, cursor }) => active && !cursor.caughtUp);
      const asked = new Map(behind.map((subscription) => [subscription, subscription.stay]));
      this.#cancelBarrier = null;
      if (asked.size === 0) return;
      this.events.barrier(() => {
        if (this.#commands !== commands) return;
        for (const [subscription, stay] of asked) {
          if (!subscription.active || subscription.stay !== stay) continue;
          subscription.cursor.complete();
          this.#level(subscription);
        }
      });
    });
  }

  #forget(subscription: ChannelSubscription): void {
    this.map.delete(subscription.channel);
    this.#patterns.delete(subscription);
    this.#attempts.delete(subscription);
    this.#level(subscription);
  }
}
