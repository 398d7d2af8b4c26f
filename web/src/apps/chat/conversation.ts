/** What has been said in a room: messages as the hub ordered them, who came and went, and what is still on its way. */

import { computed, signal } from "@preact/signals";
import type { Publication } from "chappe";
import { authorOf, textOf, timeOf } from "./message";

export interface Message {
  readonly kind: "message";
  readonly key: string;
  /** Null when the hub names nobody, such as a backend. */
  readonly author: string | null;
  /** The public id of the sender's session, null for a backend. */
  readonly session: string | null;
  readonly text: string;
  readonly time: number;
  readonly own: boolean;
  readonly delivery: "stored" | "sending" | "failed";
  /** Why it failed. */
  readonly error: Error | null;
}

export interface Note {
  readonly kind: "join" | "leave" | "gap";
  readonly key: string;
  /** Null for a person without a name, and for a gap. */
  readonly name: string | null;
  readonly time: number;
}

export type Line = Message | Note;

/** Lines kept; older ones stay in the hub's history. */
export const MAX_LINES = 1_000;

export class Conversation {
  private readonly settled = signal<readonly Line[]>([]);
  private readonly pending = signal<readonly Message[]>([]);
  private made = 0;

  /** In the hub's order; what it has not acknowledged comes last. */
  readonly lines = computed<readonly Line[]>(() => [...this.settled.value, ...this.pending.value]);

  /** Grows with each message that somebody else sent. */
  readonly received = signal(0);

  /** Adds what the hub delivered; the waiting echo of the same own message goes away. */
  deliver(publication: Publication, own: boolean, now: number): Message {
    const message: Message = {
      kind: "message",
      key: this.key(),
      author: authorOf(publication.from),
      session: publication.from?.session ?? null,
      text: textOf(publication.data),
      time: timeOf(publication, now),
      own,
      delivery: "stored",
      error: null,
    };
    if (own) {
      const echo = this.pending.value.find((each) => each.text === message.text && each.delivery !== "failed");
      if (echo) this.discard(echo.key);
    } else this.received.value += 1;
    this.append(message);
    return message;
  }

  /** Shows an own message at once, before the hub has it; returns the key to tell its fate by. */
  send(text: string, author: string, now: number): string {
    const key = this.key();
    const message = { kind: "message", key, author, session: null, text, time: now, own: true } as const;
    this.pending.value = [...this.pending.value, { ...message, delivery: "sending", error: null }];
    return key;
  }

  /** The hub stored it; its publication replaces it, or has done so already. */
  acknowledge(key: string): void {
    this.change(key, { delivery: "stored" });
  }

  fail(key: string, error: Error): void {
    this.change(key, { delivery: "failed", error });
  }

  /** Forgets a message that was not stored. */
  discard(key: string): void {
    this.pending.value = this.pending.value.filter((each) => each.key !== key);
  }

  note(kind: Note["kind"], name: string | null, now: number): void {
    this.append({ kind, key: this.key(), name, time: now });
  }

  private change(key: string, change: Partial<Message>): void {
    this.pending.value = this.pending.value.map((each) => (each.key === key ? { ...each, ...change } : each));
  }

  private append(line: Line): void {
    this.settled.value = [...this.settled.value, line].slice(-MAX_LINES);
  }

  private key(): string {
    this.made += 1;
    return `line-${this.made}`;
  }
}
