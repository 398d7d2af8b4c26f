"""Those who ask for little are looked for while others are served, and nothing gets out of order by that."""

import asyncio
import functools
import itertools
import json
import random
import select
import socket
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

from chappe.model.frame import Frame
from chappe.transports.native import PACKETS, NativeLink
from chappe.wire.deflate import InflateError, compress, inflate
from chappe.wire.websocket import encode_frame
from tests.transports.native.place import Listener, Place, a_place, frame, is_ended, masked, on_the_wire, read_all

#: As in the reactor: messages after which it is known what a link costs.
KNOWN_MESSAGES = 10


def spin(seconds: float) -> None:
    """Make work."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def an_answering_link(
    place: Place, on_message: Callable[[bytes], None] | None = None
) -> tuple[NativeLink, socket.socket]:
    """Return a link that answers each message with itself and is known to cost little, and its peer's end."""

    def answer(payload: bytes) -> None:
        if on_message is not None:
            on_message(payload)
        link.send(frame(payload))

    link, theirs = place.connect(Listener(answer))
    for _ in range(KNOWN_MESSAGES + 2):
        theirs.send(masked(b"."))
        place.serve()
    read_all(theirs)
    return link, theirs


async def test_who_asks_for_little_is_answered_between_two_messages_of_one_that_asks_for_much() -> None:
    with a_place() as place:
        answers: list[bytes] = []

        def busy(payload: bytes) -> None:
            spin(0.0002)
            answers.append(read_all(quick))
            if payload == b"1":
                quick.send(masked(b"now?"))

        _, heavy = place.connect(Listener(busy))
        _, quick = an_answering_link(place)
        heavy.send(b"".join(masked(b"%d" % number) for number in range(4)))
        # In one turn, if the machine does nothing else in between.
        place.serve()
        # Asked within the second message, it has its answer before the third is done with.
        assert answers[:3] == [b"", b"", on_the_wire(b"now?")]


async def test_what_takes_long_elsewhere_lets_those_who_ask_for_little_have_a_turn() -> None:
    with a_place() as place:
        _, quick = an_answering_link(place)
        quick.send(masked(b"now?"))
        spin(0.0002)
        place.reactor.breathe()
        assert read_all(quick) == on_the_wire(b"now?")


async def test_within_a_tenth_of_a_millisecond_nobody_is_looked_for_again() -> None:
    with a_place() as place:
        asked = 0

        def again(payload: bytes) -> None:
            nonlocal asked
            if payload != b".":
                asked += 1
                quick.send(masked(b"again"))

        _, quick = an_answering_link(place, again)
        quick.send(masked(b"first"))
        began = time.monotonic()
        while asked < 100:
            place.reactor.breathe()
            read_all(quick)
        # Each look serves it once; without a pause in between a look takes a few us.
        assert time.monotonic() - began >= 99 * 0.0001


async def test_a_link_is_not_served_in_the_middle_of_its_own_message() -> None:
    with a_place() as place:
        heard: list[bytes] = []

        def nested(payload: bytes) -> None:
            if payload == b"1":
                # More comes while this one is not done with, and its carrier is looked for.
                theirs.send(masked(b"3"))
                spin(0.0002)
                place.reactor.breathe()
            heard.append(payload)

        _, theirs = place.connect(Listener(nested))
        for _ in range(KNOWN_MESSAGES + 2):
            theirs.send(masked(b"."))
            place.serve()
        heard.clear()
        theirs.send(masked(b"1") + masked(b"2"))
        place.serve()
        assert heard == [b"1", b"2", b"3"]


async def test_a_receiver_that_looks_within_a_look_gets_nowhere() -> None:
    with a_place() as place:

        def look(payload: bytes) -> None:
            spin(0.0002)
            place.reactor.breathe()

        _, one = an_answering_link(place, look)
        _, other = an_answering_link(place)
        one.send(masked(b"one"))
        other.send(masked(b"other"))
        spin(0.0002)
        place.reactor.breathe()
        place.serve()
        assert [read_all(one), read_all(other)] == [on_the_wire(b"one"), on_the_wire(b"other")]


