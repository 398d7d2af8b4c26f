"""Wills (MQTT 5, 3.1.2.5, 3.1.3.2): when they are said, when not, and with what."""

from typing import Any

import pytest

from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Disconnect, Publish, Version, Will, WillProperties
from tests.conformance.mqtt.peer import BOTH, V5, alone

EACH = pytest.mark.parametrize("version", BOTH)


def a_will(payload: bytes = b"gone", retain: bool = False, **properties: Any) -> Will:
    return Will("will", payload, 1, retain, WillProperties(**properties))


@EACH
@pytest.mark.parametrize("end", ["cut", "malformed", "takeover"])
async def test_a_will_is_said_when_a_client_goes_without_goodbye(end: str, version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("will", qos=2)
        peer = await stage.connect(version, "w", will=a_will())
        if end == "cut":
            await peer.drop()
        elif end == "malformed":
            peer.send_bytes(b"\xff\xff")
        else:
            await stage.connect(version, "w")
        message = await watcher.expect(Publish)
        assert (message.payload, message.qos, message.retain) == (b"gone", 1, False)


@EACH
async def test_a_will_is_not_said_after_a_goodbye(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("will")
        peer = await stage.connect(version, "w", will=a_will())
        await peer.leave()
        assert await watcher.messages() == []
        again = await stage.connect(version, "w")
        await again.drop()
        other = await stage.connect(version, "x", will=a_will(b"another"))
        await other.drop()
        assert (await watcher.expect(Publish)).payload == b"another"


async def test_a_will_is_said_if_the_goodbye_asks_for_it() -> None:
    async with alone(V5) as (stage, watcher):
        await watcher.subscribe("will")
        peer = await stage.connect(V5, "w", will=a_will())
        peer.send(Disconnect(4))
        assert (await watcher.expect(Publish)).payload == b"gone"


@EACH
async def test_without_a_will_none_is_said(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("#")
        for client_id in ("a", "b"):
            peer = await stage.connect(version, client_id, will=a_will() if client_id == "b" else None)
            await peer.drop()
        assert (await watcher.expect(Publish)).payload == b"gone"
        assert await watcher.messages() == []


@EACH
async def test_a_will_is_said_once(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("will")
        expiry = {"session_expiry_s": 60} if version is V5 else {}
        peer = await stage.connect(version, "w", clean_start=False, will=a_will(), **expiry)
        await peer.drop()
        assert (await watcher.expect(Publish)).payload == b"gone"
        again = await stage.connect(version, "w", clean_start=False, **expiry)
        await again.drop()
        last = await stage.connect(version, "last", will=a_will(b"last"))
        await last.drop()
        assert (await watcher.expect(Publish)).payload == b"last"


@EACH
@pytest.mark.parametrize("retain", [False, True])
async def test_a_will_is_retained_if_it_says_so(retain: bool, version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("will")
        peer = await stage.connect(version, "w", will=a_will(retain=retain))
        await peer.drop()
        await watcher.expect(Publish)
        late = await stage.connect(version, "late")
        await late.subscribe("will")
        assert [each.payload for each in await late.messages()] == ([b"gone"] if retain else [])


async def test_a_will_carries_its_properties_in_their_order() -> None:
    async with alone(V5) as (stage, watcher):
        await watcher.subscribe("will")
        pairs = (("b", "1"), ("a", "2"), ("b", "3"))
        said: dict[str, Any] = {"content_type": "text/plain", "response_topic": "re/ply", "correlation_data": b"\0\xff"}
        peer = await stage.connect(V5, "w", will=a_will(payload_format=1, user_properties=pairs, **said))
        await peer.drop()
        properties = (await watcher.expect(Publish)).properties
        assert properties.user_properties == pairs
        assert {name: getattr(properties, name) for name in said} == said
        assert properties.payload_format == 1


async def test_a_connection_within_the_delay_cancels_the_will() -> None:
    async with alone(V5) as (stage, watcher):
        await watcher.subscribe("will")
        first = await stage.connect(V5, "w", session_expiry_s=600, will=a_will(b"never", will_delay_s=1))
        await first.drop()
        second = await stage.connect(
            V5, "w", clean_start=False, session_expiry_s=600, will=a_will(b"second", will_delay_s=2)
        )
        assert second.connack.session_present
        await second.drop()
        assert (await watcher.expect(Publish)).payload == b"second"


@pytest.mark.slow
async def test_a_will_waits_for_its_delay_or_the_end_of_its_session() -> None:
    async with alone(V5) as (stage, watcher):
        await watcher.subscribe("will")
        # The later one is said first: its session ends with its connection.
        delayed = await stage.connect(V5, "delayed", session_expiry_s=600, will=a_will(b"delayed", will_delay_s=1))
        await delayed.drop()
        ended = await stage.connect(V5, "ended", will=a_will(b"ended", will_delay_s=600))
        await ended.drop()
        assert [(await watcher.expect(Publish)).payload for _ in range(2)] == [b"ended", b"delayed"]


async def test_a_goodbye_may_end_the_session_and_with_it_the_delay() -> None:
    async with alone(V5) as (stage, watcher):
        await watcher.subscribe("will")
        peer = await stage.connect(V5, "w", session_expiry_s=600, will=a_will(will_delay_s=600))
        peer.send(Disconnect(4, packets.DisconnectProperties(session_expiry_s=0)))
        assert (await watcher.expect(Publish)).payload == b"gone"


async def test_a_session_that_ends_with_its_connection_cannot_be_kept_by_a_goodbye() -> None:
    async with alone(V5) as (stage, watcher):
        await watcher.subscribe("will")
        peer = await stage.connect(V5, "w", will=a_will())
        peer.send(Disconnect(0, packets.DisconnectProperties(session_expiry_s=60)))
        assert [each.reason_code for each in await peer.rest() if isinstance(each, Disconnect)] == [0x82]
        assert (await watcher.expect(Publish)).payload == b"gone"
