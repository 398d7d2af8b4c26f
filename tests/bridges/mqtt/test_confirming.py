"""What is confirmed and when, with a real mosquitto at the other end."""

import paho.mqtt.client as paho
import pytest

from chappe.bridges.mqtt.confirming import PACKET_IDS, Confirming
from chappe.bridges.mqtt.topics import Mapping
from tests.bridges.mqtt.ends import End
from tests.bridges.mqtt.mosquitto import KEEPS_ALL, OPEN, ears, mosquitto, say, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def test_the_parts_of_paho_that_are_changed_are_there() -> None:
    for name in (
        "_easy_log",
        "_handle_on_message",
        "_handle_pubackcomp",
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
            assert server.log.count("Received PUBREL from tester") == PACKET_IDS
            # At once: an answer to a release that is still on its way must not be taken for the message's.
            packet_id = other.line.send("a", b"1", 2, False, None)
            await until(lambda: other.confirmed == [packet_id], "the confirmation")
            await until(lambda: heard.payloads == [b"1"], "the message")
        await other.line.close()