async def test_a_link_that_is_ended_by_who_was_looked_for_hears_no_more() -> None:
    with a_place() as place:
        heard: list[bytes] = []

        def busy(payload: bytes) -> None:
            heard.append(payload)
            quick.send(masked(b"end it"))
            spin(0.0002)

        victim, theirs = place.connect(Listener(busy))
        _, quick = an_answering_link(place, lambda payload: victim.fail(1008, "ended") if payload != b"." else None)
        theirs.send(masked(b"1") + masked(b"2") + masked(b"3"))
        place.serve()
        assert heard == [b"1"]
        assert read_all(theirs).startswith(b"\x88")
        assert is_ended(theirs)


async def test_who_asks_for_much_waits_for_its_turn() -> None:
    with a_place() as place:
        order: list[str] = []
        asked: list[str] = []

        def busy(name: str, payload: bytes) -> None:
            spin(0.0008)
            if payload == b"now":
                other = {"one": "other", "other": "one"}[name]
                if not asked:
                    # Asked while this is not done with.
                    asked.append(other)
                    theirs[other].send(masked(b"now"))
                spin(0.0002)
                place.reactor.breathe()
                order.append(name)

        theirs = {name: place.connect(Listener(functools.partial(busy, name)))[1] for name in ("one", "other")}
        for _ in range(KNOWN_MESSAGES + 2):
            for each in theirs.values():
                each.send(masked(b"."))
            place.serve()
        theirs["one"].send(masked(b"now"))
        place.serve()
        assert order == ["one", "other"]


@pytest.mark.parametrize("greed", ["paused", "many"])
async def test_who_asks_for_more_than_is_taken_comes_behind_others_until_it_does_no_more(greed: str) -> None:
    with a_place() as place:
        receiver = Listener()
        greedy, theirs = place.connect(receiver)
        for _ in range(KNOWN_MESSAGES + 2):
            theirs.send(masked(b"."))
            place.serve()
        if greed == "paused":
            greedy.pause()
            greedy.resume()
        else:
            theirs.send(masked(b".") * 65)
            place.serve()

        def is_looked_for(payload: bytes) -> bool:
            theirs.send(masked(payload))
            spin(0.0002)
            place.reactor.breathe()
            found = receiver.heard[-1] == payload
            place.serve()
            assert receiver.heard[-1] == payload
            return found

        assert not is_looked_for(b"at once")
        for _ in range(20):
            theirs.send(masked(b"."))
            place.serve()
        assert is_looked_for(b"later")


async def test_beside_links_that_were_paused_others_need_not_wait_for_a_round_of_many_short_ones() -> None:
    with a_place() as place:
        served: list[bytes] = []

        def some(payload: bytes) -> None:
            spin(0.00003)
            served.append(read_all(quick))
            if len(served) == 2:
                quick.send(masked(b"now?"))

        _, quick = an_answering_link(place)
        greedy, _ = an_answering_link(place)
        many = [place.connect(Listener(some))[1] for _ in range(30)]
        greedy.pause()
        greedy.resume()
        for theirs in many:
            theirs.send(masked(b"x"))
        place.serve()
        # It is looked for every 0.1 ms; all of them together take 0.9 ms.
        assert on_the_wire(b"now?") in served[:20]


async def test_who_asks_for_much_every_other_time_counts_as_one_that_asks_for_much() -> None:
    with a_place() as place:
        heard: list[bytes] = []

        def take(payload: bytes) -> None:
            heard.append(payload)
            if payload == b"much":
                spin(0.002)

        _, theirs = place.connect(Listener(take))
        for number in range(40):
            theirs.send(masked(b"much" if number % 2 else b"."))
            place.serve()
        theirs.send(masked(b"now?"))
        spin(0.0002)
        place.reactor.breathe()
        assert heard[-1] != b"now?"


