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
  /** What waits until the session has moved, and whom to tell when nothing is under way any more. */
  #held: { waiting: Parameters<Commands["send"]>[]; quiet: (() => void) | null } | null = null;

  /** @param write its `patient` says that a frame may wait for others */
  constructor(private readonly write: (frame: string, patient: boolean) => void) {}

  /** Sends at once. Answers come in the order of the commands, publishes among themselves excepted. */
  send(command: Command, settle: Settle, data?: string | undefined): void {
    if (this.#held) return void this.#held.waiting.push([command, settle, data]);
    const id = ++this.#id;
    this.#settles.set(id, settle);
    this.write(encode({ ...command, id }, data), command.type === "publish");
  }

  /** @returns whether the message answered a command */
  receive(message: Message): boolean {
    const id = message["id"] as number;
    const settle = this.#settles.get(id);
    if (settle === undefined) return false;
    this.#settles.delete(id);
    settle(message.type === "error" ? hubError(message) : null, message);
    this.#checkQuiet();
    return true;
  }

  /** Sends nothing until `release`. @param quiet called once all that was sent is answered, at once if it is */
  hold(quiet: () => void): void {
    this.#held = { waiting: [], quiet };
    this.#checkQuiet();
  }

  /** Sends what waited. @param first is called before, and may send */
  release(first: () => void = () => undefined): void {
    const waiting = this.#held?.waiting ?? [];
    this.#held = null;
    first();
    for (const each of waiting) this.send(...each);
  }

  #checkQuiet(): void {
    const quiet = this.#held?.quiet;
    if (!this.#held || !quiet || this.#settles.size > 0) return;
    this.#held.quiet = null;
    quiet();
  }
}
