/** Errors with a stable code or kind; their text is worded where it is shown, in English or French. */

import { reason } from "./errors.generated.js";

export type Language = "en" | "fr";

/** Base of everything the SDK throws, rejects with or emits. `code` is the hub's (spec/errors.toml), 0 for local ones. */
export class ChappeError extends Error {
  override readonly name: string = "ChappeError";
  constructor(
    readonly code: number,
    readonly reason: string,
    /** Whether the same request may work later. */
    readonly retry: boolean = false,
    readonly detail: unknown = null,
  ) {
    super(code === 0 ? reason : `${reason} (${code})`);
  }
}

/** How long the hub asks to wait (CH-15.1), in milliseconds; 0 if it says nothing. */
export function retryAfterMs({ detail }: ChappeError): number {
  return Number((detail as { retry_after_s?: unknown } | null)?.retry_after_s ?? 0) * 1_000;
}

const LOCAL_TEXTS = {
  bad_option: ["option {name} is {value}, expected a number from 0", "l'option {name} vaut {value}, un nombre positif ou nul est attendu"],
  bad_transport: ["transports are \"{value}\", expected some of websocket, sse, polling", "les transports sont « {value} », websocket, sse ou polling sont attendus"],
  bad_url: ["\"{url}\" is no address of a hub, expected something like wss://hub.example/ws", "« {url} » n'est pas l'adresse d'un hub, par exemple wss://hub.example/ws"],
  no_websocket: ["there is no WebSocket class here: pass one, connect(url, { WebSocket })", "aucune classe WebSocket ici : passez-en une, connect(url, { WebSocket })"],
  bad_frame: ["the hub sent a frame that is no chappe.v1 message: {what}", "le hub a envoyé une trame qui n'est pas un message chappe.v1 : {what}"],
  disconnected: ["the connection was cut before the answer, so its outcome is unknown", "la connexion a été coupée avant la réponse, le résultat est inconnu"],
  unconfirmed: ["not acknowledged while the hub could recognise it: it may or may not be stored, look at the history", "aucun accusé de réception tant que le hub pouvait la reconnaître : l'enregistrement est incertain, consultez l'historique"],
  timed_out: ["no answer within {ms} ms", "pas de réponse en {ms} ms"],
  queue_full: ["{size} publishes already wait for an acknowledgement: slow down or raise publishQueue", "{size} publications attendent déjà un accusé de réception : ralentissez ou augmentez publishQueue"],
  overflow: ["more than {size} publications wait to be read: read faster or raise queueSize", "plus de {size} publications attendent d'être lues : lisez plus vite ou augmentez queueSize"],
  storage: ["the outbox cannot be kept on this device ({what}): it is in memory only", "la boîte d'envoi ne peut être gardée sur cet appareil ({what}) : elle reste en mémoire"],
  closed: ["the client is disconnected: connect again", "le client est déconnecté : reconnectez-vous"],
  named: ["the session is connected already, as \"{name}\": a name is claimed before", "la session est déjà connectée, sous le nom « {name} » : un nom se prend avant"],
  token: ["getToken failed: {what}", "getToken a échoué : {what}"],
} as const satisfies Record<string, readonly [en: string, fr: string]>;

export type LocalKind = keyof typeof LOCAL_TEXTS;

/** An error found on this side; `kind` is stable. */
export class LocalError extends ChappeError {
  override readonly name = "LocalError";
  constructor(
    readonly kind: LocalKind,
    readonly params: Readonly<Record<string, unknown>> = {},
    retry = false,
  ) {
    super(0, fill(LOCAL_TEXTS[kind][0], params), retry, params);
  }
}

/** Words an error for a person. Codes of the hub's own table are worded here, an application's are returned as they came. */
export function errorText(error: ChappeError, language: Language = "en"): string {
  if (error instanceof LocalError) return fill(LOCAL_TEXTS[error.kind][language === "fr" ? 1 : 0], error.params);
  const params = typeof error.detail === "object" ? (error.detail as Record<string, unknown> | null) : null;
  return reason(error.code, language, params ?? {}) ?? error.reason;
}

function fill(text: string, params: Readonly<Record<string, unknown>>): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(params[name]));
}
