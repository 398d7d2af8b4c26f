/** A LittleHub behind `fetch`: what spec/protocol.md, PO, says, with answers that are lost or late at will. */

import type { FakeClock } from "./fake_clock.js";
import type { LittleSession } from "./little_hub.js";
import { LittleHub } from "./little_hub.js";

interface Box {
  readonly id: string;
  session: LittleSession;
  given: unknown[];
  waiting: unknown[];
  cursor: number;
  wake: () => void;
  stream: ReadableStreamDefaultController<Uint8Array> | null;
  readonly answered: Map<string, number>;
  ended: { code: number; reason: string } | null;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly init: RequestInit;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const problem = (status: number, code: number, detail = "no") =>
  new Response(JSON.stringify({ code, title: "no", detail, retry: true }), { status });

export class LittleHttp {
  readonly hub = new LittleHub();
  readonly boxes = new Map<string, Box>();
  readonly asked: Asked[] = [];
  readonly bodies: string[] = [];
  /** Streams pass nothing but the head, as behind a proxy that gathers answers. */
  holding = false;
  /** Answers instead of the hub; `lost` carries the request out and loses its answer. */
  intercept: (asked: Asked) => Response | "lost" | "refused" | undefined = () => undefined;

  constructor(private readonly clock: FakeClock) {}

  readonly fetch = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const { pathname, searchParams } = new URL(url);
    const asked = { method: init.method ?? "GET", path: pathname, query: searchParams, init };
    this.asked.push(asked);
    await this.#aside(5, init.signal);
    const instead = this.intercept(asked);
    if (instead instanceof Response) return instead;
    if (instead === "refused") throw new TypeError("fetch failed");
    const answer = await this.#answer(asked);
    if (instead === "lost") throw new TypeError("fetch failed");
    return answer;
  };

  count(method: string, path: string): number {
    return this.asked.filter((it) => it.method === method && it.path === path).length;
  }

  end(code: number, reason: string): void {
    for (const box of this.boxes.values()) {
      box.session.lost();
      box.ended = { code, reason };
      this.#event(box, "close", JSON.stringify(box.ended));
      box.wake();
    }
  }

  async #answer({ method, path, query, init }: Asked): Promise<Response> {
    if (path === "/poll" && !query.has("session")) return Response.json({ session: this.#begin().id, cursor: "0", messages: [] });
    if (path === "/events" && query.get("session") === "") return this.#events(this.#begin(), init.signal);
    const box = this.boxes.get(query.get("session") ?? "");
    if (!box) return problem(404, 117);
    if (path === "/send") return this.#send(box, query, String(init.body));
    if (box.ended && box.waiting.length === 0) return problem(410, box.ended.code, box.ended.reason);
    if (method === "DELETE") {
      box.session.lost();
      box.stream?.close();
      box.stream = null;
      this.boxes.delete(box.id);
      return new Response(null, { status: 204 });
    }
    return path === "/poll" ? this.#poll(box, query, init.signal) : this.#events(box, init.signal);
  }

  #begin(): Box {
    const id = `h${this.boxes.size}-${this.asked.length}`;
    const session = this.hub.open({ send: (frame) => this.#say(box, frame), close: (code, reason) => this.end(code, reason) });
    const box: Box = { id, session, given: [], waiting: [], cursor: 0, wake() {}, stream: null, answered: new Map(), ended: null };
    this.boxes.set(id, box);
    return box;
  }

  #say(box: Box, frame: string): void {
    if (box.stream) return this.#event(box, "x", frame);
    box.waiting.push(JSON.parse(frame));
    box.wake();
  }

  #event(box: Box, name: string, data: string): void {
    if (!this.holding) box.stream?.enqueue(bytes(`event: ${name}\ndata: ${data}\n\n`));
  }

  #send(box: Box, query: URLSearchParams, body: string): Response {
    if (box.ended) return problem(410, box.ended.code, box.ended.reason);
    const seq = query.get("seq") ?? "";
    if (!box.answered.has(seq)) {
      box.answered.set(seq, 1);
      this.bodies.push(body);
      const frame = JSON.parse(body);
      for (const message of Array.isArray(frame) ? frame : [frame]) box.session.receive(JSON.stringify(message));
    }
    return Response.json({ messages: [] });
  }

  async #poll(box: Box, query: URLSearchParams, signal?: AbortSignal | null): Promise<Response> {
    if (query.get("cursor") === String(box.cursor)) box.given = [];
    box.wake();
    if (box.given.length === 0) {
      if (box.waiting.length === 0) await this.#aside(60_000, signal, (wake) => (box.wake = wake));
      if (box.waiting.length === 0) return box.ended ? problem(410, box.ended.code, box.ended.reason) : new Response(null, { status: 204 });
      box.given = box.waiting.splice(0);
      box.cursor += 1;
    }
    return Response.json({ session: box.id, cursor: String(box.cursor), messages: box.given });
  }

  #events(box: Box, signal?: AbortSignal | null): Response {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (box.stream = controller) });
    this.#event(box, "subscribed", JSON.stringify({ session: box.id, channels: {} }));
    signal?.addEventListener("abort", () => {
      this.boxes.delete(box.id);
      box.session.lost();
      box.stream?.error(new DOMException("aborted", "AbortError"));
      box.stream = null;
    });
    for (const message of box.waiting.splice(0)) this.#say(box, JSON.stringify(message));
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  }

  /** @param early is given what ends the wait before its time */
  #aside(ms: number, signal?: AbortSignal | null, early?: (wake: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => (cancel(), signal?.removeEventListener("abort", abort));
      const done = () => (end(), resolve());
      const abort = () => (end(), reject(new DOMException("aborted", "AbortError")));
      const cancel = this.clock.after(ms, done);
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort);
      early?.(done);
    });
  }
}
