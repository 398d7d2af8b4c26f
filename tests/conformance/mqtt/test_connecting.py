"""CONNECT, CONNACK and the end of a connection (MQTT 5, 3.1, 3.2, 3.14, 4.13), played out with packets."""

import asyncio

import pytest

from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import Connack, Connect, Disconnect, Pingreq, Pingresp, Publish, Version
from tests.conformance.mqtt.peer import BOTH, V3, V5, alone, serving

EACH = pytest.mark.parametrize("version", BOTH)


@EACH
async def test_connect_is_answered_by_one_connack_that_comes_first(version: Version) -> None:
    async with alone(version) as (_, peer):
        assert (peer.connack.reason_code, peer.connack.session_present) == (0, False)
        assert await peer.sync() == []


@EACH
async def test_a_ping_is_answered(version: Version) -> None:
    async with alone(version) as (_, peer):
        peer.send(Pingreq())
        assert isinstance(await peer.next(), Pingresp)


async def test_a_first_packet_other_than_connect_ends_the_connection_without_a_word() -> None:
    async with serving() as stage:
        for packet in (Pingreq(), Publish("a", b""), Disconnect()):
            peer = await stage.open()
            peer.send(packet)
            assert await peer.rest() == []


@EACH
async def test_a_second_connect_ends_the_connection(version: Version) -> None:
    async with alone(version) as (_, peer):
        peer.send(Connect("alone", version))
        last = await peer.rest()
        assert (
            last == []
            if version is V3
            else [each.reason_code for each in last if isinstance(each, Disconnect)] == [0x82]
        )


async def test_another_protocol_ends_the_connection_without_a_word() -> None:
    async with serving() as stage:
        peer = await stage.open()
        peer.send_bytes(encode(Connect("x"), V5).replace(b"MQTT", b"MQTX"))
        assert await peer.rest() == []


@pytest.mark.parametrize(("level", "version"), [(3, V3), (9, V5)])
async def test_another_level_is_refused(level: int, version: Version) -> None:
    async with serving() as stage:
        peer = await stage.open(version)
        peer.send_bytes(encode(Connect("x"), V5).replace(b"MQTT\5", b"MQTT" + bytes((level,))))
        [connack] = await peer.rest()
        assert isinstance(connack, Connack)
        assert connack.reason_code == 0x84


@EACH
async def test_a_malformed_connect_ends_the_connection_with_connack_in_5_only(version: Version) -> None:
    async with serving() as stage:
        peer = await stage.open(version)
        data = bytearray(encode(Connect("x", version), version))
        data[9] |= 1
        peer.send_bytes(bytes(data))
        said = await peer.rest()
        assert [each.reason_code for each in said if isinstance(each, Connack)] == ([] if version is V3 else [0x81])
        assert len(said) == (version is V5)


@EACH
async def test_client_ids_of_letters_and_digits_are_taken(version: Version) -> None:
    async with serving() as stage:
        for client_id in ("0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ", "é" * 40):
            peer = await stage.connect(version, client_id)
            assert peer.connack.reason_code == 0
            await peer.leave()


async def test_an_empty_client_id_gets_one_that_nobody_has() -> None:
    async with serving() as stage:
        peers = [await stage.connect(V5, "", clean_start=False) for _ in range(3)]
        ids = {peer.connack.properties.assigned_client_id for peer in peers}
        assert None not in ids
        assert len(ids) == 3
        again = await stage.connect(V5, str(peers[0].connack.properties.assigned_client_id))
        assert [each.reason_code for each in await peers[0].rest() if isinstance(each, Disconnect)] == [0x8E]
        assert await again.sync() == []


async def test_an_empty_client_id_is_served_in_3_1_1_if_no_session_is_kept() -> None:
    async with serving() as stage:
        one, other = [await stage.connect(V3, "") for _ in range(2)]
        assert await one.sync() == await other.sync() == []
        refused = await stage.open(V3)
        refused.send_bytes(encode(Connect("", V3, clean_start=False), V3))
        assert await refused.rest() == [Connack(0x85)]


