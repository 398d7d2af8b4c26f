/**
 * Carriers for networks where no WebSocket opens (spec/protocol.md, PO): requests to send, and to receive a stream of
 * events, read by `fetch` because an EventSource could send no token, or long polls.
 */

import { onAbort } from "./abort.js";
import type { Clock } from "./clock.js";
import { EventParser } from "./event_stream.js";
import { takeFrame } from "./frames.js";
import type { Frame } from "./protocol.js";
import type { Transport, TransportEvents, TransportFactory } from "./transport.js";
import { isGoodbye } from "./transport.js";

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

export interface HttpOptions {
  readonly clock: Clock;
  /** Default: the global one. */
  readonly fetch?: Fetch;
  readonly headers?: Readonly<Record<string, string>>;
  readonly credentials?: RequestCredentials;
  /** Wait before a request whose answer was lost is sent again. */
  readonly pollRetryMs: number;
}

type Query = Readonly<Record<string, string | number>>;
type Answer = Readonly<Record<string, any>>;

const NO_STATUS = 1006;
const READ_TIMEOUT_MS = 90_000;
/** Three of the hub's heartbeats. */
const SILENCE_MS = 45_000;
/** Failures in a row after which the hub has ended the session as well: it keeps it for 30 s. */
const MAX_FAILURES = 4;
/** Longer advice to wait outlives the session. */
const MAX_WAIT_MS = 20_000;

/** @param name `sse` or `polling` */
export function httpTransport(name: string, options: HttpOptions): TransportFactory {
  return (url, events) => new HttpTransport(name, url, options, events);
}

/** Why there is no answer, or no session any more. */
interface Failure extends Error {
  readonly code: number;
  /** After which the same request may be answered; null: never. */
  readonly waitMs: number | null;
}

function failure(message: string, code = NO_STATUS, waitMs: number | null = null): Failure {
  return Object.assign(new Error(message), { code, waitMs });
}

class HttpTransport implements Transport {
  /** The private handle; "" until the session has begun. */
  #session = "";
  #cursor = "";
  #seq = 0;
  readonly #queue: string[] = [];
  #posting: Promise<void> | null = null;
  #closed = false;
  #told = false;
  readonly #abort = new AbortController();

  constructor(
    readonly name: string,
    private readonly url: string,
    private readonly options: HttpOptions,
    private readonly events: TransportEvents,
  ) {
    (name === "sse" ? this.#stream() : this.#poll()).catch(this.#failed);
  }

  /** Frames leave in order, one request at a time; what was queued meanwhile leaves in one. */
  send(frame: string): void {
    if (this.#session === "" || this.#closed) return;
    this.#queue.push(frame);
    this.#posting ??= this.#post().catch(this.#failed);
  }

  /** A goodbye sends what waits and tells the hub, who then forgets the session. */
  close(code: number, reason: string): void {
    const leaves = isGoodbye(code) && this.#session !== "" && !this.#closed;
    this.#closed = true;
    if (leaves) void this.#leave();
    else this.#abort.abort();
    queueMicrotask(() => this.#end(code, reason));
  }

  // ---- receiving ----------------------------------------------------------------------------------------------------

  async #poll(): Promise<void> {
    const { clock, pollRetryMs } = this.options;
    // Not repeated: whoever dials has a backoff.
    this.#begin(await this.#ask("GET", "poll"));
    while (!this.#closed) {
      const started = clock.now();
      const { cursor, messages } = await this.#repeat("GET", "poll", { cursor: this.#cursor });
      if (messages?.length > 0) {
        this.#cursor = cursor;
        this.#tell(messages);
      } else if (clock.now() - started < 1_000) {
        // Whoever has nothing to say, at once and again, is no hub.
        await this.#sleep(pollRetryMs);
      }
    }
  }

  async #stream(): Promise<never> {
    const headers = { Accept: "text/event-stream" };
    const response = await this.#fetch("GET", "events", { session: "" }, { headers });
    const reader = response.body?.getReader?.();
    if (!reader) throw failure("no streams here");
    const parser = new EventParser();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await this.#within(SILENCE_MS, () => reader.read());
      if (done) throw failure("the stream ended");
      for (const { name, data } of parser.push(decoder.decode(value, { stream: true }))) {
        if (name === "close") {
          const { code, reason } = JSON.parse(data) as Answer;
          throw failure(reason, code);
        }
        // A proxy that holds streams back passes the head of the answer: only an event shows that it is open.
        if (this.#session === "") this.#begin(JSON.parse(data));
        else this.#tell(data);
      }
    }
  }

  #begin({ session, cursor }: Answer): void {
    if (typeof session !== "string") throw failure("no session");
    this.#session = session;
    this.#cursor = cursor;
    if (!this.#closed) this.events.onOpen();
  }

  #tell(frame: Frame): void {
    if (!this.#closed) this.events.onMessage(frame);
  }

  readonly #failed = (error: Failure): void => {
    this.#closed = true;
    this.#abort.abort();
    this.#end(error.code > 1000 ? error.code : NO_STATUS, error.message);
  };

