"""How a message that comes round is known."""

import pytest

from chappe.bridges.mqtt import marks
from chappe.bridges.mqtt.marks import ECHO_S, Echoes, has_passed, mark_of, passing


def test_a_way_is_written_into_the_headers_and_read_from_them() -> None:
    one, other = mark_of("one"), mark_of("other")
    assert one != other
    headers = passing(other, passing(one, {"unit": "C"}))
    assert headers == {"unit": "C", "chappe-bridge": f"{one},{other}"}
    assert has_passed(one, headers)
    assert has_passed(other, headers)
    assert not has_passed(mark_of("third"), headers)
    assert not has_passed(one, None)


def test_an_echo_is_recognized_as_often_as_it_was_sent_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    echoes = Echoes()
    echoes.remember("a", b"1", 0.0)
    echoes.remember("a", b"1", 1.0)
    assert [echoes.recognize("a", b"1", 2.0) for _ in range(3)] == [True, True, False]
    assert not echoes.recognize("b", b"1", 2.0)
    echoes.remember("a", b"1", 3.0)
    assert not echoes.recognize("a", b"1", 3.0 + ECHO_S)
    assert (len(echoes), echoes.forgotten) == (0, 1)
    monkeypatch.setattr(marks, "REMEMBERED", 2)
    for number in range(3):
        echoes.remember("a", b"%d" % number, 100.0)
    assert (len(echoes), echoes.forgotten) == (2, 2)
    assert not echoes.recognize("a", b"0", 100.0)
