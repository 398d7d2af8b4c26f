from __future__ import annotations

import pytest

from chappe.model.publication import Kind, Publication
from chappe.protocols import base
from chappe.protocols.mqtt.fanout import MessageFrame, MqttEncoder, PublicationFrame, Wording
from chappe.protocols.mqtt.packets import Publish, Version
from chappe.protocols.mqtt.reader import decode


@pytest.mark.parametrize("version", list(Version))
def test_a_plain_frame_is_a_whole_packet_of_qos_0(version: Version) -> None:
    encoder = MqttEncoder(Wording(version), lambda: 0, personal=False)
    frame = encoder.publication(Publication("a/b", b'"text"', Kind.JSON, 1, "e", 0, retained=True))
    assert isinstance(frame, PublicationFrame)
    packet = decode(frame.payload, version)
    assert isinstance(packet, Publish)
    assert (packet.topic, packet.payload, packet.qos, packet.retain) == ("a/b", b"text", 0, True)


def test_a_personal_frame_is_only_what_it_says() -> None:
    encoder = MqttEncoder(Wording(Version.V5, position=True), lambda: 0, personal=True)
    publication = Publication("a/b", b"x", Kind.TEXT, 1, "e", 0, headers={"key": "k"})
    frame = encoder.publication(publication)
    assert isinstance(frame, PublicationFrame)
    assert (frame.payload, frame.publication, frame.key, frame.channel) == (b"", publication, "k", "a/b")
    assert encoder.name == "mqtt.5.personal.position"


def test_what_is_over_is_not_encoded() -> None:
    encoder = MqttEncoder(Wording(Version.V5), lambda: 10_000, personal=False)
    assert encoder.publication(Publication("a", b"", Kind.TEXT, 1, "e", 0, headers={"mqtt-expires": "10000"})) is None


def test_there_is_no_word_for_presence() -> None:
    encoder = MqttEncoder(Wording(Version.V5), lambda: 0, personal=False)
    assert encoder.message(base.Missed("a", 1)) is None
    assert isinstance(encoder.message(base.Done(1)), MessageFrame)
