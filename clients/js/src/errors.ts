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
  bad_option: ["option {name} is {value}, expected a number from 0", "option {name} : {value}, attendu : un nombre positif ou nul"],
  bad_transport: ["transports are \"{value}\", expected some of websocket, sse, polling", "transports : « {value} », attendu : websocket, sse, polling"],
  bad_url: ["\"{url}\" is no address of a hub, expected wss://hub.example/ws", "« {url} » n'est pas l'adresse d'un hub, attendu : wss://hub.example/ws"],
  no_websocket: ["there is no WebSocket class here, expected connect(url, { WebSocket })", "aucune classe WebSocket ici, attendu : connect(url, { WebSocket })"],
  bad_frame: ["the hub sent a frame that is not chappe.v1: {what}", "le hub a envoyé une trame qui n'est pas chappe.v1 : {what}"],
  disconnected: ["the connection was cut before the answer: its outcome is unknown", "la connexion a été coupée avant la réponse : le résultat est inconnu"],
  unconfirmed: ["not acknowledged in time: it may be stored, look at the history", "pas d'accusé de réception à temps : peut-être enregistrée, consultez l'historique"],
  timed_out: ["no answer within {ms} ms", "pas de réponse en {ms} ms"],
  queue_full: ["{size} publishes wait for an acknowledgement: slow down or raise publishQueue", "{size} publications attendent un accusé de réception : ralentissez ou augmentez publishQueue"],
  overflow: ["more than {size} publications wait to be read: read faster or raise queueSize", "plus de {size} publications attendent d'être lues : lisez plus vite ou augmentez queueSize"],
  storage: ["the outbox is in memory only: {what}", "la boîte d'envoi n'est qu'en mémoire : {what}"],
  closed: ["the client is disconnected: connect again", "le client est déconnecté : reconnectez-vous"],
  named: ["the session is connected already, as \"{name}\"", "la session est déjà connectée, sous le nom « {name} »"],
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
