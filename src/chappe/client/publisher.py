"""Sends publications: in order, again over each new connection, and again when the hub said that it has no time."""

import asyncio
from collections.abc import Callable
from typing import Any

from chappe.client.errors import ConnectionLost
from chappe.client.exchange import Answer, Exchange, HubError
from chappe.client.messages import Codec, Reply
from chappe.client.outbox import Entry, Outbox
from chappe.model.errors import ChappeError, LocalProtocolError


class Publisher:
    """The publications of one client.

    Args:
        max_publications: how many may wait for their acknowledgement.
        codec: how the data in their fields is encoded, whatever a connection speaks.
        present: gives the exchange of the present connection, or None.
    """

    def __init__(self, max_publications: int, codec: Codec, present: Callable[[], Exchange | None]) -> None:
        self.outbox = Outbox(max_publications)
        self._codec = codec
        self._present = present
        self._pause: asyncio.TimerHandle | None = None

    async def publish(self, fields: dict[str, Any]) -> Reply:
        """Send a publication, and again over each new connection until the hub answers.

        Cancelled, it is not sent again; whether the hub has it is not known then.

        Raises:
            ChappeError: the hub's error, or there will be no connection.
            QueueFull: too many wait already; nothing was sent.
            Unconfirmed: sending it again could store it twice: there was no connection for too long, or we are
                somebody else to the hub since.
        """
        entry = self.outbox.add(fields)
        try:
            exchange = self._present()
            if exchange is not None and self._pause is None:
                entry.sent_at = asyncio.get_running_loop().time()
                self._post(exchange, entry)
            return await entry.answer
        finally:
            self.outbox.discard(entry)

    def restore(self, exchange: Exchange, *, known: bool) -> None:
        """Send over a new connection what has no answer, again only if the hub knows us (`Outbox.to_send`)."""
        self._end_pause()
        for entry in self.outbox.to_send(asyncio.get_running_loop().time(), known=known):
            self._post(exchange, entry)

    def resume(self) -> None:
        """Send what waits for the present connection."""
        self._end_pause()
        exchange = self._present()
        if exchange is not None:
            for entry in self.outbox.to_send_again():
                self._post(exchange, entry)

    def fail(self, error: ChappeError) -> None:
        """Tell every publisher that there will be no connection."""
        self._end_pause()
        self.outbox.fail(error)

    def _post(self, exchange: Exchange, entry: Entry) -> None:
        def answered(answer: Answer) -> None:
            after_s = answer.retry_after_s if isinstance(answer, HubError) else None
            if after_s is None:
                entry.answered(answer)
            else:
                entry.waits = True
                self._wait(after_s)

        try:
            data = exchange.codec.translated(entry.fields["data"], self._codec)
            exchange.post({**entry.fields, "data": data}, answered)
        except ConnectionLost:
            return  # it goes out over the next connection
        except ChappeError as full:
            entry.answered(full)
        except TypeError as error:
            entry.answered(LocalProtocolError(f"the data cannot be sent as JSON: {error}"))

    def _wait(self, seconds: float) -> None:
        """Send nothing for so long; what is published meanwhile stays behind what was refused."""
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(seconds, self.resume)

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
