"""The faults of proxies that know HTTP: what goes where, whatever the split of the bytes."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.testing.http_faults import BUFFERED_BYTES, Conversation, HttpFaults

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: hub\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
GET = b"GET /poll?since=1 HTTP/1.1\r\nHost: hub\r\n\r\n"
POST = b"POST /poll HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_POST = (
    b"POST /poll HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;a=b\r\nabc\r\n2\r\n\r\n\r\n0\r\nTrailer: 1\r\n\r\n"
)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Wire:
    """A conversation and all that it passed."""

    def __init__(self, faults: HttpFaults, split: Callable[[bytes], Iterable[bytes]] = lambda data: [data]) -> None:
        self.conversation = Conversation(faults)
        self.server = b""
        self.client = b""
        self.cut = False
        self._split = split

    def ask(self, data: bytes) -> "Wire":
        for part in self._split(data):
            self._take(self.conversation.from_client, part)
        return self

    def answer(self, data: bytes) -> "Wire":
        for part in self._split(data):
            self._take(self.conversation.from_server, part)
        return self

    def end_of_server(self) -> "Wire":
        self._take(self.conversation.from_server, b"")
        return self

    def end_of_client(self) -> "Wire":
        self._take(self.conversation.from_client, b"")
        return self

    def _take(self, take: object, data: bytes) -> None:
        assert callable(take)
        passage = take(data)
        self.server += passage.to_server
        self.client += passage.to_client
        self.cut = self.cut or passage.cut


def splits(sizes: list[int]) -> Callable[[bytes], Iterable[bytes]]:
    """Return what splits bytes into parts of these sizes, over and over."""

    def split(data: bytes) -> Iterable[bytes]:
        at = number = 0
        while at < len(data):
            size = sizes[number % len(sizes)]
            yield data[at : at + size]
            at += size
            number += 1

    return split


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@given(SIZES)
def test_without_faults_every_byte_passes_whatever_the_split(sizes: list[int]) -> None:
    wire = Wire(HttpFaults(), splits(sizes))
    for request, answer in ((GET, ANSWER), (POST, CHUNKED), (CHUNKED_POST, NOTHING), (UPGRADE, SWITCHED)):
        assert wire.ask(request).answer(answer).cut is False
    wire.ask(b"\x81\x80GET ").answer(b"\x81\x00HTTP/1.1 ")
    assert wire.server == GET + POST + CHUNKED_POST + UPGRADE + b"\x81\x80GET "
    assert wire.client == ANSWER + CHUNKED + NOTHING + SWITCHED + b"\x81\x00HTTP/1.1 "


@given(SIZES, st.sampled_from([400, 403, 426, 502, 599]))
def test_an_upgrade_is_refused_and_all_else_passes_on_the_same_connection(sizes: list[int], status: int) -> None:
    faults = HttpFaults()
    faults.refuse_upgrade = status
    wire = Wire(faults, splits(sizes)).ask(GET).answer(ANSWER)
    refused = Wire(faults).ask(UPGRADE).client
    assert refused.startswith(f"HTTP/1.1 {status} ".encode())
    head, _, body = refused.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    wire.ask(UPGRADE + POST).answer(CHUNKED)
    assert wire.server == GET + POST
    assert wire.client == ANSWER + refused + CHUNKED


def test_another_upgrade_is_not_refused() -> None:
    faults = HttpFaults()
    faults.refuse_upgrade = 403
    request = UPGRADE.replace(b"WebSocket\r", b"h2c\r")
    assert Wire(faults).ask(request).server == request


@given(SIZES)
def test_a_dropped_upgrade_reaches_the_server_as_a_plain_request(sizes: list[int]) -> None:
    faults = HttpFaults()
    faults.drop_upgrade = True
    wire = Wire(faults, splits(sizes)).ask(UPGRADE).answer(ANSWER).ask(GET)
    assert wire.server == b"GET /ws HTTP/1.1\r\nHost: hub\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + GET
    assert wire.client == ANSWER


@given(SIZES, st.sampled_from([ANSWER, CHUNKED, NOTHING]))
def test_a_lost_answer_is_read_to_its_end_and_the_connection_cut(sizes: list[int], answer: bytes) -> None:
    faults = HttpFaults()
    faults.lose_response("/poll", method="POST")
    wire = Wire(faults, splits(sizes)).ask(GET).answer(ANSWER).ask(POST)
    wire.answer(answer[:-1])
    before = wire.cut
    wire.answer(answer[-1:])
    assert (before, wire.cut, wire.server, wire.client) == (False, True, GET + POST, ANSWER)
    assert faults.lost_responses == 1
    again = Wire(faults).ask(POST).answer(ANSWER)
    assert not again.cut


def test_answers_are_lost_as_often_as_was_asked_for_and_only_on_that_path() -> None:
    faults = HttpFaults()
    faults.lose_response("/poll", 2)
    other = Wire(faults).ask(GET.replace(b"/poll", b"/polls")).answer(ANSWER)
    assert not other.cut
    assert [Wire(faults).ask(GET).answer(ANSWER).cut for _ in range(3)] == [True, True, False]


def test_an_answer_that_ends_with_its_connection_is_lost_too_and_counts_once() -> None:
    faults = HttpFaults()
    faults.lose_response("/poll")
    wire = Wire(faults).ask(GET).answer(STREAM_HEAD + b"data: 1\n\n")
    assert wire.client == b""
    wire.end_of_server()
    assert (wire.cut, wire.client, faults.lost_responses) == (True, b"", 1)


def test_a_lost_upgrade_is_cut_once_the_server_has_switched() -> None:
    faults = HttpFaults()
    faults.lose_response("/ws")
    wire = Wire(faults).ask(UPGRADE).answer(SWITCHED + b"\x81\x00")
    assert (wire.cut, wire.client, faults.lost_responses) == (True, b"", 1)


def test_a_buffering_proxy_passes_the_head_and_holds_a_stream_back_until_64_kib_wait() -> None:
    faults = HttpFaults()
    faults.buffering = True
    event = b"data: " + b"x" * 1_000 + b"\n\n"
    wire = Wire(faults).ask(GET).answer(STREAM_HEAD + event)
    assert wire.client == STREAM_HEAD
    sent = 1
    while wire.client == STREAM_HEAD:
        wire.answer(event)
        sent += 1
    assert sent * len(event) >= BUFFERED_BYTES > (sent - 1) * len(event)
    assert wire.client == STREAM_HEAD + event * sent
    wire.answer(event).end_of_server()
    assert wire.client == STREAM_HEAD + event * (sent + 1)


@given(SIZES, st.sampled_from([ANSWER, CHUNKED, NOTHING]))
def test_a_buffering_proxy_passes_an_answer_once_it_is_whole(sizes: list[int], answer: bytes) -> None:
    faults = HttpFaults()
    faults.buffering = True
    head = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    wire = Wire(faults, splits(sizes)).ask(GET).answer(answer[:-1])
    assert wire.client in (head, b"")
    assert wire.answer(answer[-1:]).client == answer


def test_what_was_held_passes_when_the_buffering_ends() -> None:
    faults = HttpFaults()
    faults.buffering = True
    wire = Wire(faults).ask(GET).answer(STREAM_HEAD + b"data: 1\n\n")
    faults.buffering = False
    assert wire.answer(b"data: 2\n\n").client == STREAM_HEAD + b"data: 1\n\ndata: 2\n\n"


def test_requests_sent_ahead_wait_for_their_turn() -> None:
    faults = HttpFaults()
    faults.refuse_upgrade = 403
    wire = Wire(faults).ask(GET + UPGRADE + POST)
    assert (wire.server, wire.client) == (GET, b"")
    wire.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" + ANSWER)
    assert wire.server == GET + POST
    assert wire.client.startswith(b"HTTP/1.1 103 Early Hints\r\n\r\n" + ANSWER + b"HTTP/1.1 403 ")


def test_the_answer_to_head_has_no_body() -> None:
    head = ANSWER[:-4]
    wire = Wire(HttpFaults()).ask(GET.replace(b"GET", b"HEAD")).answer(head).ask(GET).answer(ANSWER)
    assert wire.client == head + ANSWER


@pytest.mark.parametrize("data", [b"hello", b"\x10\x0c\x00\x04MQTT", b"\x16\x03\x01", b"GET THIS\r\n", b"POST\n"])
@given(sizes=SIZES)
def test_what_is_no_http_passes_at_once(data: bytes, sizes: list[int]) -> None:
    faults = HttpFaults()
    faults.buffering, faults.refuse_upgrade = True, 403
    wire = Wire(faults, splits(sizes)).ask(data).answer(data).ask(UPGRADE)
    assert (wire.server, wire.client) == (data + UPGRADE, data)


def test_a_server_that_speaks_first_speaks_no_http() -> None:
    wire = Wire(HttpFaults()).answer(b"INFO {}\r\n").ask(GET)
    assert (wire.server, wire.client) == (GET, b"INFO {}\r\n")


def test_half_a_head_passes_when_the_client_ends() -> None:
    assert Wire(HttpFaults()).ask(GET[:20]).end_of_client().server == GET[:20]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60))), st.booleans())
def test_any_bytes_at_all_only_pass_or_wait(parts: list[tuple[bool, bytes]], buffering: bool) -> None:
    faults = HttpFaults()
    faults.buffering = buffering
    wire = Wire(faults)
    for from_client, data in parts:
        wire.ask(data) if from_client else wire.answer(data)
    wire.end_of_client().end_of_server()
    sent = [b"".join(data for side, data in parts if side is wanted) for wanted in (True, False)]
    assert sent[0].startswith(wire.server)
    assert sent[1].startswith(wire.client)
