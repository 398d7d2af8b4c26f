/** One session at the hub for several lines, each of which takes it for its own: ids, answers and pushes find their way. */

import type { Frame, Message } from "./protocol.js";
import { decode } from "./protocol.js";
import { Seats } from "./seats.js";
import type { Transport, TransportEvents, TransportFactory } from "./transport.js";

export interface Switchboard {
  /** Another line; the hub is dialed with the first. `onOpen` follows when the hub is reached. */
  plug(events: TransportEvents): Transport;
  /** Ends all lines and the connection. */
  close(code: number, reason: string): void;
}

export type Answer = (answer: Message) => void;

/** One client at the board. */
export class Line {
  background = false;
  open = false;

  constructor(readonly events: TransportEvents) {}

  say(message: Message): void {
    if (this.open) this.events.onMessage(JSON.stringify(message));
  }
}

export function openSwitchboard(url: string, carrier: TransportFactory): Switchboard {
  return new Board(url, carrier);
}

class Board implements Switchboard {
  readonly #lines = new Set<Line>();
  #seats = new Seats((command, answer) => this.#ask(command, answer));
  #carrier: Transport | null = null;
  #reached = false;
  #id = 0;
  readonly #answers = new Map<unknown, Answer>();
  /** The hub's reply to `connect`, for all lines. */
  #welcome: Message | null = null;
  /** Lines that said `connect` while another's was not answered. */
  #queue: (() => void)[] | null = null;
  #toldBackground = false;

  constructor(
    private readonly url: string,
    private readonly dial: TransportFactory,
  ) {}

  plug(events: TransportEvents): Transport {
    const line = new Line(events);
    this.#lines.add(line);
    if (this.#carrier === null) this.#dial();
    else if (this.#reached) queueMicrotask(() => this.#open(line));
    return {
      name: `tabs over ${this.#carrier?.name}`,
      send: (frame) => {
        if (line.open) for (const message of decode(frame)) this.#hear(line, message);
      },
      close: (code, reason) => this.#unplug(line, code, reason),
    };
  }

  close(code: number, reason: string): void {
    const carrier = this.#carrier;
    this.#carrier = null;
    this.#over(code, reason);
    carrier?.close(code, reason);
  }

  // ---- towards the hub ----------------------------------------------------------------------------------------------

  #dial(): void {
    const current = (call: () => void): void => void (carrier === this.#carrier && call());
    const carrier: Transport = this.dial(this.url, {
      onOpen: () =>
        current(() => {
          this.#reached = true;
          for (const line of this.#lines) this.#open(line);
        }),
      onMessage: (frame) => current(() => this.#receive(frame)),
      onClose: (code, reason) =>
        current(() => {
          this.#carrier = null;
          this.#over(code, reason);
        }),
    });
    this.#carrier = carrier;
  }

  #over(code: number, reason: string): void {
    this.#reached = false;
    this.#welcome = null;
    this.#queue = null;
    this.#toldBackground = false;
    this.#answers.clear();
    this.#seats = new Seats((command, answer) => this.#ask(command, answer));
    const lines = [...this.#lines];
    this.#lines.clear();
    for (const line of lines) {
      line.open = false;
      line.events.onClose(code, reason);
    }
  }

  #ask(command: Message, answer: Answer): void {
    const id = ++this.#id;
    this.#answers.set(id, answer);
    this.#carrier?.send(JSON.stringify({ ...command, id }));
  }

  #receive(frame: Frame): void {
    for (const message of this.#decode(frame)) {
      const answer = this.#answers.get(message["id"]);
      if (answer !== undefined) {
        this.#answers.delete(message["id"]);
        answer(message);
      } else if (message.type === "ping") this.#carrier?.send(JSON.stringify({ type: "pong" }));
      else if (message["channel"] !== undefined && message.type !== "error") this.#seats.receive(message);
      else for (const line of this.#lines) line.say(message);
    }
  }

  /** What is no message is for the clients to complain about. */
  #decode(frame: Frame): Message[] {
    try {
      return decode(frame);
    } catch {
      for (const line of this.#lines) line.events.onMessage(frame);
      return [];
    }
  }

  // ---- towards the lines --------------------------------------------------------------------------------------------

  #open(line: Line): void {
    if (line.open || !this.#lines.has(line)) return;
    line.open = true;
    line.events.onOpen();
  }

  #unplug(line: Line, code: number, reason: string): void {
    if (!this.#lines.delete(line)) return;
    line.open = false;
    this.#seats.vacate(line);
    // As the last line said it: a goodbye, or for a while.
    if (this.#lines.size === 0) this.close(code, reason);
    else this.#tellBackground();
    queueMicrotask(() => line.events.onClose(code, reason));
  }

  #hear(line: Line, message: Message): void {
    const answer: Answer = (reply) => line.say({ ...reply, id: message["id"] });
    switch (message.type) {
      case "connect":
        return this.#connect(line, message, answer);
      case "subscribe":
        return this.#seats.subscribe(line, message, answer);
      case "unsubscribe":
        return this.#seats.unsubscribe(line, message, answer);
      case "state":
        line.background = message["background"] === true;
        answer({ type: "reply" });
        return this.#tellBackground();
      case "pong":
        return;
      default:
        this.#ask(message, answer);
    }
  }

  /** One line at a time, until the hub accepts one: the others are then told the same. */
  #connect(line: Line, message: Message, answer: Answer): void {
    if (!this.#lines.has(line)) return;
    if (this.#welcome) {
      const resumed = message["resume"] !== undefined && this.#welcome["resumed"] === true;
      return answer({ ...this.#welcome, resumed });
    }
    const again = (): void => this.#connect(line, message, answer);
    if (this.#queue) return void this.#queue.push(again);
    this.#queue = [];
    this.#ask(message, (reply) => {
      const next = this.#queue ?? [];
      this.#queue = null;
      if (reply.type === "reply") this.#welcome = reply;
      answer(reply);
      for (const call of next) call();
    });
  }

  /** The session is in background when nobody looks at any of its tabs. */
  #tellBackground(): void {
    const background = [...this.#lines].every((line) => line.background);
    if (background === this.#toldBackground || !this.#welcome) return;
    this.#toldBackground = background;
    this.#ask({ type: "state", background }, () => undefined);
  }
}
