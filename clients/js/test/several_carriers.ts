/** Three carriers over one MemoryNetwork; each may be broken (closes), or mute (never opens). */

import type { ClientOptions } from "../src/options.js";
import type { TransportFactory } from "../src/transport.js";
import { MemoryNetwork } from "./memory_network.js";

export type Name = "websocket" | "sse" | "polling";

export class SeveralCarriers {
  readonly network = new MemoryNetwork();
  readonly clock = this.network.clock;
  readonly broken = new Set<Name>();
  readonly mute = new Set<Name>();
  /** `websocket at 5000` for each dial. */
  readonly dials: string[] = [];

  client(options: ClientOptions = {}) {
    const transports = (["websocket", "sse", "polling"] as const).map((name) => this.#carrier(name));
    const { clock } = this;
    // `transports` and not `transport`, which MemoryNetwork gives.
    return this.network.client({ clock, transports, transport: undefined as never, ...options });
  }

  #carrier(name: Name): TransportFactory {
    return (url, events) => {
      this.dials.push(`${name} at ${this.clock.now()}`);
      const none = { name, send() {}, close() {} };
      if (this.mute.has(name)) return none;
      if (!this.broken.has(name)) return { ...this.network.transport(url, events), name };
      this.clock.after(1, () => events.onClose(1006, ""));
      return none;
    };
  }
}
