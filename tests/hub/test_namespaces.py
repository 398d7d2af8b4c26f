"""The first segment of a channel selects its options."""

from __future__ import annotations

import pytest

from chappe.hub.namespaces import Access, Level, Namespace, Namespaces
from chappe.model.errors import ConfigurationError

CHAT = Namespace(name="chat")


@pytest.mark.parametrize("channel", ["chat", "chat/", "chat/lobby", "chat/a/b", "chat/+", "chat/#"])
def test_the_first_segment_selects_the_namespace(channel: str) -> None:
    assert Namespaces([CHAT]).of(channel) is CHAT


@pytest.mark.parametrize("channel", ["chats/a", "/chat", "a/chat", "default/a", "#", "$user/a"])
def test_everything_else_is_the_defaults(channel: str) -> None:
    namespaces = Namespaces([CHAT])
    assert namespaces.of(channel) is namespaces.default
    assert {namespace.name for namespace in namespaces} == {"chat", "default"}


def test_a_default_that_nobody_defined_is_closed() -> None:
    default = Namespaces().default
    assert (default.subscribe, default.publish) == (Access.NOBODY, Access.NOBODY)


def test_a_default_of_ones_own_is_taken() -> None:
    own = Namespace(name="default", presence=True)
    assert Namespaces([own]).default is own


@pytest.mark.parametrize("names", [["a", "a"], ["a/b"]])
def test_names_that_cannot_be_are_refused(names: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="namespace 'a"):
        Namespaces([Namespace(name=name) for name in names])


@pytest.mark.parametrize(
    ("options", "keeps"),
    [
        ({"level": Level.RECOVERABLE, "history_count": 1}, True),
        ({"level": Level.DURABLE, "history_count": 1}, True),
        ({"level": Level.LIVE, "history_count": 1}, False),
        ({"level": Level.RECOVERABLE, "history_count": 0}, False),
        ({"level": Level.RECOVERABLE, "history_count": 1, "ephemeral": True}, False),
    ],
)
def test_history_is_kept_where_it_is_promised_and_counted(options: dict[str, object], keeps: bool) -> None:
    assert Namespace(name="a", **options).keeps_history is keeps  # type: ignore[arg-type]