  #end(code: number, reason: string): void {
    if (this.#told) return;
    this.#told = true;
    this.events.onClose(code, reason);
  }

  // ---- sending ------------------------------------------------------------------------------------------------------

  async #post(): Promise<void> {
    while (this.#queue.length > 0) {
      const query = { seq: this.#seq++, replies: "push" };
      await this.#repeat("POST", "send", query, { body: takeFrame(this.#queue), signal: null });
    }
    this.#posting = null;
  }

  async #leave(): Promise<void> {
    await this.#posting;
    // A page that closes must not cancel it.
    await this.#ask("DELETE", "poll", {}, { keepalive: true, signal: null }).catch(() => undefined);
    // Not before: a stream that ends first is a cut, and the hub would know no session to forget.
    this.#abort.abort();
  }

  // ---- requests -----------------------------------------------------------------------------------------------------

  /** Asks again with the same words until there is an answer. @throws Failure */
  async #repeat(method: string, path: string, query: Query, init?: RequestInit): Promise<Answer> {
    for (let failures = 1; ; failures++) {
      try {
        return await this.#ask(method, path, query, init);
      } catch (error) {
        const { waitMs = this.options.pollRetryMs } = error as Failure;
        if (waitMs === null || waitMs > MAX_WAIT_MS || this.#closed || failures === MAX_FAILURES) throw error;
        await this.#sleep(waitMs);
      }
    }
  }

  /** @returns {} for an answer without a body @throws Failure, or what `fetch` throws */
  #ask(method: string, path: string, query?: Query, init?: RequestInit): Promise<Answer> {
    const read = (response: Response): Promise<Answer> | Answer => (response.status === 204 ? {} : response.json());
    return this.#within(READ_TIMEOUT_MS, (signal) => this.#fetch(method, path, query, { signal, ...init }).then(read));
  }

  async #fetch(method: string, path: string, query: Query = {}, init: RequestInit = {}): Promise<Response> {
    const { fetch = globalThis.fetch, headers, credentials, pollRetryMs } = this.options;
    const response = await fetch(this.#endpoint(path, query), {
      method,
      cache: "no-store",
      signal: this.#abort.signal,
      ...(credentials && { credentials }),
      ...init,
      headers: { ...headers, ...init.headers },
    });
    if (response.ok) return response;
    // A problem of the hub has a code; a proxy's answer is nothing but a status.
    const { status } = response;
    const { code = 0, detail = `status ${status}` }: Answer = (await response.json().catch(() => null)) ?? {};
    const advice = Number(response.headers.get("Retry-After") ?? NaN) * 1_000;
    // The words in which a hub that closes says the same (SH-1).
    const words = advice >= 0 ? `${detail}; reconnect after ${Math.ceil(advice)} ms` : detail;
    if (code >= 3000) throw failure(words, code);
    throw failure(words, NO_STATUS, status < 500 && status !== 429 ? null : advice >= 0 ? advice : pollRetryMs);
  }

  /** @throws what `ask` throws; after so long, and when the transport ends, `ask` is aborted */
  #within<T>(ms: number, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      // Its own: what `fetch` leaves on a signal would gather on one of a long life.
      const request = new AbortController();
      const end = (): void => {
        stopListening();
        cancel();
      };
      const abort = (reason: unknown): void => {
        end();
        reject(reason);
        request.abort();
      };
      const stopListening = onAbort(this.#abort.signal, abort);
      const cancel = this.options.clock.after(ms, () => abort(new Error(`silent for ${ms} ms`)));
      ask(request.signal).then(resolve, reject).finally(end);
    });
  }

  #sleep(ms: number): Promise<void> {
    // Waits for nothing; what comes next finds out that the transport has ended.
    return this.#within(ms, () => new Promise<void>(() => undefined)).catch(() => undefined);
  }

  /** `path` stands beside the hub's `/ws`. */
  #endpoint(path: string, query: Query): string {
    const url = new URL(this.url);
    url.protocol = url.protocol.replace("ws", "http");
    url.pathname = url.pathname.replace(/[^/]*\/?$/, path);
    const all = this.#session === "" ? query : { session: this.#session, ...query };
    for (const [name, value] of Object.entries(all)) url.searchParams.set(name, String(value));
    return url.href;
  }
}