async def test_newcomers_do_not_wait_for_all_that_others_make_to_be_written() -> None:
    with a_place() as place:
        readers = [place.connect()[0] for _ in range(600)]
        heard: list[bytes] = []
        is_on = False

        def publish(payload: bytes) -> None:
            if is_on:
                news = frame(b"news")
                for reader in readers:
                    reader.send(news)
                theirs.send(masked(b"next"))

        _, theirs = place.connect(Listener(publish))
        greedy, _ = an_answering_link(place)
        for _ in range(KNOWN_MESSAGES + 2):
            theirs.send(masked(b"."))
            place.serve()
        _, newcomer = place.connect(Listener(heard.append))
        is_on = True
        theirs.send(masked(b"next"))
        greedy.pause()
        greedy.resume()
        for _ in range(5):
            place.reactor.process()
        newcomer.send(masked(b"here"))
        turns = 0
        while not heard:
            turns += 1
            assert turns < 50
            place.reactor.process()
        is_on = False


async def test_who_took_long_once_is_looked_for_again() -> None:
    with a_place() as place:
        _, quick = an_answering_link(place, lambda payload: spin(0.01) if payload == b"long" else None)
        quick.send(masked(b"long"))
        place.serve()
        assert read_all(quick) == on_the_wire(b"long")
        quick.send(masked(b"now?"))
        spin(0.02)
        place.reactor.breathe()
        assert read_all(quick) == on_the_wire(b"now?")


async def test_who_is_looked_for_gets_at_most_half_of_the_time() -> None:
    with a_place() as place:
        order: list[str] = []

        def busy(payload: bytes) -> None:
            order.append("heavy")
            spin(0.0003)

        def again(payload: bytes) -> None:
            if payload != b".":
                order.append("quick")
                spin(0.0001)
                asking[int(payload)].send(masked(payload))

        heavy = [place.connect(Listener(busy))[1] for _ in range(20)]
        asking = [an_answering_link(place, again)[1] for _ in range(10)]
        for number, theirs in enumerate(asking):
            theirs.send(masked(b"%d" % number))
        for theirs in heavy:
            theirs.send(masked(b"x"))
        while order.count("heavy") < 20:
            place.reactor.process()
        # The others took 6 ms, in which ten that ask again as soon as they are answered could have had 60 answers; on a
        # machine that does something else in between a few more.
        assert order.count("quick") <= 90


async def test_everybody_hears_everything_in_order_whoever_is_looked_for_and_when() -> None:
    for seed in range(10):
        chance = random.Random(seed)
        heard: dict[int, list[int]] = defaultdict(list)
        with a_place() as place:

            def take(place: Place, chance: random.Random, heard: list[int], payload: bytes) -> None:
                spin(chance.choice((0, 0, 0.00005, 0.0002)))
                if chance.random() < 0.5:
                    place.reactor.breathe()
                heard.append(int(payload))

            peers = [
                place.connect(Listener(functools.partial(take, place, chance, heard[number])))[1]
                for number in range(10)
            ]
            sent = [0] * len(peers)
            for _ in range(60):
                for number, theirs in enumerate(peers):
                    count = chance.choice((0, 1, 1, 5, 40))
                    theirs.send(b"".join(masked(b"%d" % (sent[number] + each)) for each in range(count)))
                    sent[number] += count
                for _ in range(chance.randint(0, 5)):
                    place.reactor.process()
            place.serve()
        assert heard == {number: list(range(count)) for number, count in enumerate(sent)}


async def test_several_messages_that_waited_for_their_turn_do_not_wait_for_all_others_in_turn() -> None:
    with a_place() as place:
        order: list[str] = []

        def heavy(payload: bytes) -> None:
            # As a batch of commands: it lets others breathe in between.
            for step in range(10):
                spin(0.0002)
                if len(order) == 2 and step == 7:
                    # The turn is over by then.
                    quick.send(masked(b"now?") * 6)
                place.reactor.breathe()
            order.append("heavy")

        def publish(payload: bytes) -> None:
            spin(0.00015)
            if payload != b".":
                order.append("quick")

        _, quick = an_answering_link(place, publish)
        many = [place.connect(Listener(heavy))[1] for _ in range(20)]
        for theirs in many:
            theirs.send(masked(b"x"))
        while order.count("heavy") < 20:
            place.reactor.process()
        # 0.9 ms of 40: in the middle of the first few.
        assert order.count("quick") == 6
        assert max(at for at, who in enumerate(order) if who == "quick") < 12


