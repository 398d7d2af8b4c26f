"""The client of a hub without async: the same names, called from any thread."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from chappe.client import client as asynchronous
from chappe.client import cursor, inbox, lock, messages, session, subscription, token
from chappe.client.client import History, Presence, PublishResult
from chappe.client.connection import Transport
from chappe.client.errors import ClientClosed
from chappe.client.options import HubOptions
from chappe.client.standing import OfflineReason, State
from chappe.model.errors import ChappeError, LocalProtocolError
from chappe.model.member import Member
from chappe.model.position import Position

T = TypeVar("T")
Listener = TypeVar("Listener", bound=Callable[..., object])


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # What is handed over after the loop's last work would wait for ever.
        self._gate = threading.Lock()
        self._closed = False
        # A daemon: a program that forgets to close its client ends all the same.
        self._thread = threading.Thread(target=self._loop.run_forever, name="chappe client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for its result; interrupted (Ctrl-C), it is cancelled.

        Raises:
            LocalProtocolError: called from a listener, which runs in the loop that would have to do the work.
            ClientClosed: the client was closed.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise LocalProtocolError("a listener cannot wait for its own client, hand the work to another thread")
        with self._gate:
            if self._closed:
                work.close()
                raise ClientClosed
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise ClientClosed from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what still waits, end the thread; closing twice is fine."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Subscription:
    """Publications of one channel or pattern: `with` subscribes, iterating waits for the next publication."""

    def __init__(self, loop: _Loop, inner: subscription.Subscription) -> None:
        self._loop = loop
        self._inner = inner

    @property
    def channel(self) -> str:
        """Return the channel or pattern."""
        return self._inner.channel

    @property
    def recovered(self) -> bool | None:
        """Return whether everything since the position asked for is there; None before the first answer."""
        return self._inner.recovered

    @property
    def position(self) -> Position | None:
        """Return the place after the last publication taken, for `since`."""
        return self._inner.position

    @property
    def missed(self) -> int:
        """Return how many publications were dropped at this reader, so far as they were counted."""
        return self._inner.missed

    @property
    def members(self) -> tuple[Member, ...]:
        """Return who is there, with `presence=True`."""
        return self._inner.members

    @property
    def count(self) -> int:
        """Return how many are there, with `presence=True`."""
        return self._inner.count

    @property
    def active(self) -> bool:
        """Tell whether the hub counts us as subscribed on the present connection."""
        return self._inner.active

    def __enter__(self) -> Self:
        self._loop.run(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unsubscribe()

    def __iter__(self) -> Iterator[messages.Publication]:
        return self

    def __next__(self) -> messages.Publication:
        try:
            return self._loop.run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def receive(self, timeout_s: float | None = None) -> messages.Publication | None:
        """Return the next publication, or None: there was none in time, or there will be none."""

        async def wait() -> messages.Publication | None:
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._inner.__anext__()
            except (TimeoutError, StopAsyncIteration):
                return None

        return self._loop.run(wait())

    def items(self) -> Iterator[inbox.Item]:
        """Iterate over everything in order: publications, `Resubscribed`, `Missed`, and who came and went."""
        iterator = self._inner.items()

        async def following() -> inbox.Item | None:
            return await anext(iterator, None)

        while (item := self._loop.run(following())) is not None:
            yield item

    def unsubscribe(self) -> None:
        """Leave the channel; publications already queued can still be iterated."""
        with suppress(ClientClosed):
            self._loop.run(self._inner.unsubscribe())


class HeldLock:
    """A lock to acquire: `with` holds it for the block, `acquire` until `unlock` or the end of its lease."""

    def __init__(self, loop: _Loop, inner: lock.LockRequest) -> None:
        self._loop = loop
        self._inner = inner

    def __enter__(self) -> lock.Lock:
        return self._loop.run(self._inner.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ClientClosed):
            self._loop.run(self._inner.__aexit__(kind, error, trace))

    def acquire(self) -> lock.Lock:
        """Acquire the lock.

        Raises:
            ChappeError: 118, another holds it; `detail` names the owner.
        """
        return self._loop.run(self._inner.__aenter__())


class Client:
    """`chappe.Client` without async: every method waits for its result. Usable from several threads at once.

    The connection lives in a thread of the client's. Listeners (`on`) are called in that thread: they must not block,
    and cannot call the client's own methods. Loops over subscriptions end when the client is closed.
    """

    def __init__(self, make: Callable[[], asynchronous.Client]) -> None:
        self._loop = _Loop()
        try:
            self._inner = self._loop.run(_call(make))
        except BaseException:
            self._loop.close()
            raise

    @property
    def state(self) -> State:
        """Return `connecting`, `live`, `catching-up`, `offline` or `refused`."""
        return self._inner.state

    @property
    def reason(self) -> OfflineReason | None:
        """Return why the state is `offline`, or None: our own doing."""
        return self._inner.reason

    @property
    def transport(self) -> Transport | None:
        """Return what carries the connection, or carried the last one; None before the first."""
        return self._inner.transport

    @property
    def error(self) -> ChappeError | None:
        """Return why there will be no further connection, or None."""
        return self._inner.error

    @property
    def info(self) -> session.SessionInfo | None:
        """Return what the hub said when it accepted us."""
        return self._inner.info

    @property
    def session(self) -> str | None:
        """Return our public session id."""
        return self._inner.session

    @property
    def unacknowledged(self) -> int:
        """Return how many publications the hub has not acknowledged."""
        return self._inner.unacknowledged

    def __enter__(self) -> Self:
        try:
            self._loop.run(self._inner.__aenter__())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def on(self, event: str, listener: Listener) -> Listener:
        """Call a listener at each event, in the client's thread."""
        return self._inner.on(event, listener)

    def off(self, event: str, listener: Callable[..., object]) -> None:
        """Stop calling a listener."""
        self._inner.off(event, listener)

    def subscribe(
        self,
        channel: str,
        *,
        since: cursor.Since = None,
        presence: bool = False,
        queue_size: int = 1024,
        overflow: subscription.Overflow = "recover",
    ) -> Subscription:
        """Make a subscription; `with` asks the hub for it."""

        async def make() -> subscription.Subscription:
            return self._inner.subscribe(
                channel, since=since, presence=presence, queue_size=queue_size, overflow=overflow
            )

        return Subscription(self._loop, self._loop.run(make()))

    def publish(
        self,
        channel: str,
        data: Any,
        *,
        key: str | None = None,
        expect: int | Position | PublishResult | None = None,
        retain: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> PublishResult:
        """Publish a value and wait until the hub has it, over as many connections as it takes."""
        return self._loop.run(
            self._inner.publish(channel, data, key=key, expect=expect, retain=retain, headers=headers)
        )

    def history(
        self, channel: str, *, limit: int = 100, since: Position | None = None, reverse: bool = False
    ) -> History:
        """Read publications, oldest first: after `since`, or without it the newest `limit`."""
        return self._loop.run(self._inner.history(channel, limit=limit, since=since, reverse=reverse))

    def presence(self, channel: str) -> Presence:
        """List who is in a channel."""
        return self._loop.run(self._inner.presence(channel))

    def lock(self, resource: str, *, ttl: float = 30.0, wait: float = 0.0) -> HeldLock:
        """Acquire a named lock: `with` holds it for the block, `.acquire()` until `unlock`. Seconds."""
        return HeldLock(self._loop, self._inner.lock(resource, ttl=ttl, wait=wait))

    def unlock(self, resource: str) -> None:
        """Release a lock."""
        self._loop.run(self._inner.unlock(resource))

    def call(self, method: str, /, **params: Any) -> Any:
        """Call a method of the application and return its result; never repeated."""
        return self._loop.run(self._inner.call(method, **params))

    def ping(self) -> float:
        """Measure a round trip through the hub, in milliseconds."""
        return self._loop.run(self._inner.ping())

    def refresh(self, token: str) -> None:
        """Hand over a newer token before the present one expires."""
        self._loop.run(self._inner.refresh(token))

    def background(self, on: bool) -> None:
        """Tell the hub whether nobody is looking, now and after each reconnect."""
        self._loop.run(self._inner.background(on))

    def redial(self) -> None:
        """Dial now instead of waiting for the next attempt."""

        async def redial() -> None:
            self._inner.redial()

        self._loop.run(redial())

    def wait_closed(self) -> None:
        """Wait until there will be no further connection; `error` says why."""
        with suppress(ClientClosed):
            self._loop.run(self._inner.wait_closed())

    def close(self) -> None:
        """Disconnect for good and end the thread; closing twice is fine."""
        try:
            self._loop.run(self._inner.close())
        except ClientClosed:
            return
        self._loop.close()


def connect(
    url: str,
    *,
    token: token.Token = None,
    name: str = "",
    encoding: messages.Encoding = "json",
    publish_queue: int = 1_000,
    command_timeout_s: float = 10.0,
    **options: Unpack[HubOptions],
) -> Client:
    """Make a client of a hub; `with` connects it. The arguments are those of `chappe.connect`."""
    return Client(
        lambda: asynchronous.connect(
            url,
            token=token,
            name=name,
            encoding=encoding,
            publish_queue=publish_queue,
            command_timeout_s=command_timeout_s,
            **options,
        )
    )


async def _call(make: Callable[[], T]) -> T:
    return make()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


__all__ = ["Client", "Subscription", "connect"]
