"""Which transports are tried, and what is remembered of a network."""

import pytest

from chappe.client import route as module
from chappe.client.options import Settings
from chappe.client.route import Memory, Route, Step

SETTINGS = Settings(url="wss://hub.example/ws", transports=("websocket", "sse", "polling"))


def names(steps: tuple[Step, ...]) -> list[str]:
    return [step.transport for step in steps]


def test_all_are_tried_best_first_and_the_last_has_all_the_time() -> None:
    steps = Route(SETTINGS, Memory()).steps()
    assert [(step.transport, step.timeout_s) for step in steps] == [("websocket", 5), ("sse", 5), ("polling", 10)]


def test_what_got_through_is_tried_first_by_every_client_of_the_process() -> None:
    memory = Memory()
    Route(SETTINGS, memory).carried("sse")
    assert names(Route(SETTINGS, memory).steps()) == ["sse", "polling"]
    assert (
        names(Route(Settings(url="wss://other/ws", transports=SETTINGS.transports), memory).steps())[0] == "websocket"
    )


def test_another_network_is_another_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    route = Route(SETTINGS, memory)
    monkeypatch.setattr(module, "local_addresses", lambda: ("10.0.0.1",))
    route.carried("polling")
    monkeypatch.setattr(module, "local_addresses", lambda: ("192.168.1.1",))
    assert names(route.steps()) == ["websocket", "sse", "polling"]
    route.carried("sse")
    monkeypatch.setattr(module, "gateways", lambda: ("02:fc:00:00:00:02",))
    assert names(route.steps()) == ["websocket", "sse", "polling"]


def test_after_ten_minutes_or_when_it_fails_the_best_has_its_chance_again() -> None:
    memory = Memory()
    memory.remember(("a",), "polling", now=0.0)
    assert (memory.recall(("a",), now=599.0), memory.recall(("a",), now=600.0)) == ("polling", None)
    route = Route(SETTINGS, memory)
    route.carried("polling")
    route.blocked()
    assert names(route.steps())[0] == "websocket"


def test_the_networks_remembered_are_bounded() -> None:
    memory = Memory()
    for number in range(1_000):
        memory.remember((str(number),), "sse", now=0.0)
    assert memory.recall(("0",), now=1.0) is None
    assert memory.recall(("999",), now=1.0) == "sse"


def test_better_ones_are_those_before() -> None:
    route = Route(SETTINGS, Memory())
    assert names(route.better_than("polling")) == ["websocket", "sse"]
    assert route.better_than("websocket") == ()
