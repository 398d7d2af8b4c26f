"""Lifetimes, fairness and slices of the reactor: each of these failed in the prototype."""

import asyncio
import functools
import gc
import os
import select
import socket
import struct
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from chappe.model.frame import Frame, SlowConsumer
from chappe.model.limits import Limits
from chappe.transports.native import PACKETS, NativeAudience, NativeLink, Reactor
from chappe.transports.portable import LinkCounters
from tests.transports.native.place import Listener, a_place, frame, is_ended, masked, on_the_wire, read_all

EPOLLIN, EPOLLOUT = select.EPOLLIN, select.EPOLLOUT
#: As in the reactor: messages of one callback, messages of one link before others have their turn, links of a slice.
TURN_MESSAGES, LINK_MESSAGES, SLICE = 256, 64, 2_000


# --- Lifetimes -------------------------------------------------------------------------------------------------------


async def test_the_peer_hears_the_end_though_another_holder_has_the_connection_open() -> None:
    with a_place() as place:
        link, theirs = place.connect()
        (held,) = place.watched()
        other = os.dup(held)
        link.abort()
        place.serve()
        assert is_ended(theirs)
        # And its events do not come any more: a closed descriptor with a living file would be named for ever.
        theirs.close()
        assert not select.select([place.reactor.epfd], [], [], 0)[0]
        os.close(other)


