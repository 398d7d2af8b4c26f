"""Topic names, topic filters and shared subscriptions: the examples of MQTT 5, 4.7 and 4.8.2, and what is none."""

import pytest

from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode
from chappe.protocols.mqtt.topics import check_filter, check_topic, split_shared


@pytest.mark.parametrize(
    "topic", ["a", "/", "//", " ", "/finance", "Accounts payable", "$SYS/x", "a/b/c/", "é", "\x01"]
)
def test_mqtt_4_7_3_1_a_topic_name_has_a_character_or_more(topic: str) -> None:
    check_topic(topic)


@pytest.mark.parametrize("topic", ["", "#", "+", "a/#", "a/+/b", "a+", "#a"])
def test_mqtt_3_3_2_2_a_topic_name_has_no_wildcard(topic: str) -> None:
    with pytest.raises(MqttError) as caught:
        check_topic(topic)
    assert caught.value.reason_code == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize(
    "name",
    ["a", "#", "+", "/", "/#", "+/+", "/+", "+/", "+/tennis/#", "sport/+/player1", "a//#", "$SYS/#", "$share/g/#"],
)
def test_mqtt_4_7_1_1_wildcards_stand_alone_in_their_level(name: str) -> None:
    check_filter(name)


@pytest.mark.parametrize(
    "name", ["", "a#", "#/a", "a/#/b", "##", "#+", "a+", "+a", "++", "a/+b", "sport/tennis#", "a/##"]
)
def test_mqtt_4_7_1_2_any_other_use_of_wildcards_is_malformed(name: str) -> None:
    with pytest.raises(MqttError) as caught:
        check_filter(name)
    assert caught.value.reason_code == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b", (None, "a/b")),
        ("$share", (None, "$share")),
        ("$shared/g/a", (None, "$shared/g/a")),
        ("$share/consumer1/sport/tennis/+", ("consumer1", "sport/tennis/+")),
        ("$share/consumer1//finance", ("consumer1", "/finance")),
        ("$share/g/#", ("g", "#")),
        ("$share/$g/$SYS/x", ("$g", "$SYS/x")),
    ],
)
def test_mqtt_4_8_2_1_a_shared_subscription_is_taken_apart(name: str, parts: tuple[str | None, str]) -> None:
    assert split_shared(name) == parts


@pytest.mark.parametrize("name", ["$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/a#/a"])
def test_mqtt_4_8_2_2_a_shared_subscription_has_a_name_and_a_filter(name: str) -> None:
    with pytest.raises(MqttError) as caught:
        split_shared(name)
    assert caught.value.reason_code == ReasonCode.MALFORMED_PACKET
