/** One visit to a chat room: the connection, who is here, what is said. Knows nothing of the page. */

import { computed, signal } from "@preact/signals";
import {
  type Client, type ClientOptions, type Member, type OfflineReason, type Publication, type State, type Subscription,
  ChappeError, Code, connect,
} from "chappe";
import { Conversation } from "./conversation";
import { chatData } from "./message";

/** Messages of the past shown to a newcomer. */
export const PAST = 50;
export const DEFAULT_ROOM = "lobby";
export const MAX_NAME = 64;

/** What the room remembers from one load of the page to the next. */
export interface Sessions {
  has(session: string): boolean;
  add(session: string): void;
}

export interface Present {
  readonly key: string;
  readonly name: string | null;
  readonly own: boolean;
}

export interface Connection {
  readonly state: State;
  readonly reason: OfflineReason | null;
}

export class Room {
  readonly conversation = new Conversation();
  readonly connection = signal<Connection>({ state: "connecting", reason: null });
  /** Becomes true once the hub let us in. */
  readonly entered = signal(false);
  /** Why the visit ended or never began. */
  readonly refusal = signal<Error | null>(null);
  /** What the hub last complained of; tells why the connection is refused. */
  readonly complaint = signal<Error | null>(null);
  private readonly members = signal<readonly Member[]>([]);
  private readonly session = signal<string | null>(null);
  /** Also right where there are too many people to list. */
  readonly count = signal(0);
  readonly people = computed<readonly Present[]>(() => this.listPeople());
  private readonly client: Client;
  private readonly subscription: Subscription;

  constructor(
    url: string,
    readonly name: string,
    readonly room: string,
    private readonly sessions: Sessions,
    options: ClientOptions = {},
  ) {
    this.client = connect(url, { ...options, name, client: { name: "console", version: "1" } });
    this.subscription = this.client.subscribe(channelOf(room), { since: PAST, presence: true });
    this.listenToClient();
    this.listenToSubscription();
  }

  get channel(): string {
    return this.subscription.channel;
  }

  /** Shows the message at once and hands it to the hub; while offline it waits. */
  say(text: string): void {
    const key = this.conversation.send(text, this.name, Date.now());
    this.client.publish(this.channel, chatData(text, this.name)).then(
      () => this.conversation.acknowledge(key),
      (error: Error) => this.conversation.fail(key, error),
    );
  }

  leave(): void {
    this.client.disconnect();
  }

  /** Dials now instead of waiting for the next attempt. */
  redial(): void {
    this.client.redial();
  }

  private listenToClient(): void {
    this.client.on("state", (state, reason) => (this.connection.value = { state, reason }));
    this.client.on("error", (error) => (this.complaint.value = error));
    this.client.on("connected", ({ session }) => {
      this.sessions.add(session);
      this.session.value = session;
    });
    this.client.connected().catch((error: Error) => this.refuse(error));
    this.subscription.subscribed().then(
      () => (this.entered.value = true),
      (error: Error) => this.refuse(error),
    );
  }

  private listenToSubscription(): void {
    const { subscription, conversation } = this;
    let answered = false;
    subscription.on("publication", (publication) => this.deliver(publication));
    subscription.on("subscribed", (recovered) => {
      // The first answer is about the past asked for; later ones tell whether something is missing.
      if (answered && !recovered) conversation.note("gap", null, Date.now());
      answered = true;
    });
    subscription.on("missed", () => conversation.note("gap", null, Date.now()));
    subscription.on("unsubscribed", (code, reason) => {
      // From 2500 on the client subscribes again by itself.
      if (code < Code.UNSUBSCRIBED_INSUFFICIENT_STATE) this.refuse(new ChappeError(code, reason));
    });
    subscription.on("join", (member) => this.moved("join", member));
    subscription.on("leave", (member) => this.moved("leave", member));
    subscription.on("presence", () => this.showMembers());
  }

  private deliver(publication: Publication): void {
    const session = publication.from?.session;
    this.conversation.deliver(publication, session !== undefined && this.sessions.has(session), Date.now());
  }

  private moved(kind: "join" | "leave", member: Member): void {
    this.showMembers();
    this.conversation.note(kind, nameOf(member), Date.now());
  }

  private showMembers(): void {
    this.members.value = [...this.subscription.members];
    this.count.value = this.subscription.count;
  }

  private refuse(error: Error): void {
    // The first reason is the true one: what follows is its consequence.
    this.refusal.value ??= error;
    this.leave();
  }

  private listPeople(): Present[] {
    const people = this.members.value.map((member) => ({
      key: member.session,
      name: nameOf(member),
      own: member.session === this.session.value || (member.user === null && member.name === this.name),
    }));
    return people.sort((a, b) => (a.name ?? "\uffff").localeCompare(b.name ?? "\uffff"));
  }
}

export function channelOf(room: string): string {
  return `chat/${room}`;
}

export function nameOf(member: Member): string | null {
  return member.name ?? member.user;
}

export function isNameInUse(error: Error): boolean {
  return error instanceof ChappeError && error.code === Code.NAME_IN_USE;
}

/** A room is a part of a channel name: patterns and control characters have no place in it. */
export function isRoom(room: string): boolean {
  return room !== "" && !/[+#\p{Cc}]/u.test(room);
}
