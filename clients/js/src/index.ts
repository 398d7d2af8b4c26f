/** `chappe`: the JavaScript client of the Chappe realtime hub. */

export { connect } from "./client.js";
export type * from "./api.js";
export type { ClientOptions, TransportName } from "./options.js";
export type { Clock } from "./clock.js";
export type { Transport, TransportEvents, TransportFactory, WebSocketClass, WebSocketLike } from "./transport.js";
export { ChappeError, LocalError, errorText } from "./errors.js";
export type { Language, LocalKind } from "./errors.js";
export { VERSION } from "./options.js";
export { Code } from "./errors.generated.js";
