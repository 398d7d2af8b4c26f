/** `chappe/tabs`: the tabs of one origin share one connection, held by the one among them that has the lock. */

import type { Switchboard } from "./switchboard.js";
import { openSwitchboard } from "./switchboard.js";
import type { Transport, TransportEvents, TransportFactory } from "./transport.js";

export interface SharedTabsOptions {
  /** Tabs share if they have the same name and connect to the same address; give each user of a page another. */
  name?: string;
}

/** A close code that says to come back: another tab has the connection now. */
const MOVED = 4000;

/** What tabs say to each other; `line` is one connection of one tab. */
type Word =
  | { readonly kind: "leads" }
  | { readonly kind: "dial"; readonly tab: string; readonly line: string }
  | { readonly kind: "open" }
  | { readonly kind: "frame"; readonly frame: string }
  | { readonly kind: "close"; readonly code: number; readonly reason: string };

/**
 * For the option `tabs` of `connect`: `connect(url, { tabs: sharedTabs() })`. Tabs that share are one session at the
 * hub: give each the same token and name, the first one's count. Each of the transports is shared; when the first gets
 * through again, the tabs take it at their next dial, without moving the session meanwhile. Where there are no Web Locks (no secure context, no
 * browser) each tab has its own connection.
 */
export function sharedTabs(options: SharedTabsOptions = {}): (carrier: TransportFactory, place?: number) => TransportFactory {
  return (carrier, place = 0) => {
    if (!globalThis.navigator?.locks || typeof BroadcastChannel === "undefined") return carrier;
    let tab: Tab | null = null;
    return (url, events) => (tab ??= new Tab(`chappe-tabs ${options.name ?? ""} ${url} ${place}`, url, carrier)).dial(events);
  };
}

/** One tab: asks for the lead at its first dial, and reaches whoever has it. */
class Tab {
  readonly #id = crypto.randomUUID();
  readonly #group: BroadcastChannel;
  /** Others know by this lock whether this tab is still there. */
  readonly #alive: Promise<void>;
  readonly #admitted = new Set<string>();
  #board: Switchboard | null = null;
  #resign: () => void = () => undefined;
  #line: Line | null = null;

  constructor(
    private readonly name: string,
    private readonly url: string,
    private readonly carrier: TransportFactory,
  ) {
    this.#group = new BroadcastChannel(name);
    this.#group.onmessage = ({ data }: MessageEvent<Word>) => this.#hear(data);
    this.#alive = new Promise((resolve) => {
      void navigator.locks.request(`${name} ${this.#id}`, () => new Promise(() => resolve()));
    });
    // A worker has no document, and is not frozen.
    globalThis.document?.addEventListener("freeze", () => this.#resign());
    globalThis.document?.addEventListener("resume", () => this.#stand());
    addEventListener("pagehide", () => this.#resign());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#stand());
    this.#stand();
  }

  dial(events: TransportEvents): Transport {
    const line: Line = this.#board
      ? { transport: this.#board.plug(events), moved: (): void => undefined, leads: (): void => undefined }
      : this.#far(events);
    this.#line = line;
    return line.transport;
  }

  /** Waits for the lead. A frozen tab could not pass anything on, so it lets go. */
  #stand(): void {
    const gone = new AbortController();
    this.#resign = () => gone.abort();
    const held = async (): Promise<void> => {
      if (gone.signal.aborted) return;
      const board = (this.#board = openSwitchboard(this.url, this.carrier));
      this.#line?.moved(board);
      this.#say({ kind: "leads" });
      await new Promise((resolve) => gone.signal.addEventListener("abort", resolve));
      this.#board = null;
      board.close(MOVED, "another tab leads");
    };
    navigator.locks.request(this.name, { signal: gone.signal }, held).catch(() => undefined);
  }

  #say(word: Word): void {
    this.#group.postMessage(word);
  }

  #hear(word: Word): void {
    if (word.kind === "leads") this.#line?.leads();
    else if (word.kind === "dial" && this.#board) this.#admit(this.#board, word.tab, word.line);
  }

  /** Connects another tab to the board of this one. */
  #admit(board: Switchboard, tab: string, line: string): void {
    // It asks again when it hears of a new leader.
    if (this.#admitted.has(line)) return;
    this.#admitted.add(line);
    const channel = new BroadcastChannel(`${this.name} ${line}`);
    const say = (word: Word): void => channel.postMessage(word);
    const left = new AbortController();
    const plug = board.plug({
      onOpen: () => say({ kind: "open" }),
      // A board says text alone.
      onMessage: (frame) => say({ kind: "frame", frame: frame as string }),
      onClose: (code, reason) => {
        say({ kind: "close", code, reason });
        channel.close();
        this.#admitted.delete(line);
        left.abort();
      },
    });
    channel.onmessage = ({ data }: MessageEvent<Word>) => {
      if (data.kind === "frame") plug.send(data.frame);
      else if (data.kind === "close") plug.close(data.code, data.reason);
    };
    const gone = navigator.locks.request(`${this.name} ${tab}`, { signal: left.signal }, () => plug.close(1001, "tab closed"));
    gone.catch(() => undefined);
  }

  /** A connection by way of the leader, as soon as there is one. */
  #far(events: TransportEvents): Line {
    const id = crypto.randomUUID();
    const channel = new BroadcastChannel(`${this.name} ${id}`);
    let state: "dialing" | "open" | "closed" = "dialing";
    let near: Transport | null = null;
    const end = (code: number, reason: string): void => {
      if (state === "closed") return;
      state = "closed";
      channel.close();
      events.onClose(code, reason);
    };
    channel.onmessage = ({ data }: MessageEvent<Word>) => {
      if (state === "closed") return;
      if (data.kind === "open" && state === "dialing") (state = "open"), events.onOpen();
      else if (data.kind === "frame") events.onMessage(data.frame);
      else if (data.kind === "close") end(data.code, data.reason);
    };
    const ask = (): void => void this.#alive.then(() => state === "dialing" && this.#say({ kind: "dial", tab: this.#id, line: id }));
    ask();
    const lost = (): void => end(MOVED, "another tab leads");
    return {
      moved: (board) => {
        if (state !== "dialing") return lost();
        state = "closed";
        channel.close();
        near = board.plug(events);
      },
      leads: () => (state === "dialing" ? ask() : lost()),
      transport: {
        name: "tabs",
        send: (frame) => {
          if (near) near.send(frame);
          else if (state === "open") channel.postMessage({ kind: "frame", frame } satisfies Word);
        },
        close: (code, reason) => {
          if (near) return near.close(code, reason);
          if (state !== "closed") channel.postMessage({ kind: "close", code, reason } satisfies Word);
          queueMicrotask(() => end(code, reason));
        },
      },
    };
  }
}

interface Line {
  readonly transport: Transport;
  /** This tab leads now: to its board, if there was no leader so far, else by another connection. */
  moved(board: Switchboard): void;
  /** Another tab leads now. */
  leads(): void;
}
