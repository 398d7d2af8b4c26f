/** Carriers for networks where no WebSocket opens: requests to send, a stream of events or long polls to receive. */

import type { Clock } from "./clock.js";
import { Code } from "./errors.generated.js";
import { EventParser } from "./event_stream.js";
import type { HttpOptions } from "./http_session.js";
import { Ended, HttpSession } from "./http_session.js";
import type { Frame } from "./protocol.js";
import { number, text } from "./protocol.js";
import type { Transport, TransportEvents, TransportFactory } from "./transport.js";

const NO_STATUS = 1006;
/** Three of the hub's heartbeats. */
const SILENCE_MS = 45_000;

type Tell = (frame: Frame) => void;
/** Calls `open` once messages can come, and returns or throws when none will come any more. */
type Receive = (session: HttpSession, clock: Clock, open: () => void, tell: Tell) => Promise<void>;

export function pollingTransport(options: HttpOptions): TransportFactory {
  return (url, events) => open("polling", receivePolls, url, options, events);
}

/** Server-Sent Events, read by `fetch`: an EventSource could send no token. */
export function sseTransport(options: HttpOptions): TransportFactory {
  return (url, events) => open("sse", receiveStream, url, options, events);
}

function open(name: string, receive: Receive, url: string, options: HttpOptions, events: TransportEvents): Transport {
  let closed = false;
  const finish = (code: number, reason: string): void => {
    if (closed) return;
    closed = true;
    events.onClose(code, reason);
  };
  const ended = (error: unknown): void => {
    session.close(false, false);
    finish(error instanceof Ended ? error.code : NO_STATUS, (error as Error).message);
  };
  const session = new HttpSession(url, options, ended);
  const run = async (): Promise<void> => {
    await session.begin();
    await receive(session, options.clock, () => closed || events.onOpen(), tell);
    throw new Ended(NO_STATUS, "the stream ended");
  };
  const tell: Tell = (frame) => closed || events.onMessage(frame);
  run().catch(ended);
  return {
    name,
    send: (frame) => session.send(frame),
    close: (code, reason) => {
      queueMicrotask(() => finish(code, reason));
      session.close(code === 1000, code !== Code.STALE);
    },
  };
}

async function receivePolls(session: HttpSession, _clock: Clock, open: () => void, tell: Tell): Promise<void> {
  open();
  for (;;) {
    const { messages } = await session.poll();
    if (Array.isArray(messages)) tell(messages);
  }
}

async function receiveStream(session: HttpSession, clock: Clock, open: () => void, tell: Tell): Promise<void> {
  const reader = await session.stream();
  open();
  const parser = new EventParser();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await inTime(reader, clock);
    if (done) return;
    for (const { name, data } of parser.push(decoder.decode(value, { stream: true }))) {
      if (name === "close") throw closing(JSON.parse(data) as Record<string, unknown>);
      tell(data);
    }
  }
}

/** @throws Ended when the stream is silent for longer than a hub would be */
function inTime<T>(reader: ReadableStreamDefaultReader<T>, clock: Clock): Promise<ReadableStreamReadResult<T>> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(SILENCE_MS, () => reject(new Ended(NO_STATUS, "the stream is silent")));
    reader.read().then(resolve, reject).finally(cancel);
  });
}

function closing(event: Record<string, unknown>): Ended {
  return new Ended(number(event["code"]) || NO_STATUS, text(event["reason"]));
}
