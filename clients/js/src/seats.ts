/** Who of several lines is subscribed to what, over one subscription at the hub for each channel. */

import type { Position } from "./api.js";
import { isPattern, patternMatches } from "./channels.js";
import { Code, reason } from "./errors.generated.js";
import { Members } from "./members.js";
import type { Message } from "./protocol.js";
import { member, number, position, presence, text } from "./protocol.js";
import type { Answer, Line } from "./switchboard.js";

/** Sends a command to the hub; the answer is a reply or an error. */
type Ask = (command: Message, answer: Answer) => void;

interface Seat {
  readonly presence: boolean;
  /** What comes while the past is being fetched; null when the line is up to date. */
  held: Message[] | null;
  /** The line has, or did not want, what is up to here. */
  floor: Position | null;
}

/** A channel or pattern that the hub counts us as subscribed to, or is asked about. */
interface Shared {
  readonly channel: string;
  readonly presence: boolean;
  readonly seats: Map<Line, Seat>;
  readonly members: Members;
  /** What waits for the hub's answer to `subscribe`; null once it is there. */
  asking: (() => void)[] | null;
  /** The newest place known, for a channel. */
  now: Position;
  /** What the hub was asked to repeat ends here: it is for who asked. */
  repeated: Position | null;
  /** All publications after `since` that came over this connection. */
  recent: Message[];
  since: number;
  /** For a pattern. */
  log: string;
  /** The hub could not bring a pattern's past: nobody's is known to be whole. */
  lost: boolean;
}

export class Seats {
  /** Publications of a channel kept for lines that come back a little later. */
  static readonly RECENT = 100;
  static readonly PAGE = 1_000;
  /** As many as the hub itself recovers. */
  static readonly MAX_MISSED = 10_000;
  readonly #shared = new Map<string, Shared>();

  constructor(private readonly ask: Ask) {}

  subscribe(line: Line, message: Message, answer: Answer): void {
    const channel = text(message["channel"]);
    const shared = this.#shared.get(channel);
    if (!line.open) return;
    if (shared === undefined) return this.#first(line, channel, message, answer);
    if (shared.asking) return void shared.asking.push(() => this.subscribe(line, message, answer));
    if (shared.seats.has(line)) return answer(failure(Code.ALREADY_SUBSCRIBED));
    if (message["presence"] === true && !shared.presence) {
      // Only a new subscription brings joins and leaves, and the others come back to it by themselves.
      this.#close(shared);
      return this.#first(line, channel, message, answer);
    }
    if (isPattern(channel)) this.#joinPattern(shared, line, message, answer);
    else this.#join(shared, line, message, answer);
  }

  unsubscribe(line: Line, message: Message, answer: Answer): void {
    const shared = this.#shared.get(text(message["channel"]));
    if (!shared?.seats.has(line)) return answer(failure(Code.UNKNOWN_CHANNEL));
    this.#leave(shared, line);
    answer({ type: "reply" });
  }

  /** The line is gone. */
  vacate(line: Line): void {
    for (const shared of [...this.#shared.values()]) if (shared.seats.has(line)) this.#leave(shared, line);
  }

  /** A push of the hub about a channel. */
  receive(message: Message): void {
    const channel = text(message["channel"]);
    const shared = this.#shared.get(channel);
    if (message.type === "publication") return this.#publication(channel, shared, message);
    if (message.type === "unsubscribed") this.#shared.delete(channel);
    if (shared) follow(shared.members, message);
    const told = message.type === "join" || message.type === "leave" || message.type === "presence";
    for (const [line, seat] of shared?.seats ?? []) if (!told || seat.presence) pass(line, seat, message);
  }

  // ---- coming and going ---------------------------------------------------------------------------------------------

  #first(line: Line, channel: string, message: Message, answer: Answer): void {
    const wantsPresence = message["presence"] === true;
    const shared: Shared = {
      channel, presence: wantsPresence, seats: new Map(), members: new Members(), asking: [],
      now: { epoch: "", offset: 0 }, repeated: null, recent: [], since: 0, log: "", lost: false,
    };
    shared.seats.set(line, { presence: wantsPresence, held: null, floor: null });
    this.#shared.set(channel, shared);
    this.#enter(shared, message, answer);
  }

  #enter(shared: Shared, message: Message, answer: Answer): void {
    this.ask(message, (reply) => {
      const waiting = shared.asking ?? [];
      shared.asking = null;
      if (reply.type === "error") this.#forget(shared);
      else accepted(shared, message, reply);
      answer(reply);
      if (reply.type !== "error" && shared.seats.size === 0) this.#close(shared);
      for (const call of waiting) call();
    });
  }

