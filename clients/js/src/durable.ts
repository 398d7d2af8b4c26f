/** Publishes that outlive the page: kept in a store until the hub has answered, and sent by the next page if need be. */

import type { Position } from "./api.js";
import type { ChappeError, LocalError, LocalKind } from "./errors.js";
import type { Outgoing } from "./outbox.js";

/** What the client does for its durable outbox. */
export interface OutboxLine {
  /** Sends now and, as long as this page lives, again after a cut. Rejects as `publish` does. */
  send(outgoing: Outgoing): Promise<Position>;
  error(kind: LocalKind, params?: Readonly<Record<string, unknown>>): LocalError;
  /** For what no promise tells. */
  report(error: ChappeError): void;
}

/** What the client asks of it; one for each client. */
export interface DurableOutbox {
  /** Publishes that are not acknowledged, those of earlier pages included. */
  readonly length: number;
  /** Called once, first. */
  attach(url: string, line: OutboxLine): void;
  publish(outgoing: Outgoing): Promise<Position>;
  /** @param owner for whom the hub remembers idempotency keys on this connection */
  connected(owner: string): void;
  cut(): void;
  /** Nothing is sent until `connected`: promises reject with the error, what is stored stays stored. */
  fail(error: ChappeError): void;
  /** The client ended for good; the next one may send what is stored. */
  close(): void;
}
