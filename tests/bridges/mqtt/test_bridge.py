"""Topics of a real mosquitto and channels of a hub: in, out and both ways, without going round."""

import pytest

from chappe.app import Hub
from chappe.bridges.listening import Listener
from chappe.model.publication import Kind, Publication
from tests.bridges.mqtt.mosquitto import bridged, ears, mosquitto, open_hub, options, say, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
QOS = pytest.mark.parametrize("qos", [0, 1, 2])


@VERSIONS
@QOS
async def test_messages_come_in_and_go_out_at_each_qos(version: str, qos: int) -> None:
    with mosquitto() as server:
        given = options(server, f"maison/salon/# in {qos}", f"maison/cuisine/lumiere out {qos}", version=version)
        async with ears(server, "maison/cuisine/#", "-q", "2") as heard, bridged(given) as (hub, bridge):
            for number in range(10):
                await say(server, "maison/salon/temperature", "-q", str(qos), text=f"2{number}.5")
                await hub.publish("maison/cuisine/lumiere", "ON" if number % 2 else "OFF")
            await until(lambda: bridge.status().counts["received"] == 10, "ten temperatures")
            await until(lambda: len(heard.lines) == 10, "ten commands")
            assert [each.as_value() for each in await hub.history("maison/salon/temperature")] == [
                20.5 + number for number in range(10)
            ]
            expected = [("maison/cuisine/lumiere", qos, False, b"ON" if number % 2 else b"OFF") for number in range(10)]
            assert heard.lines == expected
            await until(lambda: bridge.status().counts["sent"] == 10, "the confirmations")
            counts = bridge.status().counts
            assert (counts["waiting"], counts["waiting_bytes"], counts["dropped"]) == (0, 0, 0)


@VERSIONS
async def test_bytes_come_back_exactly_and_a_json_string_leaves_as_its_text(version: str) -> None:
    with mosquitto() as server:
        given = options(server, "in/# in 1", "out/# out 1", version=version)
        async with ears(server, "out/#") as heard, bridged(given) as (hub, bridge):
            raw = [b"\xff\x00\x01", b'{"t": 21.0}', "é".encode(), b'"quoted"', b" 1"]
            for payload in raw:
                await say(server, "in/a", data=payload)
                await hub.publish("out/raw", payload)
            for value in ("ON", "é", {"t": [1, None]}, 21.5, True):
                await hub.publish("out/json", value)
            await until(lambda: len(heard.lines) == 10, "all messages")
            assert heard.payloads == [*raw, b"ON", "é".encode(), b'{"t":[1,null]}', b"21.5", b"true"]
            await until(lambda: bridge.status().counts["received"] == 5, "all messages in")
            history = await hub.history("in/a")
            assert [each.as_raw() for each in history] == raw
            assert [each.kind for each in history] == [Kind.BINARY, *[Kind.TEXT] * 4]
            assert history[1].as_json() == b'{"t": 21.0}'


async def test_prefixes_and_patterns_rename_both_ways() -> None:
    with mosquitto() as server:
        given = options(server, "+/state in 1 home/ site1/", "# out 1 cmd/ site1/cmd/", 'x both 1 only/ ""')
        async with ears(server, "#") as heard, bridged(given) as (hub, bridge):
            await say(server, "site1/lamp/state", text="on")
            await say(server, "site1/lamp/other", text="not ours")
            await say(server, "x", text="exact")
            await until(lambda: bridge.status().counts["received"] == 2, "two messages")
            await hub.publish("cmd/lamp/set", "off")
            await hub.publish("only/x", "back")
            await hub.publish("elsewhere/lamp", "no")
            await until(lambda: bridge.status().counts["sent"] == 2, "two commands")
            await say(server, "end", text="end")
            await until(lambda: b"end" in heard.payloads, "all before it")
            assert [each.as_value() for each in await hub.history("home/lamp/state")] == ["on"]
            assert [each.as_value() for each in await hub.history("only/x")] == ["exact", "back"]
            assert [(line[0], line[3]) for line in heard.lines if line[3] in (b"off", b"back", b"no")] == [
                ("site1/cmd/lamp/set", b"off"),
                ("x", b"back"),
            ]