  #leave(shared: Shared, line: Line): void {
    shared.seats.delete(line);
    if (shared.seats.size === 0 && shared.asking === null) this.#close(shared);
  }

  /** Leaves at the hub; whoever is still there is asked to subscribe again. */
  #close(shared: Shared): void {
    this.#forget(shared);
    this.ask({ type: "unsubscribe", channel: shared.channel }, () => undefined);
    sendBack(shared, null);
  }

  #forget(shared: Shared): void {
    if (this.#shared.get(shared.channel) === shared) this.#shared.delete(shared.channel);
  }

  // ---- a further line on a channel ----------------------------------------------------------------------------------

  #join(shared: Shared, line: Line, message: Message, answer: Answer): void {
    const seat: Seat = { presence: message["presence"] === true, held: [], floor: null };
    shared.seats.set(line, seat);
    const done: Done = (now, recovered, past, floor = now) => {
      if (shared.seats.get(line) !== seat) return;
      const held = seat.held ?? [];
      Object.assign(seat, { held: null, floor });
      answer({ type: "reply", channel: shared.channel, ...now, recovered });
      for (const item of past) line.say({ ...item, type: "publication", channel: shared.channel });
      const { list, count } = shared.members;
      if (seat.presence) line.say({ type: "presence", channel: shared.channel, count, ...(list.length === count ? { members: list } : {}) });
      for (const item of held) pass(line, seat, item);
    };
    const since = message["since"] ?? null;
    if (since === null) return done(shared.now, false, []);
    const place = typeof since === "object" ? position(since as Message) : null;
    if (place === null) return this.#newest(shared, since === "latest" ? 1 : number(since), done);
    this.#after(shared, place, done);
  }

  #newest(shared: Shared, limit: number, done: Done): void {
    this.ask({ type: "history", channel: shared.channel, limit }, (reply) => {
      if (reply.type === "error") done(shared.now, false, []);
      else done(position(reply) ?? shared.now, false, list(reply));
    });
  }

  #after(shared: Shared, place: Position, done: Done): void {
    const { now } = shared;
    if (place.epoch !== now.epoch || place.offset > now.offset) return done(now, false, []);
    if (place.offset >= shared.since) {
      const past = shared.recent.filter((item) => number(item["offset"]) > place.offset);
      // Of what the hub repeats, the rest may still be on its way: it is for this line too.
      return done(now, true, past, { ...place, offset: number(past.at(-1)?.["offset"]) || place.offset });
    }
    // Offsets have gaps, so a whole past is known by its beginning: the publication that the line saw last.
    this.#pages(shared, { ...place, offset: Math.max(0, place.offset - 1) }, [], (position, past) => {
      const first = number(past[0]?.["offset"]);
      const whole = first === place.offset || (place.offset === 0 && first === 1);
      if (whole) done(position, true, past.filter((item) => number(item["offset"]) > place.offset));
      else done(position, false, []);
    });
  }

  #pages(shared: Shared, since: Position, past: Message[], done: (now: Position, past: Message[]) => void): void {
    this.ask({ type: "history", channel: shared.channel, since, limit: Seats.PAGE }, (reply) => {
      const page = reply.type === "error" ? [] : list(reply);
      const all = [...past, ...page];
      const now = position(reply) ?? shared.now;
      const last = number(page.at(-1)?.["offset"]);
      if (page.length === 0 || last >= now.offset) return done(now, reply.type === "error" ? [] : all);
      if (all.length > Seats.MAX_MISSED) return done(now, []);
      this.#pages(shared, { epoch: since.epoch, offset: last }, all, done);
    });
  }

  /** The past of a pattern comes only with a subscribe; what it brings twice, clients drop. */
  #joinPattern(shared: Shared, line: Line, message: Message, answer: Answer): void {
    shared.seats.set(line, { presence: false, held: null, floor: null });
    const { channel } = shared;
    if (typeof message["since"] !== "object" || message["since"] === null || shared.lost) {
      return answer({ type: "reply", channel, position: shared.log, recovered: false });
    }
    shared.asking = [];
    this.ask({ type: "unsubscribe", channel }, () => undefined);
    this.#enter(shared, message, (reply) => {
      answer(reply);
      if (reply["recovered"] === true) return;
      shared.lost = true;
      sendBack(shared, line);
    });
  }

  // ---- publications -------------------------------------------------------------------------------------------------

  #publication(channel: string, shared: Shared | undefined, message: Message): void {
    const place = position(message) ?? (shared && message["offset"] ? { epoch: shared.now.epoch, offset: number(message["offset"]) } : null);
    const isOld = place !== null && shared?.repeated?.epoch === place.epoch && place.offset <= shared.repeated.offset;
    if (shared && place) remember(shared, place, message);
    const told = new Set<Line>();
    for (const [line, seat] of shared?.seats ?? []) {
      told.add(line);
      pass(line, seat, message);
    }
    if (isOld) return;
    for (const other of this.#shared.values()) {
      if (other === shared || !isPattern(other.channel) || !patternMatches(other.channel, channel)) continue;
      for (const [line, seat] of other.seats) {
        if (!told.has(line)) pass(line, seat, message);
        told.add(line);
      }
    }
  }
}

