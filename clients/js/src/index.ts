/** `chappe`: the JavaScript client of the Chappe realtime hub. */

import type { Client } from "./api.js";
import type { ClientOptions } from "./options.js";

export type * from "./api.js";
export type { ClientOptions } from "./options.js";
export type { Clock } from "./clock.js";
export type { Transport, TransportEvents, TransportFactory, WebSocketClass, WebSocketLike } from "./transport.js";
export { ChappeError, LocalError, errorText } from "./errors.js";
export type { Language, LocalKind } from "./errors.js";
export { VERSION } from "./options.js";

export declare function connect(url: string, options?: ClientOptions): Client;
