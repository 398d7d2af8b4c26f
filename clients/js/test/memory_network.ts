/** A network in memory between clients and a LittleHub: frames take time, and links are cut or freeze at will. */

import assert from "node:assert/strict";
import { connect } from "../src/client.js";
import type { Client } from "../src/api.js";
import type { ClientOptions } from "../src/options.js";
import type { TransportEvents, TransportFactory } from "../src/transport.js";
import { FakeClock } from "./fake_clock.js";
import type { LittleSession } from "./little_hub.js";
import { LittleHub } from "./little_hub.js";

interface Cable {
  readonly events: TransportEvents;
  session: LittleSession | null;
  whole: boolean;
  frozen: boolean;
}

export class MemoryNetwork {
  static readonly LATENCY_MS = 5;
  readonly clock = new FakeClock();
  readonly hub = new LittleHub();
  readonly cables = new Set<Cable>();
  reachable = true;
  dials = 0;

  readonly transport: TransportFactory = (_url, events) => {
    this.dials += 1;
    const cable: Cable = { events, session: null, whole: true, frozen: false };
    this.cables.add(cable);
    this.#later(cable, () => (this.reachable ? this.#plug(cable) : this.cut(cable)));
    return {
      name: "memory",
      send: (frame) => this.#later(cable, () => cable.session?.receive(frame)),
      close: () => this.#unplug(cable),
    };
  };

  /** A client whose delays are known: no jitter. */
  client(options: ClientOptions = {}): Client {
    const { clock, transport } = this;
    return connect("ws://hub.test/ws", { clock, transport, jitter: "none", ...options });
  }

  /** Ends a link as a broken network does; what is under way is lost. */
  cut(cable: Cable, code = 1006, reason = ""): void {
    if (!cable.whole) return;
    this.#unplug(cable);
    this.clock.after(0, () => cable.events.onClose(code, reason));
  }

  cutAll(code = 1006, reason = ""): void {
    for (const cable of [...this.cables]) this.cut(cable, code, reason);
  }

  /** Both sides believe in the link, and nothing arrives any more. */
  freezeAll(): void {
    for (const cable of this.cables) cable.frozen = true;
  }

  #plug(cable: Cable): void {
    cable.session = this.hub.open({
      send: (frame) => this.#later(cable, () => cable.events.onMessage(frame)),
      close: (code, reason) => this.#later(cable, () => this.cut(cable, code, reason)),
    });
    cable.events.onOpen();
  }

  #unplug(cable: Cable): void {
    cable.whole = false;
    this.cables.delete(cable);
    // A frozen link is noticed by the client alone: the hub still holds the session.
    if (!cable.frozen) cable.session?.lost();
  }

  #later(cable: Cable, call: () => void): void {
    this.clock.after(MemoryNetwork.LATENCY_MS, () => cable.whole && !cable.frozen && call());
  }
}

/** Long enough for a connection, and for a question and its answer. */
export const SOON = 50;

/** A network and a client that is live on it. */
export async function live(options: ClientOptions = {}) {
  const network = new MemoryNetwork();
  const client = network.client(options);
  await network.clock.advance(SOON);
  assert.equal(client.state, "live");
  return { network, client };
}

/** Notes every event of the names given, as `[name, ...args]`. */
export function record(source: { on(event: any, listener: (...args: any[]) => void): unknown }, ...names: string[]): unknown[][] {
  const log: unknown[][] = [];
  for (const name of names) source.on(name, (...args) => log.push([name, ...args]));
  return log;
}