/** @param floor up to where the line needs no publications any more; `now` if not given */
type Done = (now: Position, recovered: boolean, past: readonly Message[], floor?: Position) => void;

function accepted(shared: Shared, message: Message, reply: Message): void {
  const asked = message["since"];
  shared.log = text(reply["position"]);
  shared.now = position(reply) ?? shared.now;
  shared.repeated = asked === undefined ? null : shared.now;
  const place = typeof asked === "object" && asked !== null ? position(asked as Message) : null;
  shared.since = reply["recovered"] === true && place ? place.offset : shared.now.offset;
  if (reply["recovered"] !== true) shared.recent = [];
}

/** Keeps what comes for lines that come back later. */
function remember(shared: Shared, place: Position, message: Message): void {
  if (message["retained"] === true) return;
  if (place.epoch !== shared.now.epoch) {
    Object.assign(shared, { recent: [], since: place.offset - 1 });
  }
  if (place.epoch !== shared.now.epoch || place.offset > shared.now.offset) shared.now = place;
  if (place.offset <= shared.since) return;
  shared.recent.push(message);
  if (shared.recent.length > Seats.RECENT) shared.since = number(shared.recent.shift()?.["offset"]);
}

function pass(line: Line, seat: Seat, message: Message): void {
  if (seat.held) return void seat.held.push(message);
  const place = message.type === "publication" ? position(message) : null;
  if (place && seat.floor && place.epoch === seat.floor.epoch && place.offset <= seat.floor.offset) return;
  line.say(message);
}

function follow(members: Members, message: Message): void {
  if (message.type === "join") members.join(member(message["member"]));
  else if (message.type === "leave") members.leave(member(message["member"]));
  else if (message.type === "presence") {
    const state = presence(message);
    members.become(state.members, state.count);
  }
}

function sendBack(shared: Shared, but: Line | null): void {
  const code = Code.UNSUBSCRIBED_INSUFFICIENT_STATE;
  for (const line of [...shared.seats.keys()]) {
    if (line === but) continue;
    shared.seats.delete(line);
    line.say({ type: "unsubscribed", channel: shared.channel, code, reason: reason(code) ?? "" });
  }
}

function failure(code: number): Message {
  return { type: "error", code, reason: reason(code) ?? "", retry: false };
}

function list(reply: Message): Message[] {
  const items = reply["publications"];
  return Array.isArray(items) ? (items as Message[]) : [];
}
