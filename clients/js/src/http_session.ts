/** A session over requests (spec/protocol.md, PO): how it begins, how frames are posted, and what statuses mean. */

import type { Clock } from "./clock.js";
import { Code } from "./errors.generated.js";
import { takeFrame } from "./frames.js";
import { number, text } from "./protocol.js";

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

export interface HttpOptions {
  readonly clock: Clock;
  /** Default: the global one. */
  readonly fetch: Fetch | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly credentials: RequestCredentials | undefined;
  /** Wait before a request whose answer was lost is sent again. */
  readonly retryMs: number;
}

/** The session, or the attempt to begin one, is over. */
export class Ended extends Error {
  constructor(readonly code: number, readonly reason: string) {
    super(reason);
  }
}

type Parameters = Readonly<Record<string, string | number>>;
type Answer = Readonly<Record<string, unknown>>;

const NO_STATUS = 1006;
const TOO_LARGE = 1009;
const READ_TIMEOUT_MS = 90_000;
/** Failures in a row after which the hub has ended the session as well: it keeps it for 30 s. */
const MAX_FAILURES = 4;
/** Longer advice to wait outlives the session. */
const MAX_WAIT_MS = 20_000;

export class HttpSession {
  /** The private handle. */
  id = "";
  #cursor = "";
  #seq = 0;
  readonly #queue: string[] = [];
  #posting: Promise<void> | null = null;
  #closed = false;
  readonly #reading = new AbortController();
  readonly #writing = new AbortController();

  constructor(
    private readonly url: string,
    private readonly options: HttpOptions,
    private readonly ended: (error: unknown) => void,
  ) {}

  /** Nothing is repeated here: whoever dials has a backoff. @throws Ended, Wait */
  async begin(): Promise<void> {
    const answer = await this.#ask("GET", "poll", {});
    this.id = text(answer["session"]);
    this.#cursor = text(answer["cursor"]);
    if (this.id === "") throw new Ended(NO_STATUS, "no session");
  }

