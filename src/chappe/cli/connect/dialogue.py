"""Hold one conversation: a lifeline below, a talk in the middle, a view above."""

import asyncio
import datetime
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from chappe.cli.connect import slash
from chappe.cli.connect.happenings import Happening, Kind
from chappe.cli.connect.status import Status
from chappe.cli.connect.talk import Frame, Talk
from chappe.cli.connect.views import View
from chappe.cli.texts import T
from chappe.client.connection import Connection
from chappe.client.errors import ClientClosed, ConnectionLost
from chappe.client.events import Events
from chappe.client.lifeline import Lifeline
from chappe.client.options import Settings
from chappe.client.reconnection import State
from chappe.model.errors import ChappeError

#: Closes after which nothing is wrong and nobody need come back: normal, and without a code (RFC 6455, 7.4.1).
NORMAL_CODES = frozenset({1000, 1005})
#: What else is no failure for whoever does not want to reconnect: the server goes away and says so.
CLEAN_CODES = NORMAL_CODES | {1001}
#: Largest file sent as one frame; what the hub takes in its classic protocol.
FILE_BYTES = 16 * 1_048_576


class Dialogue:
    """Converse with a server over one connection after the other.

    Call `open` first, `close` last. `lifeline` calls `converse`, `lost` and `ended`.

    Attributes:
        status: what the state line shows.
        over: set when there will be no further connection unless `open` is called again.
        failure: why the last connection ended, or None if it ended cleanly.
    """

    def __init__(self, settings: Settings, talk: Talk, view: View, *, attempts: int) -> None:
        self.status = Status(settings.url.partition("?")[0])
        self.over = asyncio.Event()
        self.failure: ChappeError | None = None
        self._moved = asyncio.Event()
        self._reconnects = attempts != 0
        # The client's 0 is "for ever", which is -1 here: in a command line 0 reads as none.
        self._settings = replace(settings, max_attempts=max(attempts, 0))
        self._talk, self._view = talk, view
        self._lifeline: Lifeline | None = None
        self._connection: Connection | None = None
        self._was_connected = False
        self._goodbye = 1000, ""

    # --- for the person or the pipe ---

    async def open(self) -> bool:
        """Connect for the first time or again; return whether it worked. What failed was shown."""
        self.over.clear()
        self.failure = None
        self.status.phase = "connecting"
        self._show("connecting", url=self.status.url)
        events = Events()
        events.on("reconnecting", self._reconnecting)
        events.on("latency", self._latency)
        events.on("gave_up", lambda: self._show("gave_up", reason=self.failure.reason if self.failure else ""))
        self._lifeline = Lifeline(self._settings, events, self)
        try:
            await self._lifeline.start()
        except ChappeError:
            return False
        return True

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection for good; nothing happens if there is none."""
        if self._lifeline is not None:
            self._goodbye = code, reason
            await self._lifeline.close(code, reason)

    async def say(self, text: str, *, patient: bool = False) -> None:
        """Send a line.

        Args:
            text: the line.
            patient: wait for a connection that is being made again; without it, tell that nothing was sent.
        """
        if patient and self._lifeline is not None:
            try:
                await self._lifeline.ready()
            except ChappeError:
                return
        for frame in self._talk.outgoing(text):
            await self._send(frame, shown=text)

    async def typed(self, line: str) -> bool:
        """Do what a typed line asks for; return False when the person wants to leave."""
        match slash.read(line):
            case None:
                pass
            case slash.Say(text):
                await self.say(text)
            case slash.SendBinary(data):
                await self._send(data, shown=data)
            case slash.SendFile(path):
                await self._send_file(path)
            case slash.Close(code, reason):
                await self.close(code, reason)
            case slash.Wrong(text):
                self.complain(text)
            case slash.Do(what):
                return await self._do(what)
        return True

    async def quiet(self, silence_s: float) -> None:
        """Wait until no frame went either way for so long; for ever if that is infinite."""
        while True:
            self._moved.clear()
            try:
                async with asyncio.timeout(None if math.isinf(silence_s) else silence_s):
                    await self._moved.wait()
            except TimeoutError:
                return

    def help(self) -> None:
        """Show the slash commands."""
        width = max(len(name) for name in slash.COMMANDS)
        for name, text in slash.COMMANDS.items():
            self.tell(f"{name:<{width}}  {text}")

    def tell(self, text: str) -> None:
        """Show a notice."""
        self._show("notice", text=text)

    def complain(self, text: str) -> None:
        """Show an error."""
        self._show("error", text=text)

    # --- for the lifeline ---

    async def converse(self, connection: Connection, accepted: Callable[[], None]) -> None:
        """Open the talk, then show what arrives until the connection is over."""
        self._connection = connection
        self._was_connected = True
        self.status.phase = "online"
        self._show("connected", protocol=connection.subprotocol or "", url=self.status.url)
        accepted()
        try:
            for frame in self._talk.opening():
                await connection.send(frame)
            while True:
                await self._take(await connection.receive(), connection)
        except ConnectionLost as lost:
            final = lost.final or not self._reconnects or lost.close_code in NORMAL_CODES
            raise ConnectionLost(lost.close_code, lost.reason, final=final) from lost

    def lost(self, error: ChappeError) -> None:
        """Show the end of a connection, or why an attempt failed."""
        self._connection = None
        clean = isinstance(error, ClientClosed) or (
            isinstance(error, ConnectionLost) and error.close_code in CLEAN_CODES
        )
        self.failure = None if clean and self._was_connected else error
        self.status.phase = "offline"
        if self._was_connected:
            ours = isinstance(error, ClientClosed)
            code, reason = self._goodbye if ours else (getattr(error, "close_code", 1006), error.reason)
            self._show("disconnected", code=code, reason=reason)
        else:
            self.complain(error.reason)
        self._was_connected = False

    def ended(self, error: ChappeError) -> None:
        """Learn that there will be no further connection."""
        self.over.set()

    # --- parts ---

    async def _take(self, frame: Frame, connection: Connection) -> None:
        self._count("received")
        for happening in self._talk.incoming(frame, _now()):
            self._view.show(happening)
        for answer in self._talk.answers(frame):
            await connection.send(answer)

    async def _send(self, frame: Frame, *, shown: Frame) -> None:
        if self._connection is None:
            offline = self._lifeline is None or self._lifeline.state is State.ENDED
            self.complain(T["said_offline"] if offline else T["said_not_open"])
            return
        try:
            await self._connection.send(frame)
        except ConnectionLost as lost:
            self.complain(lost.reason)
            return
        self._count("sent")
        if isinstance(shown, bytes):
            self._show("sent", data=shown)
        else:
            self._show("sent", text=shown)

    async def _send_file(self, path: str) -> None:
        try:
            data = await asyncio.to_thread(_read_file, path)
        except OSError as error:
            self.complain(T["cannot_read"].format(path=path, reason=error.strerror or error))
            return
        if data is None:
            self.complain(T["slash_too_large"].format(path=path, limit=FILE_BYTES))
            return
        await self._send(data, shown=data)

    async def _do(self, what: str) -> bool:
        match what:
            case "quit":
                return False
            case "help":
                self.help()
            case "ping":
                await self._ping()
            case "open" if not self.over.is_set():
                self.complain(T["slash_already_open"])
            case "open":
                await self.open()
            case "pretty":
                self._view.pretty = not self._view.pretty
        return True

    async def _ping(self) -> None:
        if self._connection is None:
            self.complain(T["said_offline"])
            return
        try:
            latency_s = await self._connection.ping(self._settings.pong_timeout_s)
        except (TimeoutError, ConnectionLost):
            latency_s = None
        if latency_s is None:
            self.complain(T["said_no_pong"])
            return
        self.status.latency_ms = latency_s * 1000
        self._show("pong", latency_ms=round(latency_s * 1000, 3))

    def _reconnecting(self, n: int, of: int) -> None:
        self.status.phase, self.status.n, self.status.of = "waiting", n, of
        self._show("reconnecting", n=n, of=of)

    def _latency(self, ms: float) -> None:
        self.status.latency_ms = ms

    def _count(self, what: str) -> None:
        self._moved.set()
        if what == "sent":
            self.status.sent += 1
        else:
            self.status.received += 1

    def _show(self, kind: Kind, **fields: object) -> None:
        self._view.show(Happening(kind=kind, time=_now(), **fields))  # type: ignore[arg-type]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _read_file(path: str) -> bytes | None:
    """Return a file's content, or None if it does not fit in one frame."""
    with Path(path).expanduser().open("rb") as file:
        data = file.read(FILE_BYTES + 1)
    return data if len(data) <= FILE_BYTES else None
