/** Commands in flight on the present connection, and their answers. */

import type { ChappeError } from "./errors.js";
import type { Command, Message } from "./protocol.js";
import { encode, hubError } from "./protocol.js";

/** Called once with the hub's answer, error or reply; never called when the connection ends first. */
export type Settle = (error: ChappeError | null, reply: Message) => void;

/** One for each connection: a cut forgets what was in flight, and whoever sent it decides what to do. */
export class Commands {
  readonly #settles = new Map<number, Settle>();
  #id = 0;

  constructor(private readonly write: (frame: string) => void) {}

  /** Sends at once. Answers come in the order of the commands, publishes among themselves excepted. */
  send(command: Command, settle: Settle, data?: string): void {
    const id = ++this.#id;
    this.#settles.set(id, settle);
    this.write(encode({ ...command, id }, data));
  }

  /** @returns whether the message answered a command */
  receive(message: Message): boolean {
    const id = message["id"] as number;
    const settle = this.#settles.get(id);
    if (settle === undefined) return false;
    this.#settles.delete(id);
    settle(message.type === "error" ? hubError(message) : null, message);
    return true;
  }
}