async def test_user_properties_and_headers_are_the_same() -> None:
    with mosquitto() as server:
        given = options(server, "in in 1", "out out 1")
        async with bridged(given) as (hub, bridge), bridged(options(server, "out in 1")) as (other, reader):
            await say(server, "in", "-V", "5", "-D", "publish", "user-property", "unit", "°C", text="21")
            await hub.publish("out", 21, headers={"unit": "°F"})
            await until(lambda: reader.status().counts["received"] == 1, "the message out")
            await until(lambda: bridge.status().counts["received"] == 1, "the message in")
            (found,) = await hub.history("in")
            assert dict(found.headers or {})["unit"] == "°C"
            (found,) = await other.history("out")
            assert (found.as_value(), dict(found.headers or {})["unit"]) == (21, "°F")


@VERSIONS
async def test_retained_messages_are_retained_on_the_other_side(version: str) -> None:
    with mosquitto() as server:
        await say(server, "in/before", "-r", text="kept before")
        hub = open_hub()
        await hub.start()
        await hub.publish("out/before", "kept here", retain=True)
        given = options(server, "in/# in 1", "out/# out 1", version=version)
        async with bridged(given, hub) as (_, bridge):
            await until(lambda: bridge.status().counts["received"] == 1, "what was retained")
            await hub.publish("out/plain", "passes")
            await hub.publish("out/kept", "stays", retain=True)
            await hub.publish("out/gone", "soon not", retain=True)
            await hub.publish("out/gone", b"", retain=True)
            await say(server, "in/before", "-r", text="newer")
            await until(lambda: bridge.status().counts["received"] == 2, "the newer one")
            await until(lambda: bridge.status().counts["sent"] == 5, "what goes out")
            assert await retained(hub, "in/before") == b"newer"
            async with ears(server, "out/#") as heard:
                await until(lambda: len(heard.lines) == 2, "what is retained there")
                assert sorted(heard.lines) == [
                    ("out/before", 0, True, b"kept here"),
                    ("out/kept", 0, True, b"stays"),
                ]
            await say(server, "in/before", "-r", "-q", "1", data=b"")
            await until(lambda: bridge.status().counts["received"] == 3, "the empty one")
            assert await retained(hub, "in/before") is None


async def retained(hub: Hub, channel: str) -> bytes | None:
    """Return what is in the slot of a channel."""
    found: list[Publication] = []
    listener = Listener(hub.core, [channel], found.append, lambda: None)
    listener.close()
    return found[0].as_raw() if found else None


async def test_what_the_hub_refuses_is_counted_and_does_not_come_again() -> None:
    with mosquitto() as server:
        async with bridged(options(server, "in/# in 1")) as (hub, bridge):
            await say(server, "in/large", "-q", "1", data=b"x" * 100_000)
            await say(server, f"in/{'n' * 300}", "-q", "1", text="long name")
            await say(server, "in/good", "-q", "1", text="fine")
            await until(lambda: bridge.status().counts["received"] == 1, "the good one")
            assert bridge.status().counts["refused"] == 2
            assert [each.as_value() for each in await hub.history("in/good")] == ["fine"]
            await until(lambda: len(server.confirmed_by(r"chappe-\w+")) == 3, "the confirmations")


async def test_what_the_broker_cannot_take_is_dropped_and_told() -> None:
    with mosquitto("allow_anonymous true", "max_packet_size 1000", "max_qos 1", "retain_available false") as server:
        async with ears(server, "out/#", "-q", "1") as heard, bridged(options(server, "out/# out 2")) as (hub, bridge):
            await hub.publish("out/a", "x" * 2_000)
            await hub.publish("out/a", "small", retain=True)
            await until(lambda: bridge.status().counts["sent"] == 1, "the small one")
            await until(lambda: len(heard.lines) == 1, "the small one there")
            assert heard.lines == [("out/a", 1, False, b"small")]
            assert bridge.status().counts["dropped_too_large"] == 1