async def test_an_event_of_a_link_that_ended_is_not_that_of_the_link_in_its_place() -> None:
    with a_place() as place:
        flooders = [place.connect() for _ in range(TURN_MESSAGES // LINK_MESSAGES)]
        ends, its_peer = place.connect()
        for _, theirs in flooders:
            theirs.send(masked(b"x") * (LINK_MESSAGES + 1))
        its_peer.close()
        # The turn is over before the end of the fifth link has its turn.
        place.reactor.process()
        assert place.gone == []
        ends.abort()
        place.reactor.process()
        assert place.gone == [ends]
        successor, _ = place.connect()
        successor.pause()
        place.serve()
        assert place.gone == [ends]


async def test_a_paused_link_ends_when_its_connection_breaks() -> None:
    with a_place() as place:
        server = socket.create_server(("127.0.0.1", 0))
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        receiver = Listener()
        link = place.reactor.attach(ours.detach(), b"")
        link.begin(receiver)
        link.pause()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        place.serve()
        assert receiver.lost_with == [1006]
        assert place.gone == [link]
        server.close()


async def test_the_epoll_set_is_not_inherited() -> None:
    with a_place() as place:
        assert not os.get_inheritable(place.reactor.epfd)


async def test_a_forked_child_gives_up_what_the_parent_goes_on_with() -> None:
    with a_place() as place:
        receiver = Listener()
        _, theirs = place.connect(receiver)
        descriptors = [place.reactor.epfd, *place.watched()]
        child = os.fork()
        if child == 0:
            still_open = 0
            for descriptor in descriptors:
                try:
                    os.fstat(descriptor)
                    still_open += 1
                except OSError:
                    pass
            os._exit(still_open)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once
        assert os.waitstatus_to_exitcode(status) == 0
        assert not is_ended(theirs)
        theirs.send(masked(b"still here"))
        place.serve()
        assert receiver.heard == [b"still here"]


async def test_a_closed_reactor_ends_its_links_and_takes_no_more() -> None:
    with a_place() as place:
        receiver = Listener()
        link, theirs = place.connect(receiver)
        link.send(frame(b"never sent"))
        place.reactor.close()
        assert is_ended(theirs)
        assert receiver.lost_with == [1006]
        ours, other = socket.socketpair()
        with pytest.raises(OSError, match="closed"):
            place.reactor.attach(ours.detach(), b"")
        assert is_ended(other)
        other.close()
        assert place.reactor.open_links == 0


async def test_what_is_no_socket_is_refused_and_leaves_nothing() -> None:
    with a_place() as place:
        with Path("/dev/null").open("rb") as file:  # noqa: ASYNC230 - the kernel refuses to watch it
            descriptor = os.dup(file.fileno())
        with pytest.raises(PermissionError):
            place.reactor.attach(descriptor, b"head")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
        place.serve()
        assert place.reactor.open_links == 0


async def test_a_receiver_that_ends_its_own_link_or_another_harms_nobody() -> None:
    with a_place() as place:
        links: list[NativeLink] = []

        def on_message(payload: bytes) -> None:
            links[0].abort()
            links[1].close(4_000)

        first, second, third = (Listener(on_message) for _ in range(3))
        peers = []
        for receiver in (first, second, third):
            link, theirs = place.connect(receiver)
            links.append(link)
            peers.append(theirs)
        for theirs in peers:
            theirs.send(masked(b"a") + masked(b"b"))
        place.serve()
        assert third.heard == [b"a", b"b"]
        assert first.lost_with == [1006]
        assert read_all(peers[1]).endswith(bytes((0x88, 2)) + (4_000).to_bytes(2))


async def test_a_receiver_that_fails_ends_its_link_only() -> None:
    def fail(payload: bytes) -> None:
        raise ValueError("a bug")

    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    with a_place() as place:
        failing, healthy = Listener(fail), Listener()
        _, its_peer = place.connect(failing)
        _, other = place.connect(healthy)
        its_peer.send(masked(b"a"))
        other.send(masked(b"b"))
        place.serve()
        assert healthy.heard == [b"b"]
        assert (1_011).to_bytes(2) in read_all(its_peer)
        assert [type(each) for each in reported] == [ValueError]


async def test_a_receiver_that_fails_when_told_of_an_end_or_of_drops_harms_nobody() -> None:
    # Ends behind it were forgotten, and the list of links to write to let go of the same links twice.
    class Failing(Listener):
        def lost(self, code: int) -> None:
            raise ValueError("lost")

        def dropped(self, channel: str, count: int) -> None:
            raise ValueError("dropped")

    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
    with a_place(Limits(send_queue_bytes=5_000)) as place:
        slow, its_peer = place.connect(Failing(), buffer_bytes=4_096)
        other, _ = place.connect()
        slow.send(frame(bytes(300_000)))
        place.serve()
        for _ in range(20):
            slow.send(Frame(bytes(1_000), False, "a", None, SlowConsumer.DROP_OLDEST))
        while slow.queued_bytes:
            read_all(its_peer)
            place.serve()
        slow.abort()
        other.abort()
        place.serve()
        assert reported == ["dropped", "lost"]
        assert place.gone == [slow, other]
        assert place.reactor.open_links == 0


async def test_a_reactor_may_be_closed_by_whom_it_tells() -> None:
    class Closing(Listener):
        def dropped(self, channel: str, count: int) -> None:
            place.reactor.close()

    with a_place(Limits(send_queue_bytes=5_000)) as place:
        slow, its_peer = place.connect(Closing(), buffer_bytes=4_096)
        slow.send(frame(bytes(300_000)))
        place.serve()
        for _ in range(20):
            slow.send(Frame(bytes(1_000), False, "a", None, SlowConsumer.DROP_OLDEST))
        while not place.gone:
            read_all(its_peer)
            place.reactor.process()
        assert place.reactor.open_links == 0


async def test_nothing_is_attached_to_a_reactor_that_is_closing() -> None:
    class Returning(Listener):
        def lost(self, code: int) -> None:
            with pytest.raises(OSError, match="closed"):
                place.reactor.attach(ours.detach(), b"")

    with a_place() as place:
        ours, theirs = socket.socketpair()
        place.connect(Returning())
        place.reactor.close()
        assert place.reactor.open_links == 0
        assert is_ended(theirs)
        theirs.close()


async def test_a_closed_reactor_is_let_go_of_though_a_link_had_bytes_left() -> None:
    reactor = Reactor(asyncio.get_running_loop(), Limits(), LinkCounters(), lambda _: None, lambda _, in_s: None, 5.0)
    ours, theirs = socket.socketpair()
    reactor.attach(ours.detach(), b"").begin(Listener())
    theirs.send(masked(b"x") * 2 * LINK_MESSAGES)
    reactor.process()
    assert reactor.has_more()
    reactor.close()
    theirs.close()
    gone = weakref.ref(reactor)
    del reactor
    # What it had scheduled on the loop.
    await asyncio.sleep(0)
    gc.collect()
    assert gone() is None


async def test_a_link_whose_bytes_were_lost_ends() -> None:
    # What breaks through a receiver, as no memory does through us, leaves the rest of what was received unread.
    class Breaking(Listener):
        def receive(self, payload: bytes, text: bool) -> None:
            super().receive(payload, text)
            raise asyncio.CancelledError

    with a_place() as place:
        receiver = Breaking()
        link, theirs = place.connect(receiver)
        theirs.send(masked(b"a") + masked(b"b"))
        with pytest.raises(asyncio.CancelledError):
            place.reactor.process()
        place.serve()
        assert receiver.heard == [b"a"]
        assert place.gone == [link]


# --- Fairness --------------------------------------------------------------------------------------------------------


async def test_one_callback_serves_a_turn_of_messages_and_no_more() -> None:
    with a_place() as place:
        receivers = [Listener() for _ in range(8)]
        for receiver in receivers:
            _, theirs = place.connect(receiver)
            theirs.send(masked(b"x") * 5_000)
        place.reactor.process()
        assert 0 < sum(len(receiver.heard) for receiver in receivers) <= TURN_MESSAGES
        place.serve()
        assert [len(receiver.heard) for receiver in receivers] == [5_000] * 8


async def test_every_link_has_its_turn_before_a_flooder_has_its_third() -> None:
    with a_place() as place:
        flooders = [Listener() for _ in range(8)]
        for receiver in flooders:
            _, theirs = place.connect(receiver)
            theirs.send(masked(b"x") * 5_000)
        quiet = Listener()
        _, theirs = place.connect(quiet)
        theirs.send(masked(b"me too"))
        while not quiet.heard:
            place.reactor.process()
        assert max(len(receiver.heard) for receiver in flooders) <= 2 * LINK_MESSAGES


async def test_a_slow_receiver_ends_the_turn_by_time() -> None:
    loop = asyncio.get_running_loop()

    def busy(payload: bytes) -> None:
        until = loop.time() + 0.002
        while loop.time() < until:
            pass

    with a_place() as place:
        receiver = Listener(busy)
        _, theirs = place.connect(receiver)
        theirs.send(masked(b"x") * 10)
        place.reactor.process()
        # uvloop's clock stands still within a callback: then time alone would never end the turn.
        assert len(receiver.heard) <= 2


async def test_who_asks_for_little_does_not_wait_for_all_who_ask_for_much() -> None:
    heard: list[bytes] = []

    def busy(payload: bytes) -> None:
        heard.append(payload)
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass

    with a_place() as place:
        links = [place.connect(Listener(busy))[1] for _ in range(30)]
        _, quick = place.connect(Listener(heard.append))
        for number in range(12):
            # What a link costs is known after ten messages.
            quick.send(masked(b"%d" % number))
            place.serve()
        for theirs in links:
            theirs.send(masked(b"x"))
        place.reactor.process()
        quick.send(masked(b"asked in the middle"))
        place.serve()
        # Not behind the other 29, and they are all served.
        assert heard.index(b"asked in the middle") < 12 + 5
        assert heard.count(b"x") == 30


async def test_those_who_are_quick_do_not_take_all_turns_from_those_who_are_new() -> None:
    """Ten publishers of 0.2 ms that go on at once; a hundred others come meanwhile and say one word each."""
    heard: list[int] = []
    served = 0

    def hear(number: int, payload: bytes) -> None:
        heard.append(number)

    def publisher(theirs: list[socket.socket]) -> Any:
        def take(payload: bytes) -> None:
            nonlocal served
            served += 1
            until = time.perf_counter() + 0.0002
            while time.perf_counter() < until:
                pass
            theirs[0].send(masked(b"p"))

        return take

    with a_place() as place:
        for _ in range(10):
            theirs: list[socket.socket] = []
            _, ours = place.connect(Listener(publisher(theirs)))
            theirs.append(ours)
            ours.send(masked(b"p"))
        for _ in range(50):
            place.reactor.process()
        for number in range(100):
            _, new = place.connect(Listener(functools.partial(hear, number)))
            new.send(masked(b"n"))
        before, turns = served, 0
        while len(heard) < 100 and turns < 1_000:
            place.reactor.process()
            turns += 1
        # Served in the order in which they ask, ten publishers would have had about ten to thirty.
        assert served - before < 100


async def test_what_a_link_sends_keeps_its_order_though_it_is_served_out_of_turn_and_in_its_turn() -> None:
    heard: list[int] = []

    def spin(seconds: float) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass

    def hear(payload: bytes) -> None:
        heard.append(int(payload))
        spin(0.0002)

    def busy(payload: bytes) -> None:
        # Comes while its first messages wait in user space, and the kernel has named it for this round.
        quick.send(masked(b"%d" % next(numbers)))
        spin(0.002)

    numbers = iter(range(10_000))
    with a_place() as place:
        before = [place.connect(Listener(busy))[1] for _ in range(10)]
        _, quick = place.connect(Listener(hear))
        behind = [place.connect(Listener(busy))[1] for _ in range(10)]
        for _ in range(12):
            quick.send(masked(b"%d" % next(numbers)))
            place.serve()
        for _ in range(5):
            for theirs in before:
                theirs.send(masked(b"x"))
            quick.send(b"".join(masked(b"%d" % next(numbers)) for _ in range(20)))
            for theirs in behind:
                theirs.send(masked(b"x"))
            place.serve()
        assert heard == list(range(len(heard)))
        assert len(heard) == 12 + 5 * 40


async def test_a_link_that_is_new_or_costs_much_has_no_way_around_the_round() -> None:
    def busy(payload: bytes) -> None:
        heard.append(payload)
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass

    heard: list[bytes] = []
    with a_place() as place:
        links = [place.connect(Listener(busy))[1] for _ in range(20)]
        _, new = place.connect(Listener(heard.append))
        _, heavy = place.connect(Listener(busy))
        for _ in range(12):
            heavy.send(masked(b"."))
            place.serve()
        for theirs in links:
            theirs.send(masked(b"x"))
        place.reactor.process()
        new.send(masked(b"new"))
        heavy.send(masked(b"heavy"))
        place.serve()
        assert min(heard.index(b"new"), heard.index(b"heavy")) == 12 + 20


async def test_a_turn_ends_by_time_though_each_link_stops_reading_at_once() -> None:
    # The clock was not looked at when a link was paused: 90 that had used up their rate were one turn of 150 ms.
    with a_place() as place:
        heard: list[bytes] = []

        def busy(payload: bytes) -> None:
            heard.append(payload)
            links[len(heard) - 1].pause()
            until = time.perf_counter() + 0.002
            while time.perf_counter() < until:
                pass

        receivers = [Listener(busy) for _ in range(20)]
        pairs = [place.connect(receiver) for receiver in receivers]
        links = [link for link, _ in pairs]
        for _, theirs in pairs:
            theirs.send(masked(b"x"))
        place.reactor.process()
        assert len(heard) <= 2
        place.serve()
        assert len(heard) == 20


async def test_what_came_before_a_bare_connection_began_is_received_first() -> None:
    with a_place() as place:
        receiver = Listener()
        ours, theirs = socket.socketpair()
        link = place.reactor.attach(ours.detach(), b"", PACKETS)
        link.begin(receiver, b"early")
        theirs.send(b"late")
        place.serve()
        assert receiver.heard == [b"early", b"late"]
        theirs.close()


async def test_pieces_of_large_messages_end_the_turn_by_time_too() -> None:
    with a_place(Limits(frame_bytes=10_000_000)) as place:
        message = masked(bytes(1_000_000))
        pairs = [place.connect() for _ in range(200)]
        for _, theirs in pairs:
            theirs.send(message[:20_480])
        # Who brings much is asked for more each time.
        while any(link.bytes_in < 20_480 for link, _ in pairs):
            place.reactor.process()
        for _, theirs in pairs:
            theirs.send(message[20_480:150_000])
        place.reactor.process()
        # 64 KiB of each take 3 ms on a fast machine; without a look at the clock all 200 were served.
        assert 0 < sum(link.bytes_in > 20_480 for link, _ in pairs) < 200


async def test_who_brings_more_than_is_taken_is_asked_for_little_at_once() -> None:
    with a_place(Limits(frame_bytes=10_000_000)) as place:
        uploading, theirs = place.connect()
        theirs.send(masked(bytes(1_000_000))[:150_000])
        sizes = []
        for _ in range(5):
            before = uploading.bytes_in
            place.reactor.process()
            sizes.append(uploading.bytes_in - before)
        # What is taken whole is asked for in ever larger pieces.
        assert sizes == [4_096, 16_384, 65_536, 63_984, 0]

        flooding, theirs = place.connect(Listener(lambda _: flooding.pause()))
        theirs.send(masked(b"x" * 100) * 1_000)
        place.reactor.process()
        assert flooding.bytes_in == 4_096


async def test_bytes_left_in_user_space_are_served_though_the_kernel_names_them_no_more() -> None:
    with a_place() as place:
        receiver = Listener()
        _, theirs = place.connect(receiver)
        theirs.send(b"".join(masked(b"%d" % number) for number in range(1_000)))
        async with asyncio.timeout(5):
            while len(receiver.heard) < 1_000:  # noqa: ASYNC110 - turn by turn
                # By the loop alone, which watches nothing but the epoll set.
                await asyncio.sleep(0)
        assert receiver.heard == [b"%d" % number for number in range(1_000)]


# --- Slices ----------------------------------------------------------------------------------------------------------


async def test_a_large_fan_out_is_written_in_slices_in_order_and_nothing_is_read_before_its_end() -> None:
    with a_place() as place:
        audience = NativeAudience()
        speaker, talks = Listener(), place.connect()
        peers = []
        for _ in range(SLICE + 100):
            link, theirs = place.connect()
            audience.add(link)
            peers.append((link, theirs))
        talks[0].receiver = speaker
        place.serve()
        talks[1].send(masked(b"hello"))
        assert audience.publish(frame(b"one")) == SLICE + 100
        audience.publish(frame(b"two"))
        place.reactor.process()
        written = [number for number, (link, _) in enumerate(peers) if not link.queued_bytes]
        # Or fewer, if the machine is slow: a slice ends by time too.
        assert 16 <= len(written) <= SLICE
        assert speaker.heard == []
        # Who goes in between is written to no more, and nobody else is.
        last_link, last = peers[-1]
        last_link.abort()
        audience.discard(last_link)
        place.serve()
        assert speaker.heard == [b"hello"]
        assert all(read_all(theirs) == on_the_wire(b"one", b"two") for _, theirs in peers[:-1])
        assert read_all(last) == b""
        assert is_ended(last)


async def test_what_a_turn_sends_is_written_at_its_end() -> None:
    with a_place() as place:
        link, theirs = place.connect()
        for number in range(64):
            link.send(frame(b"%d" % number))
        assert read_all(theirs) == b""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert read_all(theirs) == on_the_wire(*[b"%d" % number for number in range(64)])


async def test_a_batch_window_lets_frames_wait_for_company() -> None:
    with a_place(batch_window_s=0.05) as place:
        link, theirs = place.connect()
        link.send(frame(b"one"))
        for _ in range(3):
            await asyncio.sleep(0)
        place.reactor.process()
        assert read_all(theirs) == b""
        link.send(frame(b"two"))
        async with asyncio.timeout(5):
            while not (received := read_all(theirs)):  # noqa: ASYNC110 - a plain socket tells nobody
                await asyncio.sleep(0.01)
        assert received == on_the_wire(b"one", b"two")


async def test_the_kernel_is_asked_for_writability_only_while_a_link_waits_for_it() -> None:
    with a_place(Limits(send_queue_bytes=10_000_000)) as place:
        link, theirs = place.connect()
        (descriptor,) = place.watched()

        def asked() -> int:
            return place.watched()[descriptor] & (EPOLLIN | EPOLLOUT)

        link.send(frame(b"small"))
        place.serve()
        assert asked() == EPOLLIN
        content = os.urandom(4_000_000)
        link.send(frame(content))
        place.reactor.process()
        assert asked() == EPOLLIN | EPOLLOUT
        received = bytearray()
        while link.queued_bytes:
            received += read_all(theirs)
            place.reactor.process()
        received += read_all(theirs)
        assert received == on_the_wire(b"small", content)
        assert asked() == EPOLLIN
        link.pause()
        assert asked() == 0
        link.resume()
        assert asked() == EPOLLIN
