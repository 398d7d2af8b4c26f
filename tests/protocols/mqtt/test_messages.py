from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.publication import Kind, Publication
from chappe.protocols.mqtt.messages import (
    headers_of,
    is_expired,
    kind_of,
    properties_of,
    qos_of,
    was_retained,
)
from chappe.protocols.mqtt.packets import NO_PUBLISH_PROPERTIES, PublishProperties

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=10)
PROPERTIES = st.builds(
    PublishProperties,
    payload_format=st.sampled_from([None, 0, 1]),
    response_topic=st.sampled_from([None, "a/b"]),
    correlation_data=st.one_of(st.none(), st.binary(max_size=10)),
    user_properties=st.lists(st.tuples(TEXT, TEXT), max_size=4).map(tuple),
    content_type=st.one_of(st.none(), TEXT),
)


def publication(payload: bytes, kind: Kind, headers: object = None, **rest: object) -> Publication:
    return Publication("a", payload, kind, 1, "e", 0, headers=headers, **rest)  # type: ignore[arg-type]


@given(properties=PROPERTIES, qos=st.integers(0, 2), retain=st.booleans(), payload=st.binary(max_size=10))
def test_properties_survive_the_log(properties: PublishProperties, qos: int, retain: bool, payload: bytes) -> None:
    headers = headers_of(qos, retain, properties, 0)
    stored = publication(payload, kind_of(payload, properties), headers)
    told = properties_of(stored, 0)
    assert sorted(told.user_properties) == sorted(properties.user_properties)
    assert told == PublishProperties(
        payload_format=properties.payload_format,
        response_topic=properties.response_topic,
        correlation_data=properties.correlation_data,
        user_properties=properties.user_properties,
        content_type=properties.content_type,
    )
    assert stored.as_raw() == payload
    assert qos_of(stored, is_live=False) == qos
    assert was_retained(stored) is retain


@pytest.mark.parametrize(
    ("payload", "properties", "kind"),
    [
        (b"text", NO_PUBLISH_PROPERTIES, Kind.TEXT),
        (b"\xff", NO_PUBLISH_PROPERTIES, Kind.BINARY),
        (b"text", PublishProperties(payload_format=0), Kind.BINARY),
        (b"text", PublishProperties(payload_format=1), Kind.TEXT),
        (b"\xff", PublishProperties(payload_format=1), Kind.BINARY),
        (b"text", PublishProperties(content_type="text/csv; header=present"), Kind.TEXT),
        (b"text", PublishProperties(content_type="image/png"), Kind.BINARY),
        (b'{"a":1}', PublishProperties(content_type="application/json"), Kind.JSON),
        (b'{"a":1}', PublishProperties(content_type="application/ld+json"), Kind.JSON),
        (b"{", PublishProperties(content_type="application/json"), Kind.BINARY),
        # As a value it would leave without its quotes.
        (b' "a"', PublishProperties(content_type="application/json"), Kind.TEXT),
    ],
)
def test_what_a_payload_is(payload: bytes, properties: PublishProperties, kind: Kind) -> None:
    assert kind_of(payload, properties) is kind
    assert publication(payload, kind).as_raw() == payload


def test_a_message_lives_as_long_as_it_says() -> None:
    headers = headers_of(1, False, PublishProperties(message_expiry_s=5), 1_000)
    stored = publication(b"", Kind.TEXT, headers)
    assert not is_expired(stored, 5_999)
    assert is_expired(stored, 6_000)
    assert properties_of(stored, 3_500).message_expiry_s == 2


def test_what_was_not_published_by_mqtt_speaks_for_itself() -> None:
    assert properties_of(publication(b"[1]", Kind.JSON), 0).content_type == "application/json"
    assert properties_of(publication(b'"a"', Kind.JSON), 0) == PublishProperties(payload_format=1)
    assert properties_of(publication(b"a", Kind.BINARY), 0) is NO_PUBLISH_PROPERTIES
    assert qos_of(publication(b"", Kind.TEXT), is_live=False) == 2
    assert qos_of(publication(b"", Kind.TEXT), is_live=True) == 0


def test_a_position_goes_behind_the_other_properties() -> None:
    stored = publication(b"", Kind.TEXT, {"a": "b"})
    told = properties_of(stored, 0, position=True).user_properties
    assert told == (("a", "b"), ("chappe-offset", "1"), ("chappe-epoch", "e"))


@pytest.mark.parametrize(
    "headers",
    [
        {"mqtt-expires": "soon"},
        {"mqtt-expires": "9" * 40},
        {"mqtt-payload-format": "7"},
        {"correlation-data": "?"},
        {"mqtt-properties": "{"},
        {"mqtt-qos": "9"},
    ],
)
def test_headers_that_somebody_made_up_hurt_nobody(headers: dict[str, str]) -> None:
    stored = publication(b"", Kind.TEXT, headers)
    assert not is_expired(stored, 0)
    assert properties_of(stored, 0).payload_format in (None, 0, 1)
    assert qos_of(stored, is_live=False) in (0, 1, 2)