async def test_while_some_ask_for_more_than_is_taken_no_link_keeps_others_long() -> None:
    with a_place() as place:
        order: list[str] = []

        def some(name: str, payload: bytes) -> None:
            spin(0.00005)
            order.append(name)

        greedy, _ = an_answering_link(place)
        pairs = [place.connect(Listener(functools.partial(some, name))) for name in ("one", "other")]
        greedy.pause()
        greedy.resume()
        for _, theirs in pairs:
            theirs.send(masked(b"x") * 60)
        place.serve()
        assert Counter(order) == {"one": 60, "other": 60}
        # A quarter of a millisecond each is 5 of them.
        assert max(len(list(run)) for _, run in itertools.groupby(order)) <= 12


async def test_a_flood_of_short_messages_is_not_all_that_is_looked_for() -> None:
    with a_place() as place:
        flooded: list[bytes] = []
        before: list[int] = []

        def heavy(payload: bytes) -> None:
            for _ in range(10):
                spin(0.0002)
                place.reactor.breathe()

        def short(payload: bytes) -> None:
            spin(0.00002)
            flooded.append(payload)

        def publish(payload: bytes) -> None:
            spin(0.00015)
            if payload == b"now?":
                before.append(len(flooded))

        _, quick = an_answering_link(place, publish)
        flooding = [an_answering_link(place, short)[1] for _ in range(3)]
        greedy, _ = an_answering_link(place)
        many = [place.connect(Listener(heavy))[1] for _ in range(30)]
        flooded.clear()
        for theirs in flooding:
            theirs.send(masked(b"y" * 50) * 1_000)
        for theirs in many:
            theirs.send(masked(b"x"))
        greedy.pause()
        greedy.resume()
        for _ in range(5):
            place.reactor.process()
        known = len(flooded)
        quick.send(masked(b"now?"))
        while not before:
            greedy.pause()
            greedy.resume()
            place.reactor.process()
        # A look or two of them may come first, and what the first message of another lets them have.
        assert before[0] - known < 150
        place.serve(10_000)
        assert len(flooded) == 3_000


@pytest.mark.parametrize("answers", [False, True])
async def test_what_a_peer_said_before_it_went_is_heard_though_it_waits_for_its_turn(answers: bool) -> None:
    with a_place() as place:
        heard: list[bytes] = []

        def hear(payload: bytes) -> None:
            spin(0.00006)
            heard.append(payload)
            if answers:
                link.send(frame(payload))

        receiver = Listener(hear)
        link, theirs = place.connect(receiver)
        greedy, _ = an_answering_link(place)
        greedy.pause()
        greedy.resume()
        theirs.send(b"".join(masked(b"%d" % number) for number in range(40)))
        theirs.close()
        place.serve()
        assert heard == [b"%d" % number for number in range(40)]
        assert receiver.lost_with == [1006]
        assert link in place.gone


async def test_a_paused_link_that_is_ended_keeps_nobody_busy() -> None:
    with a_place() as place:
        link, theirs = place.connect(Listener(lambda _: link.pause()))
        theirs.send(masked(b"x") * 10)
        place.serve()
        link.fail(1008, "enough")
        theirs.send(masked(b"x") * 10)
        for _ in range(10):
            place.reactor.process()
        assert not place.reactor.has_more()
        assert not select.select([place.reactor.epfd], [], [], 0)[0]


async def test_of_a_bare_connection_a_look_takes_a_kilobyte() -> None:
    with a_place() as place:
        receiver = Listener()
        _, theirs = place.connect(receiver, PACKETS)
        for _ in range(KNOWN_MESSAGES + 2):
            theirs.send(b".")
            place.serve()
        receiver.heard.clear()
        theirs.send(bytes(4_000))
        spin(0.0002)
        place.reactor.breathe()
        assert [len(each) for each in receiver.heard] == [1_024]
        place.serve()
        assert sum(len(each) for each in receiver.heard) == 4_000


