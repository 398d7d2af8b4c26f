"""MQTT clients, the hub or its engine are killed under traffic of QoS 1 and 2: at least once, and once.

The offline checker judges what paho's clients wrote down. `make faults PARTS="mqtt_clients"` does the same 50 times.
"""

import pytest

from chappe.testing.checker import payload_hash
from chappe.testing.checker.findings import Kind
from chappe.testing.checker.journal import Event, History
from chappe.testing.checker.rules import check
from tests.programmes.mqtt_client import Line
from tests.programmes.mqtt_kills import PARTS, Child, attempts, kill, sights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

KILLS = 2


@pytest.mark.parametrize("part", PARTS)
async def test_kills_under_mqtt_traffic_lose_nothing_and_double_nothing_of_qos_2(part: str) -> None:
    outcome = await kill(part, KILLS)
    assert outcome.kept, "\n".join(map(str, [outcome, *outcome.verdict.findings[:10]]))
    assert outcome.verdict.acknowledged > 100


def judged(qos: int, heard: list[int], stored: list[str], *, acknowledged: bool = True) -> set[Kind]:
    """Return what the checker finds where a publisher sent `one` and `two`, by what was heard and stored."""
    child, channel = Child.__new__(Child), "kills/a"
    child.name, child.qos = "somebody", qos
    hashes = {text: payload_hash(text.encode()) for text in ("one", "two")}
    history = History(
        channel=channel,
        reader="the end",
        epoch="e",
        since=0,
        offset=len(stored),
        publications=tuple((offset, hashes[text]) for offset, text in enumerate(stored, 1)),
    )
    said = []
    for mid, text in enumerate(hashes, 1):
        said.append(Line(did="sent", mid=mid, topic=channel, text=text, hash=hashes[text], time=mid))
        if acknowledged:
            said.append(Line(did="done", mid=mid, time=mid + 0.5))
    got = [
        Line(did="got", mid=offset, topic=channel, hash=hashes[stored[offset - 1]], epoch="e", offset=offset, time=9)
        for offset in heard
    ]
    events: list[Event] = attempts(child, channel, said, history)
    events += [history, *sights(child, channel, [Line(did="subscribed", time=0.5), *got], "e")[0]]
    return {each.kind for each in check(events)}


@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_lost_is_found(qos: int) -> None:
    assert judged(qos, [1, 2], ["one", "two"]) == set()
    assert Kind.LOST in judged(qos, [1], ["one", "two"])
    # Acknowledged, and in no history either.
    assert Kind.LOST in judged(qos, [1], ["one"])
    assert judged(qos, [1], ["one"], acknowledged=False) == set()


def test_what_comes_or_is_stored_twice_is_found_with_qos_2_only() -> None:
    assert judged(1, [1, 2, 1], ["one", "two"]) == set()
    assert Kind.DOUBLED in judged(2, [1, 2, 1], ["one", "two"])
    assert Kind.KEY_STORED_TWICE in judged(2, [1, 2, 3], ["one", "two", "one"])