@EACH
async def test_a_client_id_that_is_refused_ends_the_connection(version: Version) -> None:
    async with serving() as stage:
        peer = await stage.connect(version, "x" * 1_000)
        assert peer.connack.reason_code == 0x85
        assert await peer.rest() == []


@EACH
async def test_a_user_that_is_refused_is_told_and_cut(version: Version) -> None:
    async with serving() as stage:
        peer = await stage.connect(version, "x", user_name="ada", password=b"no such token")
        assert peer.connack.reason_code in (0x86, 0x87)
        assert not peer.connack.session_present
        assert await peer.rest() == []


@EACH
async def test_what_comes_behind_a_refused_connect_is_not_carried_out(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("#")
        peer = await stage.open(version)
        peer.send(Connect("x" * 1_000, version), Publish("a", b"never"))
        assert [type(each) for each in await peer.rest()] == [Connack]
        assert await watcher.messages() == []


@EACH
async def test_what_comes_with_connect_is_carried_out_behind_it(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("#")
        peer = await stage.open(version)
        peer.send(Connect("eager", version), Publish("a", b"now"), Pingreq())
        assert [type(await peer.next()) for _ in range(2)] == [Connack, Pingresp]
        assert [each.payload for each in await watcher.messages()] == [b"now"]


@EACH
async def test_a_clean_start_has_no_session_and_forgets_the_one_there_was(version: Version) -> None:
    async with alone(version) as (stage, other):
        expiry = {"session_expiry_s": 60} if version is V5 else {}
        first = await stage.connect(version, "c", clean_start=False, **expiry)
        await first.subscribe("a", qos=1)
        await first.leave()
        clean = await stage.connect(version, "c", clean_start=True, **expiry)
        assert not clean.connack.session_present
        await other.publish("a", qos=1)
        assert await clean.sync() == []


@EACH
async def test_a_session_goes_on_by_its_client_id(version: Version) -> None:
    async with alone(version) as (stage, other):
        expiry = {"session_expiry_s": 60} if version is V5 else {}
        first = await stage.connect(version, "c", clean_start=False, **expiry)
        assert not first.connack.session_present
        await first.subscribe("a", qos=1)
        await first.leave()
        stranger = await stage.connect(version, "d", clean_start=False, **expiry)
        assert not stranger.connack.session_present
        second = await stage.connect(version, "c", clean_start=False, **expiry)
        assert second.connack.session_present
        await other.publish("a", b"live", qos=1)
        assert [each.payload for each in await second.messages()] == [b"live"]
        assert await stranger.sync() == []


async def test_a_clean_session_of_3_1_1_ends_with_its_connection() -> None:
    async with alone(V3) as (stage, other):
        clean = await stage.connect(V3, "c")
        await clean.subscribe("a", qos=1)
        await clean.leave()
        await other.publish("a", qos=1)
        again = await stage.connect(V3, "c", clean_start=False)
        assert not again.connack.session_present
        assert await again.sync() == []


@pytest.mark.slow
async def test_a_session_ends_when_its_expiry_has_passed() -> None:
    async with alone(V5) as (stage, watcher):
        await watcher.subscribe("ended")
        # A will with a long delay is said when the session ends: that tells when.
        properties = packets.WillProperties(will_delay_s=600)
        will = packets.Will("ended", b"brief", properties=properties)
        brief = await stage.connect(V5, "brief", clean_start=False, session_expiry_s=1, will=will)
        long = await stage.connect(V5, "long", clean_start=False, session_expiry_s=600)
        none = await stage.connect(V5, "none", clean_start=False)
        for peer in (brief, long, none):
            await peer.subscribe("a", qos=1)
            await peer.drop()
        assert (await watcher.expect(Publish)).payload == b"brief"
        present = {name: await stage.connect(V5, name, clean_start=False) for name in ("brief", "long", "none")}
        assert {name: peer.connack.session_present for name, peer in present.items()} == {
            "brief": False,
            "long": True,
            "none": False,
        }


@EACH
async def test_a_session_lasts_as_long_as_its_connection(version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await stage.connect(version, "c")
        await peer.subscribe("a", qos=1)
        for number in range(3):
            await other.publish("a", b"%d" % number, qos=1)
        assert [each.payload for each in await peer.messages()] == [b"0", b"1", b"2"]


@EACH
async def test_a_second_connection_of_a_client_id_takes_over(version: Version) -> None:
    async with serving() as stage:
        first = await stage.connect(version, "c")
        second = await stage.connect(version, "c")
        assert [each.reason_code for each in await first.rest() if isinstance(each, Disconnect)] == (
            [] if version is V3 else [0x8E]
        )
        assert await second.sync() == []


@pytest.mark.slow
@EACH
async def test_silence_of_one_and_a_half_keep_alives_ends_the_connection(version: Version) -> None:
    async with serving() as stage:
        clock = asyncio.get_running_loop()
        peer = await stage.connect(version, "c", keep_alive_s=1)
        assert peer.connack.properties.server_keep_alive_s is None
        began = clock.time()
        said = await peer.rest()
        # As if the network had failed; 5 has a word for it.
        assert [each.reason_code for each in said if isinstance(each, Disconnect)] == ([] if version is V3 else [0x8D])
        assert clock.time() - began > 1.4


async def test_a_keep_alive_that_is_too_long_is_cut_in_5() -> None:
    async with serving(keep_alive_max_s=60) as stage:
        long = await stage.connect(V5, "long", keep_alive_s=120)
        assert long.connack.properties.server_keep_alive_s == 60
        short = await stage.connect(V5, "short", keep_alive_s=59)
        assert short.connack.properties.server_keep_alive_s is None


async def test_no_response_information_is_told_unless_it_was_asked_for() -> None:
    async with alone(V5) as (_, peer):
        assert peer.connack.properties.response_information is None


async def test_an_unknown_authentication_method_is_refused() -> None:
    async with serving() as stage:
        peer = await stage.connect(V5, "c", authentication_method="no such method", authentication_data=b"x")
        assert peer.connack.reason_code == 0x8C
        assert await peer.rest() == []


async def test_without_a_method_no_auth_is_sent_and_none_is_taken() -> None:
    async with alone(V5) as (_, peer):
        assert peer.connack.properties.authentication_method is None
        peer.send(packets.Auth(0x19, packets.AuthProperties("m")))
        assert [each.reason_code for each in await peer.rest() if isinstance(each, Disconnect)] == [0x82]


@EACH
@pytest.mark.parametrize("data", ["c1ff", "3600", "82020001", "3003000123", "ffff", "30ffffffff7f"])
async def test_a_malformed_packet_or_protocol_error_ends_this_connection_only(data: str, version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await stage.connect(version, "wrong")
        peer.send_bytes(bytes.fromhex(data) + encode(Pingreq(), version))
        said = await peer.rest()
        assert all(isinstance(each, Disconnect) and each.reason_code in (0x81, 0x82) for each in said)
        assert len(said) == (version is V5)
        assert await other.sync() == []


@EACH
async def test_a_packet_above_the_limit_ends_the_connection(version: Version) -> None:
    async with alone(version) as (stage, _):
        peer = await stage.connect(version, "large")
        limit = peer.connack.properties.maximum_packet_bytes or stage.server.hub.mqtt.max_packet_bytes
        assert limit == stage.server.hub.mqtt.max_packet_bytes
        peer.send_bytes(b"\x30\xff\xff\xff\x7f")
        said = await peer.rest()
        assert [each.reason_code for each in said if isinstance(each, Disconnect)] == ([] if version is V3 else [0x95])


async def test_nothing_comes_behind_a_disconnect_of_the_hub() -> None:
    async with serving() as stage:
        first = await stage.connect(V5, "c")
        await first.subscribe("#")
        second = await stage.connect(V5, "c")
        await second.publish("a")
        said = await first.rest()
        assert isinstance(said[-1], Disconnect)
        assert sum(isinstance(each, Disconnect) for each in said) == 1
