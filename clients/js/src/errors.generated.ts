// Numbers, names and texts of every error, unsubscribe and close code.
// Generated from spec/errors.toml by tools/generate_errors.py: do not edit.

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

/** English and French, each best first; the last has no {parameters}. */
const TEXTS: Readonly<Record<number, readonly (readonly string[])[]>> = {
  100: [["internal error"], ["Erreur interne"]],
  101: [["unauthorized: {problem}", "unauthorized"], ["Authentification refusée\u00a0: {problem}", "Authentification requise"]],
  102: [["unknown channel {channel}", "unknown channel"], ["Canal inconnu\u00a0: {channel}", "Canal inconnu"]],
  103: [["permission denied"], ["Permission refusée"]],
  104: [["unknown command {type}", "unknown command"], ["Commande inconnue\u00a0: {type}", "Commande inconnue"]],
  105: [["already subscribed to {channel}", "already subscribed"], ["Déjà abonné à {channel}", "Déjà abonné"]],
  106: [["limit exceeded: {limit} is {maximum}", "limit exceeded: {limit}", "limit exceeded"], ["Limite dépassée\u00a0: {limit} vaut {maximum}", "Limite dépassée\u00a0: {limit}", "Limite dépassée"]],
  107: [["bad request: field {field} is {actual}, expected {expected}", "bad request: field {field}: {problem}", "bad request: field {field} is missing or invalid", "bad request: {problem}", "bad request"], ["Requête invalide\u00a0: le champ {field} est {actual}, attendu {expected}", "Requête invalide\u00a0: champ {field}\u00a0: {problem}", "Requête invalide\u00a0: le champ {field} manque ou n'est pas valide", "Requête invalide\u00a0: {problem}", "Requête invalide"]],
  108: [["not available: {feature}", "not available"], ["Non disponible\u00a0: {feature}", "Non disponible"]],
  109: [["token expired"], ["Jeton expiré"]],
  111: [["too many requests"], ["Trop de requêtes"]],
  112: [["unrecoverable position"], ["Position irrécupérable"]],
  113: [["message too large"], ["Message trop volumineux"]],
  114: [["conflict: the channel is at offset {actual}, expected {expected}", "conflict"], ["Conflit\u00a0: le canal en est à la position {actual}, attendu {expected}", "Conflit"]],
  115: [["name in use"], ["Ce nom d'utilisateur est déjà utilisé"]],
  116: [["not logged in"], ["Vous n'êtes pas connecté"]],
  117: [["unknown session"], ["Session inconnue"]],
  118: [["locked by {owner}", "locked by another"], ["Verrouillé par {owner}", "Verrouillé par un autre"]],
  120: [["unknown service: {name}", "unknown service"], ["Service inconnu: {name}", "Service inconnu"]],
  121: [["service not available"], ["Service non disponible"]],
  122: [["bad service request"], ["Format de requête invalide"]],
  123: [["service timed out"], ["Le service n'a pas répondu à temps"]],
  2000: [["unsubscribed by the server"], ["Désabonné par le serveur"]],
  2001: [["permission withdrawn"], ["Permission retirée"]],
  2500: [["insufficient state, subscribe again"], ["État insuffisant, abonnez-vous de nouveau"]],
  2501: [["subscription expired, subscribe again"], ["Abonnement expiré, abonnez-vous de nouveau"]],
  3001: [["the hub is shutting down"], ["Le serveur s'arrête"]],
  3005: [["connection expired"], ["Connexion expirée"]],
  3008: [["slow consumer"], ["Lecture trop lente"]],
  3010: [["insufficient state"], ["État insuffisant"]],
  3012: [["no pong"], ["Pas de réponse du client"]],
  3500: [["invalid token"], ["Jeton invalide"]],
  3501: [["bad request"], ["Requête invalide"]],
  3502: [["stale connection"], ["Connexion périmée"]],
  3503: [["disconnected by an operator"], ["Déconnecté par un opérateur"]],
  3504: [["connection limit"], ["Limite de connexions atteinte"]],
  4509: [["name in use"], ["Ce nom d'utilisateur est déjà utilisé"]],
};

const FIELD = /\{(\w+)\}/g;

/**
 * Word a code in a language, with the best text whose parameters are all given; `undefined` for a code outside the
 * table (applications word their own, 1000-1999). Language tags that begin with `fr` are French, all others English.
 */
export function reason(
  code: number,
  language = "en",
  params: Readonly<Record<string, unknown>> = {},
): string | undefined {
  const texts = TEXTS[code]?.[language.slice(0, 2).toLowerCase() === "fr" ? 1 : 0];
  const given = (_: string, field: string): string => String(params[field]);
  return texts?.find((text) => [...text.matchAll(FIELD)].every(([, field]) => Object.hasOwn(params, field as string)))
    ?.replace(FIELD, given);
}