  /** Sends in order, one request at a time; what was queued meanwhile leaves in one. */
  send(frame: string): void {
    if (this.id === "" || this.#closed) return;
    this.#queue.push(frame);
    this.#posting ??= this.#post().catch(this.ended);
  }

  /** @returns what waits at the hub, without messages if nothing came for a while @throws Ended, Wait */
  async poll(): Promise<Answer> {
    const { clock, retryMs } = this.options;
    const started = clock.now();
    const answer = await this.#repeat("GET", "poll", { session: this.id, cursor: this.#cursor });
    const { cursor, messages } = answer;
    if (typeof cursor === "string") this.#cursor = cursor;
    // Whoever has nothing to say, at once and again, is no hub.
    const idle = !Array.isArray(messages) || messages.length === 0;
    if (idle && clock.now() - started < 1_000) await this.#sleep(retryMs);
    return answer;
  }

  /** @throws Ended, Wait */
  async stream(): Promise<ReadableStreamDefaultReader<Uint8Array>> {
    const headers = { Accept: "text/event-stream" };
    const response = await this.#fetch("GET", "events", { session: this.id }, { headers, signal: this.#reading.signal });
    if (!response.ok) throw await refusal(response, this.options.retryMs);
    const reader = response.body?.getReader?.();
    if (!reader) throw new Ended(NO_STATUS, "no streams here");
    return reader;
  }

  /** Ends reading. @param flush whether to send what waits @param goodbye whether to tell the hub */
  close(flush: boolean, goodbye: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reading.abort();
    if (!flush) {
      this.#queue.length = 0;
      this.#writing.abort();
    }
    if (!goodbye || this.id === "") return;
    const leave = (): void => {
      this.#fetch("DELETE", "poll", { session: this.id }, { keepalive: true }).catch(() => undefined);
    };
    if (flush && this.#posting) void this.#posting.then(leave);
    else leave();
  }

  async #post(): Promise<void> {
    while (this.#queue.length > 0) {
      const parameters = { session: this.id, seq: this.#seq++, replies: "push" };
      await this.#repeat("POST", "send", parameters, takeFrame(this.#queue));
    }
    this.#posting = null;
  }

  /** Asks again with the same words until there is an answer. @throws Ended, Wait */
  async #repeat(method: string, path: string, parameters: Parameters, body?: string): Promise<Answer> {
    for (let failures = 1; ; failures++) {
      try {
        return await this.#ask(method, path, parameters, body);
      } catch (error) {
        const { ms } = error as Wait;
        if (error instanceof Ended || this.#closed || failures === MAX_FAILURES || ms > MAX_WAIT_MS) throw error;
        await this.#sleep(ms);
      }
    }
  }

  /** @throws Ended, or Wait if the same request may be answered later */
  async #ask(method: string, path: string, parameters: Parameters, body?: string): Promise<Answer> {
    const { signal } = body === undefined ? this.#reading : this.#writing;
    // This request may take too long, and the session go on.
    const request = new AbortController();
    const abort = (): void => request.abort();
    const cancel = this.options.clock.after(READ_TIMEOUT_MS, abort);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    try {
      const init = { signal: request.signal, ...(body === undefined ? {} : { body, keepalive: this.#closed }) };
      const response = await this.#fetch(method, path, parameters, init);
      if (!response.ok) throw await refusal(response, this.options.retryMs);
      return response.status === 204 ? {} : ((await response.json()) as Answer);
    } catch (error) {
      throw error instanceof Ended || error instanceof Wait ? error : new Wait(this.options.retryMs, String(error));
    } finally {
      cancel();
      signal.removeEventListener("abort", abort);
    }
  }

  async #fetch(method: string, path: string, parameters: Parameters, init: RequestInit): Promise<Response> {
    const { fetch = globalThis.fetch, headers, credentials } = this.options;
    return fetch(endpoint(this.url, path, parameters), {
      method,
      cache: "no-store",
      ...(credentials && { credentials }),
      ...init,
      headers: { ...headers, ...init.headers },
    });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.options.clock.after(ms, resolve);
      this.#reading.signal.addEventListener("abort", () => (cancel(), resolve()));
    });
  }
}

/** The same request may be answered later. */
class Wait extends Error {
  constructor(readonly ms: number, message: string) {
    super(message);
  }
}

/** What a status means. A problem of the hub has a code; a proxy's answer is nothing but a status. */
async function refusal(response: Response, retryMs: number): Promise<Ended | Wait> {
  const { status, headers } = response;
  const problem = (await response.json().catch(() => null) ?? {}) as Answer;
  const code = number(problem["code"]);
  const reason = text(problem["detail"]) || text(problem["title"]) || `status ${status}`;
  if (code >= 3000) return new Ended(code, reason);
  if (code === Code.UNAUTHORIZED) return new Ended(Code.INVALID_TOKEN, reason);
  if (code === Code.TOKEN_EXPIRED) return new Ended(Code.EXPIRED, reason);
  if (status === 413) return new Ended(TOO_LARGE, reason);
  const seconds = headers.get("Retry-After");
  // The words in which a closing hub says the same (SH-1).
  const advice = seconds !== null && Number(seconds) >= 0 ? Number(seconds) * 1_000 : null;
  const words = advice === null ? reason : `${reason}; reconnect after ${Math.ceil(advice)} ms`;
  return status === 429 || status >= 500 ? new Wait(advice ?? retryMs, words) : new Ended(NO_STATUS, words);
}

/** `path` stands beside the hub's `/ws`. */
function endpoint(url: string, path: string, parameters: Parameters): string {
  const parsed = new URL(url);
  parsed.protocol = parsed.protocol.replace("ws", "http");
  parsed.pathname = parsed.pathname.replace(/[^/]*\/?$/, path);
  for (const [name, value] of Object.entries(parameters)) parsed.searchParams.set(name, String(value));
  return parsed.href;
}
