"""Numbers, names and texts of every error, unsubscribe and close code.

Generated from spec/errors.toml by tools/generate_errors.py: do not edit.
"""

from enum import IntEnum
from string import Formatter
from typing import NamedTuple


class Code(IntEnum):
    """Names of the codes; the range of a number tells a client whether to try again."""

    INTERNAL_ERROR = 100
    UNAUTHORIZED = 101
    UNKNOWN_CHANNEL = 102
    PERMISSION_DENIED = 103
    UNKNOWN_COMMAND = 104
    ALREADY_SUBSCRIBED = 105
    LIMIT_EXCEEDED = 106
    BAD_REQUEST = 107
    NOT_AVAILABLE = 108
    TOKEN_EXPIRED = 109
    TOO_MANY_REQUESTS = 111
    UNRECOVERABLE_POSITION = 112
    MESSAGE_TOO_LARGE = 113
    CONFLICT = 114
    NAME_IN_USE = 115
    NOT_LOGGED_IN = 116
    UNKNOWN_SESSION = 117
    LOCKED_BY_ANOTHER = 118
    UNKNOWN_SERVICE = 120
    SERVICE_NOT_AVAILABLE = 121
    BAD_SERVICE_REQUEST = 122
    SERVICE_TIMED_OUT = 123
    UNSUBSCRIBED = 2000
    UNSUBSCRIBED_PERMISSION_WITHDRAWN = 2001
    UNSUBSCRIBED_INSUFFICIENT_STATE = 2500
    UNSUBSCRIBED_EXPIRED = 2501
    SHUTDOWN = 3001
    EXPIRED = 3005
    SLOW_CONSUMER = 3008
    INSUFFICIENT_STATE = 3010
    NO_PONG = 3012
    INVALID_TOKEN = 3500
    BAD_REQUEST_CLOSE = 3501
    STALE = 3502
    DISCONNECTED = 3503
    CONNECTION_LIMIT = 3504
    NAME_IN_USE_CLOSE = 4509


class ErrorInfo(NamedTuple):
    """What the table knows about one code."""

    code: int
    name: str
    text_en: str
    text_fr: str
    retry: bool
    """May the same request (for close codes: a new connection) succeed later?"""
    http_status: int | None
    """Status of the HTTP API or of a refused upgrade; None where the code never becomes an HTTP answer."""
    texts_en: tuple[str, ...] = ()
    """Texts with {parameters}, best first; `text_en` is the one without."""
    texts_fr: tuple[str, ...] = ()


