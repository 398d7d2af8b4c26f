/**
 * Where a subscription is, so that it can ask for exactly what it missed and drop what it has.
 *
 * No I/O: `since` is what to send, `accepted` takes the hub's answer, `take` each publication, and `complete` says that
 * everything the answer announced has arrived.
 */

import type { Position, Since } from "./api.js";
import { position as positionOf, text } from "./protocol.js";

type Fields = Readonly<Record<string, unknown>>;

/** A place in the log behind a pattern: opaque text. */
export interface LogPosition {
  readonly position: string;
}

export interface Cursor {
  /** What the next subscribe asks for; undefined: only what is published from then on. */
  readonly since: Since | LogPosition | undefined;
  readonly position: Position | null;
  readonly epoch: string | null;
  /** False while publications that the last answer announced may still be on their way. */
  readonly caughtUp: boolean;
  accepted(reply: Fields): void;
  /** Whether to hand a publication over; false for what was seen already. */
  take(channel: string, epoch: string | null, offset: number | null): boolean;
  complete(): void;
  /** Whether this was handed over before the last answer; for the retained slot, which every answer brings again. */
  knew(channel: string, epoch: string | null, offset: number | null): boolean;
  /** The hub no longer knows our place: begin anew, from now on. */
  forget(): void;
}

/** For one channel: an epoch and an offset. */
export class ChannelCursor implements Cursor {
  #seen: Position | null = null;
  /** As long as nothing was seen, a cut repeats the first wish. */
  #wish: "latest" | number | undefined;
  #target: Position | null = null;
  #before: Position | null = null;
  #epoch: string | null = null;

  constructor(since: Since | undefined) {
    if (typeof since === "object") this.#seen = since;
    else this.#wish = since;
  }

  get since(): Since | undefined {
    return this.#seen ?? this.#wish;
  }

  get position(): Position | null {
    return this.#seen;
  }

  get epoch(): string | null {
    return this.#epoch;
  }

  get caughtUp(): boolean {
    return this.#target === null;
  }

  accepted(reply: Fields): void {
    const now = positionOf(reply) ?? { epoch: text(reply["epoch"]), offset: 0 };
    this.#epoch = now.epoch;
    this.#before = this.#seen;
    // After a wish for the newest, publications follow although nothing was "recovered".
    const follows = this.#seen === null ? this.#wish !== undefined : reply["recovered"] === true;
    this.#target = now;
    if (!follows) this.complete();
    else if (now.offset <= (this.#seen?.offset ?? 0)) this.complete();
  }

  take(_channel: string, epoch: string | null, offset: number | null): boolean {
    if (offset === null) return true;
    const place = { epoch: epoch ?? this.#epoch ?? "", offset };
    if (isBehind(this.#seen, place.epoch, offset)) return false;
    this.#seen = place;
    // A new epoch, or a place beyond the announced one, means that nothing older will come.
    if (this.#target && (place.epoch !== this.#target.epoch || offset >= this.#target.offset)) this.#target = null;
    return true;
  }

  complete(): void {
    // Offsets have gaps: the announced end may be beyond the last publication.
    if (this.#target) this.#seen = this.#target;
    this.#target = null;
  }

  knew(_channel: string, epoch: string | null, offset: number | null): boolean {
    return isBehind(this.#before, epoch ?? this.#epoch, offset);
  }

  forget(): void {
    this.#seen = null;
    this.#wish = undefined;
    this.#target = null;
  }
}

/**
 * For a pattern: a log position, told only when subscribing, so a resumed pattern repeats what came since then and the
 * offsets seen on each channel sort that out. Channels beyond `MAX_CHANNELS` are forgotten, longest silent first; what
 * such a channel said between two subscribes may then be seen twice after a reconnect.
 */
export class PatternCursor implements Cursor {
  static readonly MAX_CHANNELS = 10_000;
  readonly position = null;
  readonly epoch = null;
  readonly #seen = new Map<string, Position>();
  #log: LogPosition | undefined;
  #target: LogPosition | undefined;

  get since(): LogPosition | undefined {
    return this.#log;
  }

  get caughtUp(): boolean {
    return this.#target === undefined;
  }

  accepted(reply: Fields): void {
    this.#target = { position: text(reply["position"]) };
    if (reply["recovered"] !== true || this.#target.position === this.#log?.position) this.complete();
  }

  take(channel: string, epoch: string | null, offset: number | null): boolean {
    if (offset === null) return true;
    if (this.knew(channel, epoch, offset)) return false;
    this.#seen.delete(channel);
    this.#seen.set(channel, { epoch: epoch ?? "", offset });
    if (this.#seen.size > PatternCursor.MAX_CHANNELS) this.#seen.delete(this.#seen.keys().next().value as string);
    return true;
  }

  complete(): void {
    if (this.#target) this.#log = this.#target;
    this.#target = undefined;
  }

  knew(channel: string, epoch: string | null, offset: number | null): boolean {
    return isBehind(this.#seen.get(channel), epoch, offset);
  }

  forget(): void {
    this.#log = undefined;
    this.#target = undefined;
    this.#seen.clear();
  }
}

/** The same or an older place of the same epoch: a duplicate. */
function isBehind(seen: Position | null | undefined, epoch: string | null, offset: number | null): boolean {
  return seen != null && offset !== null && seen.epoch === (epoch ?? "") && offset <= seen.offset;
}
