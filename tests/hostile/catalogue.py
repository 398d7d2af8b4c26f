"""Every named hostile input, by table: docs/reference/hostile-inputs.md is written from it, and lessons point here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.hostile import (
    test_compression,
    test_credentials,
    test_frames,
    test_handshakes,
    test_key_sets,
    test_messages,
    test_msgpack,
    test_polls,
    test_requests,
)


@dataclass(frozen=True)
class Table:
    """Inputs of one kind.

    Attributes:
        name: by which lessons find it.
        title: in English and in French.
        answers: what each input is answered, by its name.
    """

    name: str
    title: tuple[str, str]
    answers: Mapping[str, str]


def _fixed(names: Iterable[str], answer: str) -> dict[str, str]:
    return dict.fromkeys(names, answer)


def _second(table: Mapping[str, tuple[Any, ...]]) -> dict[str, str]:
    return {name: str(case[1]) for name, case in table.items()}


TABLES: Final = (
    Table("heads", ("HTTP: the head", "HTTP : l'en-tête"), _second(test_requests.HEADS)),
    Table("paths", ("HTTP: paths and files", "HTTP : chemins et fichiers"), _second(test_requests.PATHS)),
    Table("bodies", ("HTTP: bodies of the API", "HTTP : corps de l'API"), _second(test_requests.BODIES)),
    Table("tokens", ("HTTP: credentials", "HTTP : identifiants"), _fixed(test_requests.TOKENS, "401")),
    Table(
        "signed tokens",
        ("Tokens: signed with the right key", "Jetons : signés avec la bonne clé"),
        _fixed(test_credentials.SIGNED, "401"),
    ),
    Table("tickets", ("Tickets", "Tickets"), _fixed(test_credentials.TICKETS, "401")),
    Table("cookies", ("Cookies of pages", "Cookies de pages"), _second(test_credentials.COOKIES)),
    Table(
        "key sets",
        ("Key sets: no key of use", "Jeux de clés : aucune clé utilisable"),
        _fixed(test_key_sets.WORTHLESS, "503"),
    ),
    Table(
        "other keys",
        ("Key sets: keys of somebody else", "Jeux de clés : clés d'autrui"),
        _fixed(test_key_sets.OTHERS, "401"),
    ),
    Table("proxies", ("HTTP: what a proxy says", "HTTP : ce que dit un proxy"), _second(test_requests.PROXIES)),
    Table("streams", ("Server-Sent Events", "Server-Sent Events"), _second(test_requests.STREAMS)),
    Table("polls", ("Polling and POST", "Interrogation et POST"), _fixed(test_polls.REQUESTS, "4xx, 200, 204, 307")),
    Table("handshakes", ("WebSocket: the handshake", "WebSocket : l'ouverture"), _second(test_handshakes.REFUSED)),
    Table(
        "odd handshakes",
        ("WebSocket: odd but right", "WebSocket : étrange mais juste"),
        _fixed(test_handshakes.ACCEPTED, "101"),
    ),
    Table(
        "offers",
        ("WebSocket: malformed offers", "WebSocket : offres mal formées"),
        _fixed(test_compression.MALFORMED, "400"),
    ),
    Table(
        "declined offers",
        ("WebSocket: offers passed over", "WebSocket : offres ignorées"),
        _fixed(test_compression.DECLINED, "101"),
    ),
    Table("frames", ("WebSocket: sizes", "WebSocket : tailles"), _fixed(test_frames.OVERSIZED, "1009")),
    Table(
        "inflate",
        ("WebSocket: compressed messages", "WebSocket : messages compressés"),
        _second(test_compression.HOSTILE),
    ),
    Table("commands", ("JSON: commands", "JSON : commandes"), _second(test_messages.REFUSED)),
    Table("channels", ("Names of channels", "Noms de canaux"), _fixed(test_messages.BAD_CHANNELS, "107")),
    Table("msgpack", ("MessagePack", "MessagePack"), _second(test_msgpack.HOSTILE)),
)


def count() -> int:
    """Return how many inputs have a name here; the vectors of spec/vectors come on top."""
    return sum(len(table.answers) for table in TABLES)


def find(name: str) -> Table:
    """Return a table by its name."""
    return next(table for table in TABLES if table.name == name)
