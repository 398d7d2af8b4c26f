"""Packets are values: equal, hashable, and silent about what is private in them."""

import gc

from chappe.protocols.mqtt.packets import Connect, Publish, PublishProperties, Version, Will


def test_a_packet_in_a_log_tells_no_password_and_no_payload() -> None:
    connect = Connect("ada", Version.V5, user_name="ada", password=b"secret", will=Will("w", b"secret"))
    for value in (connect, connect.will, Publish("a", b"secret")):
        assert "secret" not in repr(value)
    assert repr(connect) == "Connect(client_id='ada', V5, clean_start=True)"
    assert repr(connect.will) == "Will(topic='w', 6 bytes, qos=0, retain=False)"
    assert "topic='a', 6 bytes" in repr(Publish("a", b"secret"))


def test_equal_packets_are_one_in_a_set() -> None:
    one = Publish("a", b"x", properties=PublishProperties(user_properties=(("k", "v"),)))
    other = Publish("a", b"x", properties=PublishProperties(user_properties=(("k", "v"),)))
    assert len({one, other}) == 1


def test_the_collector_does_not_know_packets() -> None:
    assert not gc.is_tracked(Publish("a", b"x", properties=PublishProperties(topic_alias=1)))
