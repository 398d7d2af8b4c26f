"""Native links: what is sent arrives whole and in order, slow readers, and every way a connection ends."""

import asyncio
import collections
import contextlib
import os
import random
import socket
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.frame import Bundle, Frame, SlowConsumer
from chappe.model.limits import Limits
from chappe.transports.native import SSE, NativeAudience, NativeLink
from chappe.wire.websocket import encode_frame
from tests.transports.native.place import Listener, a_place, frame, is_ended, masked, on_the_wire, read_all

MIB = 1_048_576
CLOSE_1000 = masked((1_000).to_bytes(2), 0x88)


def goodbye(code: int, reason: bytes = b"") -> bytes:
    """Return a server's close frame."""
    payload = code.to_bytes(2) + reason
    return bytes((0x88, len(payload))) + payload


# --- Sending ---------------------------------------------------------------------------------------------------------


async def test_the_head_goes_before_everything() -> None:
    with a_place() as place:
        ours, theirs = socket.socketpair()
        link = place.reactor.attach(ours.detach(), b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        link.begin(Listener())
        link.send(frame(b"hello"))
        place.serve()
        theirs.setblocking(False)
        assert read_all(theirs) == b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + on_the_wire(b"hello")
        theirs.close()


async def test_bytes_behind_the_head_are_received_first() -> None:
    with a_place() as place:
        ours, theirs = socket.socketpair()
        receiver = Listener()
        link = place.reactor.attach(ours.detach(), b"head")
        theirs.send(masked(b"second"))
        link.begin(receiver, masked(b"first"))
        place.serve()
        assert receiver.heard == [b"first", b"second"]
        theirs.close()


async def test_a_frame_larger_than_the_socket_takes_arrives_whole_and_others_behind_it() -> None:
    content = random.Random(7).randbytes(3 * MIB)
    with a_place() as place:
        link, theirs = place.connect(buffer_bytes=8_192)
        link.send(frame(content))
        for number in range(200):
            link.send(frame(b"%d" % number))
        received = bytearray()
        while link.queued_bytes:
            place.reactor.process()
            received += read_all(theirs)
        assert received == on_the_wire(content, *[b"%d" % number for number in range(200)])
        assert link.bytes_out == len(received)
        assert link.messages_out == 201


async def test_a_bundle_goes_whole() -> None:
    with a_place() as place:
        link, theirs = place.connect()
        link.send(Bundle.of([frame(b"one"), frame(b"two")]))
        place.serve()
        assert read_all(theirs) == on_the_wire(b"one", b"two")


async def test_a_stream_of_events_is_sent_in_chunks() -> None:
    with a_place() as place:
        receiver = Listener()
        link, theirs = place.connect(receiver, SSE)
        link.send(Bundle.of([frame(b"data: 1\n\n"), frame(b"data: 22\n\n")]))
        link.ping()
        link.close(3_001)
        place.serve()
        assert read_all(theirs) == b"9\r\ndata: 1\n\n\r\na\r\ndata: 22\n\n\r\n2\r\n:\n\r\n0\r\n\r\n"
        assert is_ended(theirs)
        assert receiver.lost_with == [1006]


async def test_what_the_reader_of_a_stream_sends_is_ignored_up_to_a_limit() -> None:
    with a_place() as place:
        receiver = Listener()
        _, theirs = place.connect(receiver, SSE)
        theirs.send(b"GET / HTTP/1.1\r\n\r\n")
        place.serve()
        assert not receiver.lost_with
        theirs.send(bytes(65_536))
        place.serve()
        assert receiver.lost_with == [1006]


# --- Receiving -------------------------------------------------------------------------------------------------------


async def test_nothing_is_heard_while_a_link_is_paused_and_everything_in_order_after_it() -> None:
    with a_place() as place:
        links: list[NativeLink] = []
        receiver = Listener(lambda payload: links[0].pause() if payload == b"3" else None)
        link, theirs = place.connect(receiver)
        links.append(link)
        theirs.send(b"".join(masked(b"%d" % number) for number in range(10)))
        place.serve()
        theirs.send(masked(b"10"))
        place.serve()
        assert receiver.heard == [b"0", b"1", b"2", b"3"]
        was_paused, heard_before = link.paused, link.last_heard
        link.resume()
        assert (was_paused, link.paused) == (True, False)
        # What was not read is not held against the peer.
        assert link.last_heard > heard_before
        place.serve()
        assert receiver.heard == [b"%d" % number for number in range(11)]


async def test_a_message_over_the_limit_is_refused_and_the_peer_reads_why() -> None:
    with a_place(Limits(frame_bytes=1_000)) as place:
        receiver = Listener()
        link, theirs = place.connect(receiver)
        theirs.send(masked(bytes(1_001)) + bytes(100_000))
        place.serve()
        assert receiver.lost_with == [1006]
        assert read_all(theirs).startswith(bytes((0x88,)))
        # What still comes is thrown away for a moment, so that no reset overtakes the goodbye.
        assert place.endings
        theirs.shutdown(socket.SHUT_WR)
        place.serve()
        assert place.gone == [link]


async def test_a_limit_may_grow() -> None:
    with a_place(Limits(frame_bytes=1_000)) as place:
        receiver = Listener()
        link, theirs = place.connect(receiver)
        link.limit(2_000)
        theirs.send(masked(bytes(2_000)))
        place.serve()
        assert receiver.heard == [bytes(2_000)]


async def test_the_time_of_an_unfinished_message_is_noted() -> None:
    with a_place() as place:
        link, theirs = place.connect()
        theirs.send(masked(b"hello")[:-1])
        place.serve()
        began = link.message_began
        assert began >= link.opened_at
        theirs.send(b"o"[:0] + masked(b"hello")[-1:])
        place.serve()
        assert link.message_began == 0
        assert link.messages_in == 1
        assert link.bytes_in == len(masked(b"hello"))


async def test_pings_are_answered_before_the_message_they_came_inside_of() -> None:
    with a_place() as place:
        links: list[NativeLink] = []
        receiver = Listener(lambda payload: links[0].send(frame(payload)))
        link, theirs = place.connect(receiver)
        links.append(link)
        theirs.send(masked(b"a", 0x02) + masked(b"?", 0x89) + masked(b"b", 0x80))
        place.serve()
        assert read_all(theirs) == b"\x8a\x01?" + on_the_wire(b"ab")


async def test_a_flood_of_pings_ends_the_connection() -> None:
    with a_place() as place:
        receiver = Listener()
        _, theirs = place.connect(receiver)
        theirs.send(masked(b"", 0x89) * 51)
        place.serve()
        assert receiver.lost_with == [1006]
        assert goodbye(1_008, b"more than 10 pings a second") in read_all(theirs)


@pytest.mark.parametrize("answers", [True, False])
async def test_a_probe_hears_from_who_lives(answers: bool) -> None:
    with a_place() as place:
        link, theirs = place.connect()
        heard: list[bool] = []
        link.probe(0.05, heard.append)
        place.serve()
        assert read_all(theirs) == b"\x89\x00"
        if answers:
            theirs.send(masked(b"", 0x8A))
        async with asyncio.timeout(5):
            while not heard:  # noqa: ASYNC110 - a link calls back, and nobody waits for that here
                await asyncio.sleep(0.005)
        assert heard == [answers]


# --- Slow readers ----------------------------------------------------------------------------------------------------


async def test_a_slow_reader_is_closed_at_its_cap_and_its_memory_comes_back() -> None:
    with a_place(Limits(send_queue_bytes=100_000)) as place:
        slow, healthy = Listener(), Listener()
        audience = NativeAudience()
        slow_link, slow_peer = place.connect(slow, buffer_bytes=4_096)
        healthy_link, healthy_peer = place.connect(healthy)
        for link in (slow_link, healthy_link):
            audience.add(link)
        received = bytearray()
        for number in range(100):
            audience.publish(frame(b"%03d" % number + bytes(10_000)))
            place.serve()
            received += read_all(healthy_peer)
        assert received == on_the_wire(*[b"%03d" % number + bytes(10_000) for number in range(100)])
        assert slow.lost_with == [3_008]
        assert slow_link.closing
        # The frame that is being written, and the goodbye.
        assert slow_link.queued_bytes < 10_100
        assert place.counters.slow_consumers == 1
        tail = b""
        while piece := read_all(slow_peer):
            tail = (tail + piece)[-100:]
            place.serve()
        assert tail.endswith(goodbye(3_008, b"slow consumer"))


async def test_a_burst_larger_than_the_cap_does_not_cost_a_reader_who_reads() -> None:
    with a_place(Limits(send_queue_bytes=10_000)) as place:
        receiver = Listener()
        link, theirs = place.connect(receiver)
        for number in range(20):
            # All in one turn: what the socket takes is no backlog.
            link.send(frame(b"%02d" % number + bytes(1_500)))
        place.serve()
        assert not receiver.lost_with
        assert read_all(theirs) == on_the_wire(*[b"%02d" % number + bytes(1_500) for number in range(20)])


async def test_a_cap_in_messages_holds_too() -> None:
    with a_place(Limits(send_queue_messages=5)) as place:
        receiver = Listener()
        link, _ = place.connect(receiver, buffer_bytes=4_096)
        for _ in range(200):
            link.send(frame(bytes(1_000)))
            place.serve()
        assert receiver.lost_with == [3_008]


async def test_one_large_frame_may_exceed_the_cap_and_is_not_held_against_its_reader() -> None:
    content = os.urandom(MIB)
    with a_place(Limits(send_queue_bytes=1_000)) as place:
        receiver = Listener()
        link, theirs = place.connect(receiver, buffer_bytes=4_096)
        link.send(frame(content))
        place.serve()
        link.send(frame(b"behind it"))
        received = bytearray()
        while link.queued_bytes:
            received += read_all(theirs)
            place.serve()
        assert not receiver.lost_with
        assert received + read_all(theirs) == on_the_wire(content, b"behind it")


Publication = tuple[SlowConsumer, str, str | None, int]
publications = st.lists(
    st.tuples(
        st.sampled_from([SlowConsumer.DROP_OLDEST, SlowConsumer.LATEST]),
        st.sampled_from("ab"),
        st.sampled_from(["k1", "k2", None]),
        st.integers(1, 9_000),
    ),
    max_size=30,
)


@pytest.mark.slow
@pytest.mark.timeout(120)
@given(st.lists(st.tuples(publications, st.integers(0, 60_000)), max_size=8))
async def test_whatever_a_slow_reader_misses_is_counted_and_the_rest_comes_in_order(
    rounds: list[tuple[list[Publication], int]],
) -> None:
    with a_place(Limits(send_queue_bytes=20_000)) as place:
        receiver = Listener()
        link, theirs = place.connect(receiver, buffer_bytes=4_096)
        sent: list[tuple[int, SlowConsumer, str, str | None]] = []
        received = bytearray()
        for publications, read_bytes in rounds:
            for policy, channel, key, size in publications:
                payload = len(sent).to_bytes(4) + bytes(size)
                link.send(Frame(payload, False, channel, key, policy))
                sent.append((len(sent), policy, channel, key))
            place.serve()
            if read_bytes:
                with contextlib.suppress(BlockingIOError):
                    received += theirs.recv(read_bytes)
            place.serve()
        while piece := read_all(theirs):
            received += piece
            place.serve()
        numbers = numbers_in(bytes(received))
        assert numbers == sorted(set(numbers))
        missed = collections.Counter(channel for number, _, channel, _ in sent if number not in set(numbers))
        assert missed == receiver.dropped_counts
        # A cap of 20,000 bytes with frames of 9,000 never costs the newest of a key, nor the connection.
        newest = {(channel, key): number for number, policy, channel, key in sent if policy is SlowConsumer.LATEST}
        last = len(sent) - 1
        assert not receiver.lost_with
        assert last < 0 or last in numbers
        assert all(number <= last for number in newest.values())


def numbers_in(wire: bytes) -> list[int]:
    """Return the numbers that frames begin with."""
    numbers = []
    while wire:
        size, head = wire[1], 2
        if size == 126:
            size, head = int.from_bytes(wire[2:4]), 4
        numbers.append(int.from_bytes(wire[head : head + 4]))
        assert len(wire) >= head + size
        wire = wire[head + size :]
    return numbers


async def test_of_each_key_only_the_newest_waits() -> None:
    with a_place() as place:
        receiver = Listener()
        link, theirs = place.connect(receiver, buffer_bytes=4_096)
        fill = Frame(bytes(200_000), False, "prices", None, SlowConsumer.LATEST)
        link.send(fill)
        place.serve()
        for number in range(1_000):
            key = "even" if number % 2 == 0 else "odd"
            link.send(Frame(b"%d" % number, False, "prices", key, SlowConsumer.LATEST))
        received = bytearray()
        while link.queued_bytes:
            received += read_all(theirs)
            place.serve()
        received += read_all(theirs)
        assert received.endswith(on_the_wire(b"998", b"999"))
        assert receiver.dropped_counts == {"prices": 998}


async def test_an_answer_is_never_dropped_for_a_publication() -> None:
    with a_place(Limits(send_queue_bytes=5_000)) as place:
        receiver = Listener()
        link, theirs = place.connect(receiver, buffer_bytes=4_096)
        link.send(frame(bytes(300_000)))
        place.serve()
        for number in range(20):
            link.send(frame(b"answer %d" % number))
        for _ in range(20):
            link.send(Frame(bytes(1_000), False, "a", None, SlowConsumer.DROP_OLDEST))
        received = bytearray()
        while link.queued_bytes:
            received += read_all(theirs)
            place.serve()
        received += read_all(theirs)
        assert [number for number in range(20) if encode_frame(b"answer %d" % number, False) in received] == [
            *range(20)
        ]
        assert receiver.dropped_counts["a"] > 0


async def test_the_newest_of_a_key_replaces_what_came_when_nothing_waited() -> None:
    # What was noted of the first backlog hid, in the second one, the frames from before it began.
    with a_place() as place:
        link, theirs = place.connect(buffer_bytes=4_096)
        received = bytearray()
        for before, behind in ((b"", b"1"), (b"2", b"3")):
            link.send(frame(bytes(200_000)))
            if before:
                link.send(Frame(before, False, "prices", "k", SlowConsumer.LATEST))
            place.serve()
            link.send(Frame(behind, False, "prices", "k", SlowConsumer.LATEST))
            while link.queued_bytes:
                received += read_all(theirs)
                place.serve()
        received += read_all(theirs)
        fill = on_the_wire(bytes(200_000))
        assert received.replace(fill, b"") == on_the_wire(b"1", b"3")


async def test_what_a_receiver_sends_when_told_of_drops_is_written() -> None:
    # It was queued at a link that had been written to in the same turn, and nobody wrote it.
    class Teller(Listener):
        def dropped(self, channel: str, count: int) -> None:
            super().dropped(channel, count)
            other.send(frame(b"told"))

    with a_place(Limits(send_queue_bytes=5_000)) as place:
        teller = Teller()
        slow, its_peer = place.connect(teller, buffer_bytes=4_096)
        other, other_peer = place.connect(Listener(lambda payload: other.send(frame(payload))))
        slow.send(frame(bytes(300_000)))
        place.serve()
        for _ in range(20):
            slow.send(Frame(bytes(1_000), False, "a", None, SlowConsumer.DROP_OLDEST))
        echoes = 0
        while not teller.dropped_counts:
            read_all(its_peer)
            # Named behind the slow one, so written behind it too.
            other_peer.send(masked(b"x"))
            place.reactor.process()
            echoes += 1
        place.serve()
        assert read_all(other_peer) == on_the_wire(*[b"x"] * echoes, b"told")


# --- Ending ----------------------------------------------------------------------------------------------------------


async def test_a_goodbye_of_the_peer_is_answered_and_the_server_closes_first() -> None:
    with a_place() as place:
        receiver = Listener()
        link, theirs = place.connect(receiver)
        link.send(frame(b"before"))
        theirs.send(CLOSE_1000)
        place.serve()
        assert read_all(theirs) == on_the_wire(b"before") + goodbye(1_000)
        assert is_ended(theirs)
        assert receiver.lost_with == [1_000]
        assert place.gone == [link]


async def test_our_goodbye_waits_for_its_answer_in_bounded_time_and_hears_nothing_else() -> None:
    with a_place() as place:
        receiver = Listener()
        link, theirs = place.connect(receiver)
        link.send(frame(b"before"))
        link.close(4_000, "enough")
        link.send(frame(b"never sent"))
        theirs.send(masked(b"too late"))
        place.serve()
        assert read_all(theirs) == on_the_wire(b"before") + goodbye(4_000, b"enough")
        assert place.endings == [(link, 5.0)]
        assert receiver.heard == []
        theirs.send(masked((4_000).to_bytes(2), 0x88))
        place.serve()
        assert place.gone == [link]
        assert receiver.lost_with == [4_000]


async def test_a_goodbye_is_read_though_the_link_is_paused() -> None:
    with a_place() as place:
        link, theirs = place.connect()
        link.pause()
        theirs.send(masked(b"waits") + CLOSE_1000)
        place.serve()
        link.close(4_000)
        place.serve()
        assert place.gone == [link]


async def test_a_goodbye_is_read_behind_more_than_one_turn_of_messages_though_the_link_is_paused() -> None:
    with a_place() as place:
        links: list[NativeLink] = []
        receiver = Listener(lambda _: links[0].pause())
        link, theirs = place.connect(receiver)
        links.append(link)
        theirs.send(masked(b"x") * 200 + CLOSE_1000)
        place.serve()
        link.close(4_000)
        place.serve()
        assert receiver.heard == [b"x"]
        assert place.gone == [link]


@pytest.mark.parametrize("code", [6_000, 1_006, 999, 0])
async def test_a_code_that_no_close_frame_may_carry_becomes_3503(code: int) -> None:
    with a_place() as place:
        link, theirs = place.connect()
        link.close(code)
        place.serve()
        assert read_all(theirs) == goodbye(3_503)


async def test_who_stops_writing_without_a_goodbye_is_gone() -> None:
    with a_place() as place:
        receiver = Listener()
        link, theirs = place.connect(receiver)
        theirs.send(masked(b"last words"))
        theirs.shutdown(socket.SHUT_WR)
        place.serve()
        assert receiver.heard == [b"last words"]
        assert receiver.lost_with == [1006]
        assert place.gone == [link]


async def test_who_goes_while_its_window_is_full_is_cut_in_bounded_time() -> None:
    with a_place() as place:
        receiver = Listener()
        link, theirs = place.connect(receiver, buffer_bytes=4_096)
        link.send(frame(bytes(500_000)))
        place.serve()
        theirs.send(CLOSE_1000)
        place.serve()
        assert receiver.lost_with == [1_000]
        assert place.gone == []
        assert place.endings == [(link, 5.0)]
        link.abort()
        place.serve()
        assert place.gone == [link]


async def test_a_link_that_is_gone_keeps_nothing_of_an_unfinished_message() -> None:
    # The heartbeat forgets links up to half a minute late: peers that come, send and go would fill the memory.
    with a_place() as place:
        link, theirs = place.connect()
        empty = sys.getsizeof(link)
        theirs.send(masked(bytes(50_000))[:-1])
        place.serve()
        assert sys.getsizeof(link) - empty >= 50_000 - 1
        theirs.close()
        place.serve()
        assert place.gone == [link]
        assert sys.getsizeof(link) <= empty


async def test_calls_after_the_end_do_nothing() -> None:
    with a_place() as place:
        receiver = Listener()
        link, theirs = place.connect(receiver)
        theirs.close()
        place.serve()
        answers: list[bool] = []
        calls: list[Any] = [link.pause, link.resume, link.abort, link.ping, lambda: link.limit(5)]
        calls += [lambda: link.send(frame(b"x")), lambda: link.close(4_000), lambda: link.fail(1_002, "no")]
        calls += [lambda: link.probe(1, answers.append)]
        for call in calls:
            call()
        place.serve()
        await asyncio.sleep(0)
        assert answers == [False]
        assert receiver.lost_with == [1006]
        assert place.gone == [link]
        assert place.reactor.open_links == 0
