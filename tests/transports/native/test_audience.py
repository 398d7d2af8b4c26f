"""The native audience against the plain one: whoever is in it gets a frame, once."""

import gc
import weakref
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.contracts import Link
from chappe.hub.fanout import LinkSet
from chappe.model.frame import Frame
from chappe.transports.native import SSE, NativeAudience
from tests.transports.native.place import a_place, frame, on_the_wire, read_all


class Foreign:
    """A link of another carrier."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, sent: Frame) -> None:
        self.sent.append(sent.payload)


actions = st.lists(
    st.tuples(st.sampled_from(["add", "discard", "publish"]), st.integers(0, 2), st.integers(0, 7)), max_size=60
)


@given(actions)
async def test_any_comings_and_goings_reach_the_same_links_as_the_plain_audience(
    steps: list[tuple[str, int, int]],
) -> None:
    with a_place() as place:
        links = [place.connect() for _ in range(6)]
        foreign = [Foreign(), Foreign()]
        everybody = [link for link, _ in links] + foreign
        native, plain = [NativeAudience() for _ in range(3)], [LinkSet() for _ in range(3)]
        expected: dict[int, list[bytes]] = {place: [] for place in range(8)}
        for step, (action, group, who) in enumerate(steps):
            link = everybody[who]
            if action == "publish":
                payload = b"%d" % step
                reached = [number for number, each in enumerate(everybody) if each in plain[group]._links]
                count = native[group].publish(frame(payload), cast(Link, link))
                assert count == len(reached) - (who in reached)
                for number in reached:
                    if number != who:
                        expected[number].append(payload)
            else:
                getattr(native[group], action)(link)
                getattr(plain[group], action)(link)
                assert len(native[group]) == len(plain[group])
        place.serve()
        for number, (_, theirs) in enumerate(links):
            assert read_all(theirs) == on_the_wire(*expected[number])
        assert [each.sent for each in foreign] == [expected[6], expected[7]]


async def test_each_carrier_gets_its_own_bytes_of_one_frame() -> None:
    with a_place() as place:
        audience = NativeAudience()
        websocket, stream = place.connect(), place.connect(None, SSE)
        audience.add(websocket[0])
        audience.add(stream[0])
        sent = frame(b"data: 1\n\n")
        audience.publish(sent)
        place.serve()
        assert read_all(websocket[1]) == on_the_wire(b"data: 1\n\n") == sent.websocket
        assert read_all(stream[1]) == b"9\r\ndata: 1\n\n\r\n" == sent.sse


async def test_an_audience_that_is_gone_leaves_its_links_a_home() -> None:
    with a_place() as place:
        link, theirs = place.connect()
        first, second = NativeAudience(), NativeAudience()
        first.add(link)
        second.add(link)
        gone = weakref.ref(first)
        del first
        gc.collect()
        assert gone() is None
        third = NativeAudience()
        third.add(link)
        second.publish(frame(b"2"))
        third.publish(frame(b"3"))
        third.discard(link)
        third.publish(frame(b"nobody"))
        place.serve()
        assert read_all(theirs) == on_the_wire(b"2", b"3")