ERRORS: dict[int, ErrorInfo] = {
    100: ErrorInfo(
        code=100,
        name="INTERNAL_ERROR",
        text_en="internal error",
        text_fr="Erreur interne",
        retry=True,
        http_status=500,
    ),
    101: ErrorInfo(
        code=101,
        name="UNAUTHORIZED",
        text_en="unauthorized",
        text_fr="Authentification requise",
        retry=False,
        http_status=401,
        texts_en=("unauthorized: {problem}",),
        texts_fr=("Authentification refusée\u00a0: {problem}",),
    ),
    102: ErrorInfo(
        code=102,
        name="UNKNOWN_CHANNEL",
        text_en="unknown channel",
        text_fr="Canal inconnu",
        retry=False,
        http_status=404,
        texts_en=("unknown channel {channel}",),
        texts_fr=("Canal inconnu\u00a0: {channel}",),
    ),
    103: ErrorInfo(
        code=103,
        name="PERMISSION_DENIED",
        text_en="permission denied",
        text_fr="Permission refusée",
        retry=False,
        http_status=403,
    ),
    104: ErrorInfo(
        code=104,
        name="UNKNOWN_COMMAND",
        text_en="unknown command",
        text_fr="Commande inconnue",
        retry=False,
        http_status=400,
        texts_en=("unknown command {type}",),
        texts_fr=("Commande inconnue\u00a0: {type}",),
    ),
    105: ErrorInfo(
        code=105,
        name="ALREADY_SUBSCRIBED",
        text_en="already subscribed",
        text_fr="Déjà abonné",
        retry=False,
        http_status=409,
        texts_en=("already subscribed to {channel}",),
        texts_fr=("Déjà abonné à {channel}",),
    ),
    106: ErrorInfo(
        code=106,
        name="LIMIT_EXCEEDED",
        text_en="limit exceeded",
        text_fr="Limite dépassée",
        retry=False,
        http_status=422,
        texts_en=(
            "limit exceeded: {limit} is {maximum}",
            "limit exceeded: {limit}",
        ),
        texts_fr=(
            "Limite dépassée\u00a0: {limit} vaut {maximum}",
            "Limite dépassée\u00a0: {limit}",
        ),
    ),
    107: ErrorInfo(
        code=107,
        name="BAD_REQUEST",
        text_en="bad request",
        text_fr="Requête invalide",
        retry=False,
        http_status=400,
        texts_en=(
            "bad request: field {field} is {actual}, expected {expected}",
            "bad request: field {field}: {problem}",
            "bad request: field {field} is missing or invalid",
            "bad request: {problem}",
        ),
        texts_fr=(
            "Requête invalide\u00a0: le champ {field} est {actual}, attendu {expected}",
            "Requête invalide\u00a0: champ {field}\u00a0: {problem}",
            "Requête invalide\u00a0: le champ {field} manque ou n'est pas valide",
            "Requête invalide\u00a0: {problem}",
        ),
    ),
    108: ErrorInfo(
        code=108,
        name="NOT_AVAILABLE",
        text_en="not available",
        text_fr="Non disponible",
        retry=True,
        http_status=503,
        texts_en=("not available: {feature}",),
        texts_fr=("Non disponible\u00a0: {feature}",),
    ),
    109: ErrorInfo(
        code=109,
        name="TOKEN_EXPIRED",
        text_en="token expired",
        text_fr="Jeton expiré",
        retry=False,
        http_status=401,
    ),
    111: ErrorInfo(
        code=111,
        name="TOO_MANY_REQUESTS",
        text_en="too many requests",
        text_fr="Trop de requêtes",
        retry=True,
        http_status=429,
    ),
    112: ErrorInfo(
        code=112,
        name="UNRECOVERABLE_POSITION",
        text_en="unrecoverable position",
        text_fr="Position irrécupérable",
        retry=False,
        http_status=410,
    ),
    113: ErrorInfo(
        code=113,
        name="MESSAGE_TOO_LARGE",
        text_en="message too large",
        text_fr="Message trop volumineux",
        retry=False,
        http_status=413,
    ),
    114: ErrorInfo(
        code=114,
        name="CONFLICT",
        text_en="conflict",
        text_fr="Conflit",
        retry=False,
        http_status=409,
        texts_en=("conflict: the channel is at offset {actual}, expected {expected}",),
        texts_fr=("Conflit\u00a0: le canal en est à la position {actual}, attendu {expected}",),
    ),
    115: ErrorInfo(
        code=115,
        name="NAME_IN_USE",
        text_en="name in use",
        text_fr="Ce nom d'utilisateur est déjà utilisé",
        retry=False,
        http_status=409,
    ),
    116: ErrorInfo(
        code=116,
        name="NOT_LOGGED_IN",
        text_en="not logged in",
        text_fr="Vous n'êtes pas connecté",
        retry=False,
        http_status=401,
    ),
    117: ErrorInfo(
        code=117,
        name="UNKNOWN_SESSION",
        text_en="unknown session",
        text_fr="Session inconnue",
        retry=False,
        http_status=404,
    ),
    118: ErrorInfo(
        code=118,
        name="LOCKED_BY_ANOTHER",
        text_en="locked by another",
        text_fr="Verrouillé par un autre",
        retry=True,
        http_status=423,
        texts_en=("locked by {owner}",),
        texts_fr=("Verrouillé par {owner}",),
    ),
    120: ErrorInfo(
        code=120,
        name="UNKNOWN_SERVICE",
        text_en="unknown service",
        text_fr="Service inconnu",
        retry=False,
        http_status=404,
        texts_en=("unknown service: {name}",),
        texts_fr=("Service inconnu: {name}",),
    ),
    121: ErrorInfo(
        code=121,
        name="SERVICE_NOT_AVAILABLE",
        text_en="service not available",
        text_fr="Service non disponible",
        retry=True,
        http_status=503,
    ),
    122: ErrorInfo(
        code=122,
        name="BAD_SERVICE_REQUEST",
        text_en="bad service request",
        text_fr="Format de requête invalide",
        retry=False,
        http_status=400,
    ),
    123: ErrorInfo(
        code=123,
        name="SERVICE_TIMED_OUT",
        text_en="service timed out",
        text_fr="Le service n'a pas répondu à temps",
        retry=True,
        http_status=504,
    ),
    2000: ErrorInfo(
        code=2000,
        name="UNSUBSCRIBED",
        text_en="unsubscribed by the server",
        text_fr="Désabonné par le serveur",
        retry=False,
        http_status=None,
    ),
    2001: ErrorInfo(
        code=2001,
        name="UNSUBSCRIBED_PERMISSION_WITHDRAWN",
        text_en="permission withdrawn",
        text_fr="Permission retirée",
        retry=False,
        http_status=None,
    ),
    2500: ErrorInfo(
        code=2500,
        name="UNSUBSCRIBED_INSUFFICIENT_STATE",
        text_en="insufficient state, subscribe again",
        text_fr="État insuffisant, abonnez-vous de nouveau",
        retry=True,
        http_status=None,
    ),
    2501: ErrorInfo(
        code=2501,
        name="UNSUBSCRIBED_EXPIRED",
        text_en="subscription expired, subscribe again",
        text_fr="Abonnement expiré, abonnez-vous de nouveau",
        retry=True,
        http_status=None,
    ),
    3001: ErrorInfo(
        code=3001,
        name="SHUTDOWN",
        text_en="the hub is shutting down",
        text_fr="Le serveur s'arrête",
        retry=True,
        http_status=503,
    ),
    3005: ErrorInfo(
        code=3005,
        name="EXPIRED",
        text_en="connection expired",
        text_fr="Connexion expirée",
        retry=True,
        http_status=401,
    ),
    3008: ErrorInfo(
        code=3008,
        name="SLOW_CONSUMER",
        text_en="slow consumer",
        text_fr="Lecture trop lente",
        retry=True,
        http_status=None,
    ),
    3010: ErrorInfo(
        code=3010,
        name="INSUFFICIENT_STATE",
        text_en="insufficient state",
        text_fr="État insuffisant",
        retry=True,
        http_status=None,
    ),
    3012: ErrorInfo(
        code=3012,
        name="NO_PONG",
        text_en="no pong",
        text_fr="Pas de réponse du client",
        retry=True,
        http_status=None,
    ),
    3500: ErrorInfo(
        code=3500,
        name="INVALID_TOKEN",
        text_en="invalid token",
        text_fr="Jeton invalide",
        retry=False,
        http_status=401,
    ),
    3501: ErrorInfo(
        code=3501,
        name="BAD_REQUEST_CLOSE",
        text_en="bad request",
        text_fr="Requête invalide",
        retry=False,
        http_status=400,
    ),
    3502: ErrorInfo(
        code=3502,
        name="STALE",
        text_en="stale connection",
        text_fr="Connexion périmée",
        retry=False,
        http_status=None,
    ),
    3503: ErrorInfo(
        code=3503,
        name="DISCONNECTED",
        text_en="disconnected by an operator",
        text_fr="Déconnecté par un opérateur",
        retry=False,
        http_status=403,
    ),
    3504: ErrorInfo(
        code=3504,
        name="CONNECTION_LIMIT",
        text_en="connection limit",
        text_fr="Limite de connexions atteinte",
        retry=False,
        http_status=429,
    ),
    4509: ErrorInfo(
        code=4509,
        name="NAME_IN_USE_CLOSE",
        text_en="name in use",
        text_fr="Ce nom d'utilisateur est déjà utilisé",
        retry=False,
        http_status=None,
    ),
}


def reason(code: int, language: str = "en", **params: object) -> str:
    """Word a code in a language, with the best text whose parameters are all given.

    Args:
        code: a code of this table.
        language: a language tag; those beginning with `fr` are French, all others English.
        params: values for the {parameters}; those no text asks for are ignored.
    Raises:
        KeyError: the code is not in the table (applications word their own, 1000-1999).
    """
    info = ERRORS[code]
    french = language[:2].lower() == "fr"
    if params:
        for text in info.texts_fr if french else info.texts_en:
            if all(field is None or field in params for _, field, _, _ in Formatter().parse(text)):
                return text.format_map(params)
    return info.text_fr if french else info.text_en
