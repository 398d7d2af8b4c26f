/** Publishes until the hub has acknowledged them: in order, bounded, sent again after a cut without doubling. */

import { onAbort } from "./abort.js";
import type { Position } from "./api.js";
import type { Clock } from "./clock.js";
import type { Commands } from "./commands.js";
import { Code } from "./errors.generated.js";
import type { ChappeError } from "./errors.js";
import { LocalError, retryAfterMs } from "./errors.js";
import type { Command } from "./protocol.js";
import { number, text } from "./protocol.js";

export interface Outgoing {
  readonly command: Command;
  /** JSON text. */
  readonly data: string;
  /** Has an idempotency key and may be sent again. */
  readonly resend: boolean;
  readonly signal?: AbortSignal | undefined;
}

interface Entry extends Outgoing {
  readonly n: number;
  readonly resolve: (position: Position) => void;
  readonly reject: (error: unknown) => void;
  aborted: boolean;
  firstSentAt: number | null;
}

export class Outbox {
  /** The hub remembers keys for 300 s; beyond this a repetition could be stored twice, so it is not sent. */
  static readonly CONFIRM_WITHIN_MS = 270_000;
  /** Sent and not yet answered at once; well under the burst that a hub allows by default (200). */
  static readonly WINDOW = 100;
  /** After "too many requests": this long, doubled each time, until one goes through. */
  static readonly PAUSE_MS = 250;
  static readonly MAX_PAUSE_MS = 5_000;

  /** In order of the calls. */
  #waiting: Entry[] = [];
  readonly #inFlight = new Set<Entry>();
  #commands: Commands | null = null;
  #n = 0;
  #refusals = 0;
  #cancelPause: (() => void) | null = null;

  constructor(
    private readonly clock: Clock,
    private readonly size: number,
  ) {}

  get length(): number {
    return this.#waiting.length + this.#inFlight.size;
  }

  /**
   * Sends when there is a connection. The order of the calls is kept, also over a reconnect; only a publish that the
   * hub's rate limit turned back may be overtaken by up to `WINDOW` others.
   */
  add(outgoing: Outgoing): Promise<Position> {
    return new Promise((resolve, reject) => {
      if (this.length >= this.size) return reject(new LocalError("queue_full", { size: this.size }, true));
      const stopListening = onAbort(outgoing.signal, (reason) => this.#abort(entry, reason));
      const settled = <A>(settle: (value: A) => void) => (value: A) => (stopListening(), settle(value));
      const ends = { resolve: settled(resolve), reject: settled(reject) };
      const entry: Entry = { ...outgoing, ...ends, n: ++this.#n, aborted: false, firstSentAt: null };
      this.#waiting.push(entry);
      this.#pump();
    });
  }

  /**
   * @param known whether the hub remembers our keys: it does so for a user, a claimed name, or else a session
   */
  connected(commands: Commands, known: boolean): void {
    const forgotten = known ? [] : this.#waiting.filter(({ firstSentAt }) => firstSentAt !== null);
    this.#waiting = this.#waiting.filter((entry) => !forgotten.includes(entry));
    for (const entry of forgotten) entry.reject(new LocalError("unconfirmed"));
    this.#commands = commands;
    this.#pump();
  }

  cut(): void {
    this.#commands = null;
    this.#resume();
    const unanswered = [...this.#inFlight];
    this.#inFlight.clear();
    for (const entry of unanswered) if (!entry.resend) entry.reject(new LocalError("disconnected"));
    this.#takeBack(unanswered.filter((entry) => entry.resend && !entry.aborted));
  }

  /** Nothing will be sent any more: `error` for what never was, `disconnected` for what nobody can know. */
  fail(error: ChappeError): void {
    this.cut();
    for (const entry of this.#waiting.splice(0)) {
      entry.reject(entry.firstSentAt === null ? error : new LocalError("disconnected"));
    }
  }

  #pump(): void {
    while (this.#commands && !this.#cancelPause && this.#inFlight.size < Outbox.WINDOW) {
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      this.#send(entry, this.#commands);
    }
  }

  #send(entry: Entry, commands: Commands): void {
    const now = this.clock.now();
    if (entry.firstSentAt !== null && now - entry.firstSentAt > Outbox.CONFIRM_WITHIN_MS) {
      entry.reject(new LocalError("unconfirmed"));
      return;
    }
    entry.firstSentAt ??= now;
    this.#inFlight.add(entry);
    commands.send(
      entry.command,
      (error, reply) => {
        this.#inFlight.delete(entry);
        if (error?.code === Code.TOO_MANY_REQUESTS && entry.resend && !entry.aborted) return this.#pause(entry, error);
        if (error) entry.reject(error);
        else entry.resolve({ epoch: text(reply["epoch"]), offset: number(reply["offset"]) });
        this.#refusals = 0;
        this.#pump();
      },
      entry.data,
    );
  }

  #pause(refused: Entry, error: ChappeError): void {
    this.#takeBack([refused]);
    if (this.#cancelPause) return;
    const ms = Math.max(retryAfterMs(error), Math.min(Outbox.PAUSE_MS * 2 ** this.#refusals++, Outbox.MAX_PAUSE_MS));
    this.#cancelPause = this.clock.after(ms, () => {
      this.#resume();
      this.#pump();
    });
  }

  #resume(): void {
    this.#cancelPause?.();
    this.#cancelPause = null;
  }

  #abort(entry: Entry, reason: unknown): void {
    entry.aborted = true;
    this.#waiting = this.#waiting.filter((other) => other !== entry);
    entry.reject(reason);
  }

  #takeBack(entries: Entry[]): void {
    this.#waiting = [...entries, ...this.#waiting].sort((a, b) => a.n - b.n);
  }
}
