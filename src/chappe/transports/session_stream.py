"""A stream that reads the mailbox of a session (spec/protocol.md, PO-8)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from chappe.hub.session import Session
from chappe.model.frame import Bundle, Frame
from chappe.protocols.sse import EventFrame, MessageFrame, event, name_of
from chappe.transports.poll_link import Mailbox
from chappe.transports.sse_stream import Carrier, answer_of, close_event, retry_ms


class SessionStream:
    """One reader of a mailbox: everything that waits and everything from then on, as events."""

    def __init__(self, mailbox: Mailbox, replies: Mapping[str, Any] | None) -> None:
        """Take what the channels of the request answered; None for a stream that has begun already."""
        self._mailbox = mailbox
        self._replies = replies
        self._carrier: Carrier | None = None

    @classmethod
    def going_on(cls, mailbox: Mailbox, carrier: Carrier) -> "SessionStream":
        """Return a stream over a connection on which one has begun already."""
        stream = cls(mailbox, None)
        stream._carrier = carrier
        return stream

    @property
    def session(self) -> Session:
        """Whose mailbox is read."""
        return self._mailbox.session

    def attach(self, carrier: Carrier) -> None:
        """Send what waits over a connection, and from here on everything."""
        self._carrier = carrier
        mailbox = self._mailbox
        if mailbox.closing:
            carrier.close(1000)
            return
        carrier.begin(mailbox.session)
        waiting = mailbox.read_by(self)
        frames = [self._first_event()] if self._replies is not None else []
        frames += [self._event(frame) for frame in waiting]
        if frames:
            # In one piece, as a recovered gap always goes: the reader could take nothing of it yet.
            carrier.send(Bundle.of(frames))

    def abandon(self) -> None:
        """Learn that the reader went away before its connection was there: the session waits for the next one."""
        self._mailbox.unread()

    # --- Reader of the mailbox ---------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Pass a frame on as an event."""
        assert self._carrier is not None
        if isinstance(frame, Bundle):
            self._carrier.send(Bundle.of([self._event(part) for part in frame.frames]))
        else:
            self._carrier.send(self._event(frame))

    def close(self, code: int, reason: str) -> None:
        """Say how the session ended, and end."""
        assert self._carrier is not None
        self._carrier.send(close_event(code, reason))
        self._carrier.close(code, reason)

    def displaced(self) -> None:
        """End without a word: the session goes on elsewhere."""
        assert self._carrier is not None
        self._carrier.receiver = None
        self._carrier.close(1000)

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the reader."""
        return self._carrier.queued_bytes if self._carrier is not None else 0

    def _first_event(self) -> Frame:
        assert self._replies is not None
        mailbox = self._mailbox
        channels = {name: answer_of(reply) for name, reply in self._replies.items()}
        told = msgspec.json.encode({"session": mailbox.handle, "channels": channels})
        mailbox.places.settle(mailbox.session)
        return Frame(event(told, b"subscribed", mailbox.places.encode(), retry_ms(mailbox.session.hub)), True)

    def _event(self, frame: Frame) -> Frame:
        if isinstance(frame, EventFrame):
            places = self._mailbox.places
            is_place = places.move(frame.publication)
            places.settle(self.session)
            text = event(frame.payload, id=places.encode() if is_place else b"")
            said = Frame(text, True, frame.channel, frame.key)
            said.policy = frame.policy
            return said
        assert isinstance(frame, MessageFrame)
        return Frame(event(frame.payload, name_of(type(frame.message))), True)
