"""A TCP proxy that does to a connection what networks do."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from chappe.testing.fault_programme import Fate, FaultProgramme
from chappe.testing.http_faults import Conversation, HttpFaults, Passage

#: Bytes read at once, and chunks that may wait in each direction: little, so that a stall is soon felt by the sender.
_CHUNK_BYTES: Final = 16_384
_CHUNKS: Final = 4
#: A throttled lane writes this often a second.
_SLICES_PER_S: Final = 50
#: Switched on with no time to linger, a close becomes a reset.
_LINGER_NOTHING: Final = struct.pack("ii", 1, 0)


class Lane:
    """One direction of a connection.

    Attributes:
        delay_s: how much later bytes leave than they came.
        bytes_per_s: how many leave in a second; 0 is no limit.
        passed_bytes: how many left so far.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_bytes: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self.delay_s = 0.0
        self.bytes_per_s = 0
        self.passed_bytes = 0
        self.swallowing = False
        self._reader = reader
        self._writer = writer
        self._on_bytes = on_bytes
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS)

    def stall(self) -> None:
        """Let nothing through; the sender blocks when some hundred KiB wait."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let what waits and what comes through again."""
        self._flowing.set()

    async def put(self, data: bytes) -> None:
        """Send bytes after those that wait; b"" is the end. Blocks while the lane is full."""
        if not self.swallowing:
            await self._chunks.put((asyncio.get_running_loop().time() + self.delay_s, data))

    async def run(self) -> None:
        """Carry bytes until the sender ends, then tell the receiver; a lane that swallows tells nothing."""
        reading = asyncio.create_task(self._read())
        try:
            await self._write()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        data = b"-"
        while data:
            try:
                data = await self._reader.read(_CHUNK_BYTES)
            except OSError:
                data = b""
            if not self.swallowing:
                await self._on_bytes(data)

    async def _write(self) -> None:
        clock = asyncio.get_running_loop()
        while True:
            due, data = await self._chunks.get()
            await asyncio.sleep(max(due - clock.time(), 0.0))
            await self._flowing.wait()
            if self.swallowing:
                continue
            if not data:
                if self._writer.can_write_eof() and not self._writer.is_closing():
                    self._writer.write_eof()
                return
            await self._send(data)

    async def _send(self, data: bytes) -> None:
        while data:
            size = max(self.bytes_per_s // _SLICES_PER_S, 1) if self.bytes_per_s else len(data)
            part, data = data[:size], data[size:]
            self._writer.write(part)
            await self._writer.drain()
            self.passed_bytes += len(part)
            if self.bytes_per_s:
                await asyncio.sleep(len(part) / self.bytes_per_s)


class ProxiedConnection:
    """One connection through the proxy: `up` leads from the client to the server, `down` back."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        http: HttpFaults,
    ) -> None:
        self.up = Lane(client[0], server[1], self._take_from_client)
        self.down = Lane(server[0], client[1], self._take_from_server)
        self._conversation = Conversation(http)
        self._writers = (client[1], server[1])
        self._ended = asyncio.Event()

    def cut(self) -> None:
        """End both sides in order (FIN); what was sent before may still arrive."""
        for writer in self._writers:
            writer.close()
        self._ended.set()

    def reset(self) -> None:
        """End both sides at once (RST); what is on its way is lost."""
        for writer in self._writers:
            _reset(writer)
        self._ended.set()

    def stall(self) -> None:
        """Let nothing through in either direction; `Lane.stall` does it in one."""
        self.up.stall()
        self.down.stall()

    def resume(self) -> None:
        """Undo `stall`."""
        self.up.resume()
        self.down.resume()

    def half_open(self) -> None:
        """Swallow all bytes and the end of either side: each believes for ever that the other is there."""
        self.up.swallowing = self.down.swallowing = True
        self.resume()

    def throttle(self, bytes_per_s: int) -> None:
        """Let so many bytes a second through in each direction; 0 ends it."""
        self.up.bytes_per_s = self.down.bytes_per_s = bytes_per_s

    def delay(self, seconds: float) -> None:
        """Let bytes that come from now on leave later, in each direction."""
        self.up.delay_s = self.down.delay_s = seconds

    async def _take_from_client(self, data: bytes) -> None:
        await self._send(self._conversation.from_client(data))
        if not data:
            await self.up.put(b"")

    async def _take_from_server(self, data: bytes) -> None:
        await self._send(self._conversation.from_server(data))
        if not data:
            await self.down.put(b"")

    async def _send(self, passage: Passage) -> None:
        if passage.to_server:
            await self.up.put(passage.to_server)
        if passage.to_client:
            await self.down.put(passage.to_client)
        if passage.cut:
            self.cut()

    async def run(self) -> None:
        """Carry bytes until both sides ended or somebody cuts."""
        lanes = asyncio.gather(self.up.run(), self.down.run())
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait((lanes, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            lanes.cancel()
            ended.cancel()
            # Before anything is awaited: `stop` may cancel us even here.
            for writer in self._writers:
                writer.close()
            await asyncio.gather(lanes, ended, return_exceptions=True)


class FaultProxy(HttpFaults):
    """Listens on a port of its own, forwards to a server, and disturbs on demand.

    Use it as an async context manager, or call `start` and `stop`. The methods act on all connections of the moment;
    each of `connections` has the same ones. `delay_s` and `bytes_per_s` are also what new connections begin with.
    What `HttpFaults` adds, such as `refuse_upgrade`, goes for the next request of every connection.

    Attributes:
        port: where it listens, once started.
        refusing: new connections are reset at once, as if nobody listened.
        holding: new connections are accepted and go nowhere.
        accepted: connections so far.
    """

    def __init__(self, host: str, port: int, *, listen_host: str = "127.0.0.1") -> None:
        super().__init__()
        self.port = 0
        self.refusing = False
        self.holding = False
        self.accepted = 0
        self.delay_s = 0.0
        self.bytes_per_s = 0
        self._target = (host, port)
        self._listen_host = listen_host
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], ProxiedConnection | None] = {}
        self._programme: FaultProgramme | None = None
        self._fates: dict[ProxiedConnection, asyncio.TimerHandle] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, self._listen_host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def point_to(self, host: str, port: int) -> None:
        """Lead new connections to another server, as a load balancer would."""
        self._target = (host, port)

    @property
    def connections(self) -> list[ProxiedConnection]:
        """The open connections, oldest first."""
        return [connection for connection in self._connections.values() if connection is not None]

    def cut(self) -> None:
        """Cut all connections in order."""
        for connection in self.connections:
            connection.cut()

    def reset(self) -> None:
        """Reset all connections."""
        for connection in self.connections:
            connection.reset()

    def stall(self) -> None:
        """Let nothing through."""
        for connection in self.connections:
            connection.stall()

    def resume(self) -> None:
        """Undo `stall`."""
        for connection in self.connections:
            connection.resume()

    def half_open(self) -> None:
        """Leave both ends of all connections alone with each other."""
        for connection in self.connections:
            connection.half_open()

    def throttle(self, bytes_per_s: int) -> None:
        """Limit each direction of every connection, those to come included; 0 ends it."""
        self.bytes_per_s = bytes_per_s
        for connection in self.connections:
            connection.throttle(bytes_per_s)

    def delay(self, seconds: float) -> None:
        """Delay each direction of every connection, those to come included."""
        self.delay_s = seconds
        for connection in self.connections:
            connection.delay(seconds)

    def follow(self, programme: FaultProgramme | None) -> None:
        """Cut connections, those of the moment and those to come, as the programme decides; None ends it."""
        self._programme = programme
        for timer in self._fates.values():
            timer.cancel()
        self._fates.clear()
        for connection in self.connections:
            self._decide_about(connection)

    def _decide_about(self, connection: ProxiedConnection) -> None:
        if self._programme is not None:
            clock = asyncio.get_running_loop()
            fate = self._programme.fate()
            self._fates[connection] = clock.call_later(fate.lifetime_s, self._end, connection, fate, self._programme)

    def _end(self, connection: ProxiedConnection, fate: Fate, programme: FaultProgramme) -> None:
        programme.count_cut(asyncio.get_running_loop().time())
        if fate.reset:
            connection.reset()
        else:
            connection.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        self._connections[task] = None
        try:
            if self.refusing:
                _reset(writer)
            elif self.holding:
                await reader.read(-1)
            else:
                if self._programme is not None:
                    await asyncio.sleep(self._programme.offline_s(asyncio.get_running_loop().time()))
                await self._forward(task, reader, writer)
        except OSError:
            # Nobody listens behind us: the client shall see the same.
            _reset(writer)
        except asyncio.CancelledError:
            # Only `stop` cancels, and it waits for us; asyncio's own server would report a cancelled handler.
            pass
        finally:
            del self._connections[task]
            writer.close()

    async def _forward(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        server = await asyncio.open_connection(*self._target)
        connection = ProxiedConnection((reader, writer), server, self)
        connection.delay(self.delay_s)
        connection.throttle(self.bytes_per_s)
        self._connections[task] = connection
        self._decide_about(connection)
        try:
            await connection.run()
        finally:
            if connection in self._fates:
                self._fates.pop(connection).cancel()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None and not writer.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
    writer.transport.abort()
