"""What aiomqtt and paho must be like for a connection of ours, with a real mosquitto at the other end."""

import asyncio

import aiomqtt
import paho.mqtt.client as paho
import pytest

from chappe.bridges.mqtt.address import Address
from chappe.bridges.mqtt.line import PACKET_IDS, Arrival, Confirming, Line
from chappe.bridges.mqtt.refusal import RefusalError
from chappe.bridges.mqtt.topics import Mapping
from tests.bridges.mqtt.mosquitto import KEEPS_ALL, OPEN, Mosquitto, ears, mosquitto, say, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


class End:
    """A line, what it heard and what was confirmed to it."""

    def __init__(self, server: Mosquitto, client_id: str = "tester") -> None:
        self.heard: list[Arrival] = []
        self.confirmed: list[int] = []
        address = Address(host="127.0.0.1", port=server.port)
        self.line = Line(
            address,
            client_id,
            keeps=True,
            heard=self.heard.append,
            confirmed=lambda packet_id, taken, reason: self.confirmed.append(packet_id),
        )


def test_the_parts_of_both_packages_that_are_changed_are_there() -> None:
    for name in (
        "_on_connect",
        "_on_disconnect",
        "_on_message",
        "_on_publish",
        "_on_socket_open",
        "_on_socket_close",
        "_on_socket_register_write",
        "_on_socket_unregister_write",
        "_misc_loop",
    ):
        assert hasattr(aiomqtt.Client, name), name
    for name in (
        "_easy_log",
        "_handle_on_message",
        "_handle_publish",
        "_handle_pubrel",
        "_mid_generate",
        "_send_pubcomp",
        "_send_pubrec",
        "_send_pubrel",
        "_sock_close",
        "_sock_recv",
        "_ssl_wrap_socket",
    ):
        assert hasattr(paho.Client, name), name
    assert issubclass(Confirming, paho.Client)


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_is_not_confirmed_comes_again_and_what_is_does_not(qos: int) -> None:
    with mosquitto(*OPEN, *KEEPS_ALL) as server:
        end = End(server)
        await end.line.open()
        assert await end.line.follow([Mapping("a", "in", qos)]) == []
        await say(server, "a", "-q", str(qos), text="1")
        await say(server, "a", "-q", str(qos), text="2")
        await until(lambda: len(end.heard) == 2, "both")
        end.line.confirm(end.heard[0])
        answer = "PUBACK" if qos == 1 else "PUBCOMP"
        await until(lambda: server.log.count(f"{answer} from tester") == 1, "the confirmation")
        await end.line.close()
        # Another process, which knows nothing but the client id.
        other = End(server)
        await other.line.open()
        assert other.line.capabilities.session_present
        await until(lambda: len(other.heard) == 1, "the second one")
        assert other.heard[0].payload == b"2"
        other.line.confirm(other.heard[0])
        await until(lambda: server.log.count(f"{answer} from tester") == 2, "the second confirmation")
        await other.line.close()


async def test_a_message_of_qos_2_is_given_on_once_however_often_it_is_sent() -> None:
    with mosquitto(*OPEN, *KEEPS_ALL) as server:
        end = End(server)
        await end.line.open()
        await end.line.follow([Mapping("a", "in", 2)])
        await say(server, "a", "-q", "2", text="1")
        await until(lambda: len(end.heard) == 1, "the message")
        for _ in range(3):
            await end.line.close()
            await end.line.open()
            await until(lambda: "d1, q2" in server.log, "the repetition")
        # Confirmed over a later connection than it came by.
        end.line.confirm(end.heard[0])
        await until(lambda: "PUBCOMP from tester" in server.log, "the end of it")
        assert len(end.heard) == 1
        await say(server, "a", "-q", "2", text="2")
        await until(lambda: len(end.heard) == 2, "the next one")
        # Not stored: it is new when it comes again.
        end.line.forget(end.heard[1])
        await end.line.close()
        await end.line.open()
        await until(lambda: len(end.heard) == 3, "the same again")
        assert end.heard[2].payload == b"2"
        await end.line.close()


async def test_packet_ids_are_few_and_a_new_process_releases_those_of_the_former_one() -> None:
    with mosquitto(*OPEN) as server:
        end = End(server)
        await end.line.open()
        ids = [end.line.paho._mid_generate() for _ in range(PACKET_IDS + 1)]
        assert (min(ids), max(ids), ids[0] == ids[-1]) == (1, PACKET_IDS, True)
        await end.line.close()
        other = End(server)
        async with ears(server, "a", "-q", "2") as heard:
            await other.line.open()
            await until(lambda: server.log.count("Received PUBREL from tester") == PACKET_IDS, "the releases")
            other.line.send("a", b"1", 2, False, None)
            await until(lambda: other.confirmed, "the confirmation")
            await until(lambda: heard.payloads == [b"1"], "the message")
        await other.line.close()


async def test_a_cut_is_told_and_what_was_under_way_goes_on() -> None:
    with mosquitto(*OPEN) as server:
        end = End(server)
        await end.line.open()
        lost = asyncio.ensure_future(end.line.lost())
        server.kill()
        with pytest.raises(RefusalError) as refused:
            await lost
        assert refused.value.kind == "closed"
        assert not end.line.is_open
        with pytest.raises(RefusalError) as refused:
            await end.line.open()
        assert refused.value.kind == "unreachable"
        end.line.send("a", b"kept", 1, True, None)
        server.start()
        await end.line.open()
        await until(lambda: end.confirmed, "the confirmation")
        await end.line.close()


async def test_an_end_while_it_connects_leaves_no_connection_behind() -> None:
    with mosquitto(*OPEN) as server:
        end = End(server)
        opening = asyncio.create_task(end.line.open())
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert not end.line.is_open
        assert end.line.paho.socket() is None
        await end.line.open()
        await end.line.follow([])
        await end.line.close()
        ended = ": Client tester "
        await until(lambda: server.log.count("New client connected") == server.log.count(ended), "the ends")
