/** Requests with one answer (history, presence, locks, calls): they wait for a connection, and only so long. */

import { onAbort } from "./abort.js";
import type { Clock } from "./clock.js";
import type { Commands } from "./commands.js";
import type { ChappeError } from "./errors.js";
import { LocalError } from "./errors.js";
import type { Command, Message } from "./protocol.js";

interface Call {
  readonly command: Command;
  /** Asking twice does no harm, so a cut asks again. */
  readonly repeatable: boolean;
  readonly done: (error: unknown, reply: Message | null) => void;
}

export class Calls {
  static readonly MAX_OPEN = 1_000;
  readonly #open = new Set<Call>();
  readonly #sent = new Set<Call>();
  #commands: Commands | null = null;

  constructor(private readonly clock: Clock) {}

  /**
   * Rejects with the hub's error; `timed_out`; `disconnected` if a cut came after it was sent and it is not repeatable;
   * `queue_full` beyond `MAX_OPEN`; the reason of an aborted signal.
   */
  request(command: Command, repeatable: boolean, timeoutMs: number, signal?: AbortSignal): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (this.#open.size >= Calls.MAX_OPEN) return reject(new LocalError("queue_full", { size: Calls.MAX_OPEN }, true));
      const stopListening = onAbort(signal, (reason) => call.done(reason, null));
      const cancel = this.clock.after(timeoutMs, () => call.done(new LocalError("timed_out", { ms: timeoutMs }, true), null));
      const call: Call = {
        command,
        repeatable,
        done: (error, reply) => {
          cancel();
          stopListening();
          this.#open.delete(call);
          this.#sent.delete(call);
          if (error) reject(error);
          else resolve(reply as Message);
        },
      };
      this.#open.add(call);
      if (this.#commands) this.#send(call, this.#commands);
    });
  }

  connected(commands: Commands): void {
    this.#commands = commands;
    for (const call of this.#open) this.#send(call, commands);
  }

  cut(): void {
    this.#commands = null;
    for (const call of [...this.#sent]) {
      if (!call.repeatable) call.done(new LocalError("disconnected"), null);
    }
    this.#sent.clear();
  }

  fail(error: ChappeError): void {
    this.#commands = null;
    for (const call of [...this.#open]) call.done(error, null);
  }

  #send(call: Call, commands: Commands): void {
    this.#sent.add(call);
    commands.send(call.command, call.done);
  }
}
