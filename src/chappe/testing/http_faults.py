"""What proxies on the way do to HTTP: refuse and forget upgrades, hold bodies back, lose answers.

No I/O: `Conversation` is told what came from either side and says what goes where. Only heads are read, and lengths, to
know where a message ends. What is no HTTP/1, and what follows an upgrade, passes untouched.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

#: A buffering proxy lets a body go when so much of it waits, as nginx does with its default buffers.
BUFFERED_BYTES: Final = 65_536
#: Longer heads than any server takes are none.
_HEAD_BYTES: Final = 65_536
_METHODS: Final = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"PATCH ", b"DELETE ", b"OPTIONS ")
_REQUEST_LINE: Final = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.[01]")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |$)")
_WITHOUT_BODY: Final = (204, 304)
_SWITCHING: Final = 101
_FINAL: Final = 200


class HttpFaults:
    """What a proxy does to HTTP; each request asks anew.

    Attributes:
        refuse_upgrade: answer this status to requests for a WebSocket, and pass everything else, on the same connection
            too: 403 and 502 are what proxies say, 400 and 426 what a server says whose proxy forgot the headers.
        drop_upgrade: take `Upgrade` and `Connection` off requests for a WebSocket: the server sees a plain GET.
        buffering: hold the body of each answer that begins from now on until it is whole or 64 KiB wait, whatever its
            headers ask for. The head passes at once; what waits at 64 KiB passes together.
        lost_responses: so many so far.
    """

    def __init__(self) -> None:
        self.refuse_upgrade: int | None = None
        self.drop_upgrade = False
        self.buffering = False
        self.lost_responses = 0
        self._to_lose: list[tuple[str, str]] = []

    def lose_response(self, path: str, count: int = 1, *, method: str | None = None) -> None:
        """Lose the answers to the next requests for a path.

        The server gets each of them and answers; when its answer is complete the connection is cut, and the client
        has seen nothing of it. An answer without an end, such as a stream, is only held.

        Args:
            path: without its query; `/poll` is `/poll?since=1` too.
            count: so many requests.
            method: only those with this one, such as `POST`.
        """
        self._to_lose += [(path, method or "")] * count

    def loses(self, method: str, target: str) -> bool:
        """Return whether the answer to this request is to be lost, which is then one less to lose."""
        path = target.partition("?")[0]
        for wanted in self._to_lose:
            if wanted[0] == path and wanted[1] in ("", method):
                self._to_lose.remove(wanted)
                return True
        return False


@dataclass(frozen=True)
class Passage:
    """What to do about the bytes that came.

    Attributes:
        to_server: send these.
        to_client: send these.
        cut: then end both sides.
    """

    to_server: bytes = b""
    to_client: bytes = b""
    cut: bool = False


class Conversation:
    """One connection, one exchange after the other; requests sent ahead wait for their turn."""

    def __init__(self, faults: HttpFaults) -> None:
        self._faults = faults
        self._opaque = False
        self._requests = bytearray()
        self._answers = bytearray()
        self._request: _Body | None = None
        self._exchange: _Exchange | None = None
        self._to_server = bytearray()
        self._to_client = bytearray()
        self._cut = False

    def from_client(self, data: bytes) -> Passage:
        """Take what the client sent; b"" is its end."""
        if self._opaque:
            return Passage(to_server=data)
        self._requests += data
        if not data:
            self._give_up()
        self._advance()
        return self._passage()

    def from_server(self, data: bytes) -> Passage:
        """Take what the server sent; b"" is its end."""
        if self._opaque:
            return Passage(to_client=data)
        if not data and self._exchange is not None:
            self._end_of_answers(self._exchange)
        self._answers += data
        self._advance()
        return self._passage()

    def _passage(self) -> Passage:
        passage = Passage(bytes(self._to_server), bytes(self._to_client), self._cut)
        self._to_server.clear()
        self._to_client.clear()
        return passage

    def _advance(self) -> None:
        while not self._opaque and (self._read_requests() or self._read_answers()):
            pass
        if self._opaque:
            self._to_server += _all_of(self._requests)
            self._to_client += _all_of(self._answers)

    def _read_requests(self) -> bool:
        """Return whether there was anything to do."""
        if self._request is not None:
            taken = self._request.take(self._requests)
            if self._exchange is not None:
                self._to_server += taken
            if not self._request.ended:
                return bool(taken)
            self._request = None
            self._end_exchange()
            return True
        if self._exchange is not None or not self._requests:
            return False
        if not _begins_like_a_request(self._requests):
            self._give_up()
            return False
        head = _take_head(self._requests)
        if head is None:
            return False
        self._begin_exchange(head)
        return True

    def _begin_exchange(self, head: bytes) -> None:
        line = _REQUEST_LINE.fullmatch(head.partition(b"\r\n")[0])
        if line is None:
            self._to_server += head
            self._give_up()
            return
        self._request = _Body(*_length(head, without=0))
        upgrade = _header(head, b"upgrade").lower() == b"websocket"
        if upgrade and self._faults.refuse_upgrade is not None:
            self._to_client += _refusal(self._faults.refuse_upgrade)
            return
        if upgrade and self._faults.drop_upgrade:
            head = _without(head, (b"upgrade", b"connection"))
        method, target = line[1].decode(), line[2].decode("latin-1")
        self._exchange = _Exchange(method, self._faults.loses(method, target))
        self._to_server += head

    def _read_answers(self) -> bool:
        """Return whether there was anything to do."""
        if not self._answers:
            return False
        exchange = self._exchange
        if exchange is None:
            # A server that speaks first speaks something else.
            self._give_up()
            return False
        if exchange.body is not None:
            return self._read_body(exchange, exchange.body)
        head = _take_head(self._answers)
        if head is None:
            if len(self._answers) > _HEAD_BYTES:
                self._give_up()
            return False
        self._begin_answer(exchange, head)
        return True

    def _begin_answer(self, exchange: "_Exchange", head: bytes) -> None:
        line = _STATUS_LINE.match(head.partition(b"\r\n")[0])
        if not exchange.lost:
            self._to_client += head
        status = int(line[1]) if line else _SWITCHING
        if status == _SWITCHING:
            self._opaque = not exchange.lost
            self._cut = self._cut or exchange.lost
            self._faults.lost_responses += exchange.lost
        elif status >= _FINAL:
            bodiless = exchange.method == "HEAD" or status in _WITHOUT_BODY
            exchange.body = _Body(0) if bodiless else _Body(*_length(head, without=None))
            exchange.held = bytearray() if self._faults.buffering else None
            self._end_exchange()

    def _read_body(self, exchange: "_Exchange", body: "_Body") -> bool:
        taken = body.take(self._answers)
        if not exchange.lost:
            if exchange.held is None:
                self._to_client += taken
            else:
                exchange.held += taken
                if len(exchange.held) >= BUFFERED_BYTES or not self._faults.buffering:
                    self._to_client += _all_of(exchange.held)
        self._end_exchange()
        return bool(taken)

    def _end_exchange(self) -> None:
        """Begin anew once the request and its answer are complete."""
        exchange = self._exchange
        if exchange is None or exchange.body is None or not exchange.body.ended:
            return
        if exchange.lost:
            self._cut = True
            self._faults.lost_responses += 1
            exchange.lost = False
        if exchange.held:
            self._to_client += _all_of(exchange.held)
        if self._request is None:
            self._exchange = None

    def _end_of_answers(self, exchange: "_Exchange") -> None:
        """Let what was held go, unless it is lost: the server has ended."""
        if exchange.held:
            self._to_client += _all_of(exchange.held)
        if exchange.lost:
            self._cut = True
            self._faults.lost_responses += 1

    def _give_up(self) -> None:
        """Let everything pass from now on, except an answer that is on its way."""
        if self._exchange is None or not (self._exchange.lost or self._exchange.held):
            self._opaque = True


class _Exchange:
    """A request and its answer.

    Attributes:
        lost: the client shall not see the answer.
        body: of the answer, once its head has come.
        held: what a buffering proxy has of it; None if it does not buffer.
    """

    def __init__(self, method: str, lost: bool) -> None:
        self.method = method
        self.lost = lost
        self.body: _Body | None = None
        self.held: bytearray | None = None


class _Body:
    """Where a body ends: after so many bytes, with the last chunk, or (neither) with the connection."""

    def __init__(self, length: int | None, chunked: bool = False) -> None:
        self.ended = length == 0 and not chunked
        self._left = length
        self._chunked = chunked
        self._line = bytearray()
        #: In a chunk, the bytes up to the next line; in the trailer None.
        self._chunk: int | None = 0

    def take(self, data: bytearray) -> bytes:
        """Remove from `data` what belongs to the body and return it."""
        if self._chunked:
            size = self._chunks(data)
        elif self._left is None:
            size = len(data)
        else:
            size = min(self._left, len(data))
            self._left -= size
            self.ended = self._left == 0
        taken = bytes(data[:size])
        del data[:size]
        return taken

    def _chunks(self, data: bytearray) -> int:
        at = 0
        while at < len(data) and not self.ended:
            if self._chunk:
                size = min(self._chunk, len(data) - at)
                self._chunk -= size
                at += size
                continue
            end = data.find(b"\n", at) + 1 or len(data)
            self._line += data[at:end]
            at = end
            if self._line.endswith(b"\n"):
                self._end_line(_all_of(self._line).strip())
        return at

    def _end_line(self, line: bytes) -> None:
        if self._chunk is None:
            self.ended = not line
            return
        digits = re.match(rb"[0-9a-fA-F]+", line)
        size = int(digits[0], 16) if digits else 0
        # Behind each chunk comes the end of a line, which is not part of it.
        self._chunk = size + 2 if size else None


def _begins_like_a_request(data: bytearray) -> bool:
    line, ended, _ = data.partition(b"\r\n")
    if ended:
        return _REQUEST_LINE.fullmatch(line) is not None
    start = bytes(data[:8])
    return len(data) <= _HEAD_BYTES and any(start.startswith(method[: len(start)]) for method in _METHODS)


def _take_head(data: bytearray) -> bytes | None:
    """Remove a head with its empty line from `data` and return it, once it is there."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(data[: end + 4])
    del data[: end + 4]
    return head


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


def _without(head: bytes, names: tuple[bytes, ...]) -> bytes:
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in names)


def _length(head: bytes, *, without: int | None) -> tuple[int | None, bool]:
    """Return the length of the body and whether it comes in chunks; `without` is what no header at all means."""
    if _header(head, b"transfer-encoding").lower().endswith(b"chunked"):
        return None, True
    value = _header(head, b"content-length")
    return (int(value) if value.isdigit() else without), False


def _refusal(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Refused"
    body = f"<html><body><h1>{status} {phrase}</h1></body></html>\n"
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Cache-Control: no-store\r\n\r\n{body}".encode()


def _all_of(data: bytearray) -> bytes:
    taken = bytes(data)
    data.clear()
    return taken