async def test_a_hub_that_waits_for_company_is_left_to_wait() -> None:
    with a_place(batch_window_s=0.005) as place:
        _, quick = an_answering_link(place)
        heavy = [place.connect(Listener(lambda payload: spin(0.002)))[1] for _ in range(3)]
        await asyncio.sleep(0.01)
        read_all(quick)
        for theirs in heavy:
            theirs.send(masked(b"x"))
        place.reactor.process()
        quick.send(masked(b"now?"))
        # In the middle of a long round it is served, but what it is answered waits for company.
        place.reactor.process()
        assert read_all(quick) == b""


async def test_a_hub_that_waits_for_company_does_not_breathe() -> None:
    with a_place(batch_window_s=0.005) as place:
        receiver = Listener()
        _, quick = place.connect(receiver)
        for _ in range(KNOWN_MESSAGES + 2):
            quick.send(masked(b"."))
            place.serve()
        quick.send(masked(b"now?"))
        spin(0.0002)
        place.reactor.breathe()
        assert receiver.heard[-1] == b"."
        place.serve()
        assert receiver.heard[-1] == b"now?"


async def test_who_asks_for_little_is_answered_while_an_answer_to_another_is_compressed() -> None:
    answers: list[bytes] = []

    def deflated(frame: Frame, breathe: Callable[[], None] | None = None) -> bytes:
        if breathe is not None:
            quick.send(masked(b"now?"))
            spin(0.0002)
            breathe()
            answers.append(read_all(quick))
        return encode_frame(b"small", False, True)

    with a_place(deflated=deflated) as place:
        _, quick = an_answering_link(place)
        heavy, theirs = place.connect(Listener(lambda payload: heavy.send_in_pieces(frame(payload))), inflate=inflate)
        theirs.send(masked(b"large"))
        place.serve()
        assert answers == [on_the_wire(b"now?")]
        assert read_all(theirs) == encode_frame(b"small", False, True)


@pytest.mark.parametrize("payload", [bytes(60_000), json.dumps([*range(11_000)]).encode()], ids=["zeros", "json"])
def test_a_large_message_is_deflated_to_the_same_bytes_in_pieces(payload: bytes) -> None:
    breaths: list[int] = []
    for size in (0, 1, 16_384, 16_385, 60_000):
        breaths.clear()
        assert compress(payload[:size], lambda: breaths.append(1)) == compress(payload[:size])
        assert len(breaths) == (-(-size // 16_384) if size > 16_384 else 0)


def test_a_large_message_is_inflated_in_pieces() -> None:
    breaths: list[int] = []
    for size in (1, 16_383, 16_384, 16_385, 49_152, 1_000_000):
        breaths.clear()
        assert inflate(compress(bytes(size)), 1_048_576, lambda: breaths.append(1)) == bytes(size)
        assert len(breaths) == (size - 1) // 16_384
    breaths.clear()
    with pytest.raises(InflateError, match="more than 65536 bytes"):
        inflate(compress(bytes(1_000_000)), 65_536, lambda: breaths.append(1))
    assert len(breaths) == 4


def test_what_is_large_and_no_smaller_compressed_is_not_copied_for_each_piece() -> None:
    noise = random.Random(1).randbytes(4 * 1_048_576)
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
    data = (deflater.compress(noise) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    breaths: list[int] = []
    assert inflate(data, 2**23, lambda: breaths.append(1)) == noise
    assert len(breaths) >= 256


@pytest.mark.parametrize("breathe", [None, lambda: None], ids=["whole", "pieces"])
def test_a_message_of_several_final_blocks_is_inflated_the_same_in_pieces(breathe: Callable[[], None] | None) -> None:
    def final(payload: bytes) -> bytes:
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        return deflater.compress(payload) + deflater.flush()

    noise = random.Random(1).randbytes(40_000)
    assert inflate(final(noise) + final(bytes(50_000)) + compress(b"!"), 2**20, breathe) == noise + bytes(50_000) + b"!"
    with pytest.raises(InflateError, match="breaks off"):
        inflate(compress(noise)[:-10], 2**20, breathe)
    with pytest.raises(InflateError, match="no deflated data"):
        inflate(noise, 2**20, breathe)
