// Numbers, names and texts of every error, unsubscribe and close code.
// Generated from spec/errors.toml by tools/generate_errors.py: do not edit.

/** What the table knows about one code. */
export interface ErrorInfo {
  readonly code: number;
  readonly name: string;
  readonly en: string;
  readonly fr: string;
  /** May the same request (for close codes: a new connection) succeed later? */
  readonly retry: boolean;
  /** Texts with {parameters}, best first; `en` is the one without. */
  readonly enWith?: readonly string[];
  readonly frWith?: readonly string[];
}

/** Names of the codes; the range of a number tells a client whether to try again. */
export const Code = {
  INTERNAL_ERROR: 100,
  UNAUTHORIZED: 101,
  UNKNOWN_CHANNEL: 102,
  PERMISSION_DENIED: 103,
  UNKNOWN_COMMAND: 104,
  ALREADY_SUBSCRIBED: 105,
  LIMIT_EXCEEDED: 106,
  BAD_REQUEST: 107,
  NOT_AVAILABLE: 108,
  TOKEN_EXPIRED: 109,
  TOO_MANY_REQUESTS: 111,
  UNRECOVERABLE_POSITION: 112,
  MESSAGE_TOO_LARGE: 113,
  CONFLICT: 114,
  NAME_IN_USE: 115,
  NOT_LOGGED_IN: 116,
  UNKNOWN_SESSION: 117,
  LOCKED_BY_ANOTHER: 118,
  UNKNOWN_SERVICE: 120,
  SERVICE_NOT_AVAILABLE: 121,
  BAD_SERVICE_REQUEST: 122,
  SERVICE_TIMED_OUT: 123,
  UNSUBSCRIBED: 2000,
  UNSUBSCRIBED_PERMISSION_WITHDRAWN: 2001,
  UNSUBSCRIBED_INSUFFICIENT_STATE: 2500,
  UNSUBSCRIBED_EXPIRED: 2501,
  SHUTDOWN: 3001,
  EXPIRED: 3005,
  SLOW_CONSUMER: 3008,
  INSUFFICIENT_STATE: 3010,
  NO_PONG: 3012,
  INVALID_TOKEN: 3500,
  BAD_REQUEST_CLOSE: 3501,
  STALE: 3502,
  DISCONNECTED: 3503,
  CONNECTION_LIMIT: 3504,
  NAME_IN_USE_CLOSE: 4509,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

const TABLE: readonly ErrorInfo[] = [
  {
    code: 100,
    name: "INTERNAL_ERROR",
    en: "internal error",
    fr: "Erreur interne",
    retry: true,
  },
  {
    code: 101,
    name: "UNAUTHORIZED",
    en: "unauthorized",
    fr: "Authentification requise",
    retry: false,
    enWith: ["unauthorized: {problem}"],
    frWith: ["Authentification refusée\u00a0: {problem}"],
  },
  {
    code: 102,
    name: "UNKNOWN_CHANNEL",
    en: "unknown channel",
    fr: "Canal inconnu",
    retry: false,
    enWith: ["unknown channel {channel}"],
    frWith: ["Canal inconnu\u00a0: {channel}"],
  },
  {
    code: 103,
    name: "PERMISSION_DENIED",
    en: "permission denied",
    fr: "Permission refusée",
    retry: false,
  },
  {
    code: 104,
    name: "UNKNOWN_COMMAND",
    en: "unknown command",
    fr: "Commande inconnue",
    retry: false,
    enWith: ["unknown command {type}"],
    frWith: ["Commande inconnue\u00a0: {type}"],
  },
  {
    code: 105,
    name: "ALREADY_SUBSCRIBED",
    en: "already subscribed",
    fr: "Déjà abonné",
    retry: false,
    enWith: ["already subscribed to {channel}"],
    frWith: ["Déjà abonné à {channel}"],
  },
  {
    code: 106,
    name: "LIMIT_EXCEEDED",
    en: "limit exceeded",
    fr: "Limite dépassée",
    retry: false,
    enWith: ["limit exceeded: {limit} is {maximum}", "limit exceeded: {limit}"],
    frWith: ["Limite dépassée\u00a0: {limit} vaut {maximum}", "Limite dépassée\u00a0: {limit}"],
  },
  {
    code: 107,
    name: "BAD_REQUEST",
    en: "bad request",
    fr: "Requête invalide",
    retry: false,
    enWith: ["bad request: field {field} is {actual}, expected {expected}", "bad request: field {field}: {problem}", "bad request: field {field} is missing or invalid", "bad request: {problem}"],
    frWith: ["Requête invalide\u00a0: le champ {field} est {actual}, attendu {expected}", "Requête invalide\u00a0: champ {field}\u00a0: {problem}", "Requête invalide\u00a0: le champ {field} manque ou n'est pas valide", "Requête invalide\u00a0: {problem}"],
  },
  {
    code: 108,
    name: "NOT_AVAILABLE",
    en: "not available",
    fr: "Non disponible",
    retry: true,
    enWith: ["not available: {feature}"],
    frWith: ["Non disponible\u00a0: {feature}"],
  },
  {
    code: 109,
    name: "TOKEN_EXPIRED",
    en: "token expired",
    fr: "Jeton expiré",
    retry: false,
  },
  {
    code: 111,
    name: "TOO_MANY_REQUESTS",
    en: "too many requests",
    fr: "Trop de requêtes",
    retry: true,
  },
  {
    code: 112,
    name: "UNRECOVERABLE_POSITION",
    en: "unrecoverable position",
    fr: "Position irrécupérable",
    retry: false,
  },
  {
    code: 113,
    name: "MESSAGE_TOO_LARGE",
    en: "message too large",
    fr: "Message trop volumineux",
    retry: false,
  },
  {
    code: 114,
    name: "CONFLICT",
    en: "conflict",
    fr: "Conflit",
    retry: false,
    enWith: ["conflict: the channel is at offset {actual}, expected {expected}"],
    frWith: ["Conflit\u00a0: le canal en est à la position {actual}, attendu {expected}"],
  },
  {
    code: 115,
    name: "NAME_IN_USE",
    en: "name in use",
    fr: "Ce nom d'utilisateur est déjà utilisé",
    retry: false,
  },
  {
    code: 116,
    name: "NOT_LOGGED_IN",
    en: "not logged in",
    fr: "Vous n'êtes pas connecté",
    retry: false,
  },
  {
    code: 117,
    name: "UNKNOWN_SESSION",
    en: "unknown session",
    fr: "Session inconnue",
    retry: false,
  },
  {
    code: 118,
    name: "LOCKED_BY_ANOTHER",
    en: "locked by another",
    fr: "Verrouillé par un autre",
    retry: true,
    enWith: ["locked by {owner}"],
    frWith: ["Verrouillé par {owner}"],
  },
  {
    code: 120,
    name: "UNKNOWN_SERVICE",
    en: "unknown service",
    fr: "Service inconnu",
    retry: false,
    enWith: ["unknown service: {name}"],
    frWith: ["Service inconnu: {name}"],
  },
  {
    code: 121,
    name: "SERVICE_NOT_AVAILABLE",
    en: "service not available",
    fr: "Service non disponible",
    retry: true,
  },
  {
    code: 122,
    name: "BAD_SERVICE_REQUEST",
    en: "bad service request",
    fr: "Format de requête invalide",
    retry: false,
  },
  {
    code: 123,
    name: "SERVICE_TIMED_OUT",
    en: "service timed out",
    fr: "Le service n'a pas répondu à temps",
    retry: true,
  },
  {
    code: 2000,
    name: "UNSUBSCRIBED",
    en: "unsubscribed by the server",
    fr: "Désabonné par le serveur",
    retry: false,
  },
  {
    code: 2001,
    name: "UNSUBSCRIBED_PERMISSION_WITHDRAWN",
    en: "permission withdrawn",
    fr: "Permission retirée",
    retry: false,
  },
  {
    code: 2500,
    name: "UNSUBSCRIBED_INSUFFICIENT_STATE",
    en: "insufficient state, subscribe again",
    fr: "État insuffisant, abonnez-vous de nouveau",
    retry: true,
  },
  {
    code: 2501,
    name: "UNSUBSCRIBED_EXPIRED",
    en: "subscription expired, subscribe again",
    fr: "Abonnement expiré, abonnez-vous de nouveau",
    retry: true,
  },
  {
    code: 3001,
    name: "SHUTDOWN",
    en: "the hub is shutting down",
    fr: "Le serveur s'arrête",
    retry: true,
  },
  {
    code: 3005,
    name: "EXPIRED",
    en: "connection expired",
    fr: "Connexion expirée",
    retry: true,
  },
  {
    code: 3008,
    name: "SLOW_CONSUMER",
    en: "slow consumer",
    fr: "Lecture trop lente",
    retry: true,
  },
  {
    code: 3010,
    name: "INSUFFICIENT_STATE",
    en: "insufficient state",
    fr: "État insuffisant",
    retry: true,
  },
  {
    code: 3012,
    name: "NO_PONG",
    en: "no pong",
    fr: "Pas de réponse du client",
    retry: true,
  },
  {
    code: 3500,
    name: "INVALID_TOKEN",
    en: "invalid token",
    fr: "Jeton invalide",
    retry: false,
  },
  {
    code: 3501,
    name: "BAD_REQUEST_CLOSE",
    en: "bad request",
    fr: "Requête invalide",
    retry: false,
  },
  {
    code: 3502,
    name: "STALE",
    en: "stale connection",
    fr: "Connexion périmée",
    retry: false,
  },
  {
    code: 3503,
    name: "DISCONNECTED",
    en: "disconnected by an operator",
    fr: "Déconnecté par un opérateur",
    retry: false,
  },
  {
    code: 3504,
    name: "CONNECTION_LIMIT",
    en: "connection limit",
    fr: "Limite de connexions atteinte",
    retry: false,
  },
  {
    code: 4509,
    name: "NAME_IN_USE_CLOSE",
    en: "name in use",
    fr: "Ce nom d'utilisateur est déjà utilisé",
    retry: false,
  },
];

export const ERRORS: ReadonlyMap<number, ErrorInfo> = new Map(TABLE.map((info) => [info.code, info]));

/**
 * Word a code in a language, with the best text whose parameters are all given; `undefined` for a code outside the
 * table (applications word their own, 1000-1999). Language tags that begin with `fr` are French, all others English.
 */
export function reason(
  code: number,
  language = "en",
  params: Readonly<Record<string, unknown>> = {},
): string | undefined {
  const info = ERRORS.get(code);
  if (info === undefined) return undefined;
  const french = language.slice(0, 2).toLowerCase() === "fr";
  for (const text of (french ? info.frWith : info.enWith) ?? []) {
    const fields = [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "");
    if (fields.every((field) => Object.hasOwn(params, field))) {
      return text.replace(/\{(\w+)\}/g, (_, field: string) => String(params[field]));
    }
  }
  return french ? info.fr : info.en;
}
