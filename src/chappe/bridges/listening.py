"""A session of the hub with itself: what is published in a channel, handed to a function."""

from collections.abc import Callable, Iterable, Mapping

from chappe.hub.contracts import Claims
from chappe.hub.hub import HubCore
from chappe.hub.permissions import APPLICATION
from chappe.hub.session import Peer, Session
from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, Frame
from chappe.model.limits import Limits
from chappe.model.publication import Publication
from chappe.protocols import base

Heard = Callable[[Publication], None]
Told = Callable[[base.Message], None]
_NOWHERE: Mapping[str, base.Since] = {}


class _Heard(Frame, kw_only=True, gc=False):
    publication: Publication


class _Said(Frame, kw_only=True, gc=False):
    message: base.Message


class _Encoder:
    name = "listener"
    wants_names = False

    def publication(self, publication: Publication) -> Frame:
        return _Heard(publication.payload, False, publication.channel, publication=publication)

    def message(self, message: base.Message) -> Frame | None:
        return None


class _TalkingEncoder(_Encoder):
    """For who wants the answers too."""

    def message(self, message: base.Message) -> Frame | None:
        return _Said(b"", False, message=message)


class _Protocol:
    """Decodes nothing: commands come by `Session.execute`."""

    closes_refused_names = False

    def __init__(self, limits: Limits, encoder: _Encoder) -> None:
        self.encoder = encoder
        self.frame_bytes = (limits.message_bytes, limits.message_bytes)

    def receive(self, payload: bytes, text: bool) -> list[base.Command]:
        return []

    def opened(self, name: str) -> None:
        pass

    def entered(self, channel: str) -> None:
        pass

    def resolve(self, command: base.Command) -> base.Command:
        return command

    def joins_at_once(self) -> str | None:
        return None


class _Link:
    """Hands frames on at once."""

    queued_bytes = 0

    def __init__(self, heard: Heard, ended: Callable[[int], None], told: Told | None) -> None:
        self._heard: Heard | None = heard
        self._ended = ended
        self._told = told

    def send(self, frame: Frame) -> None:
        for each in frame.frames if isinstance(frame, Bundle) else (frame,):
            if self._heard is not None and isinstance(each, _Heard):
                self._heard(each.publication)
            elif self._heard is not None and self._told is not None and isinstance(each, _Said):
                self._told(each.message)

    def close(self, code: int, reason: str = "") -> None:
        if self._heard is not None:
            self._heard = None
            self._ended(code)

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def limit(self, frame_bytes: int) -> None:
        pass

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        done(self._heard is not None)


class Listener:
    """Follows channels as the application itself does, with its rights and without asking hooks.

    A feed that was interrupted ends it, as it ends the connection of a client that knows no words for it.
    """

    def __init__(
        self,
        hub: HubCore,
        channels: Iterable[str],
        heard: Heard,
        ended: Callable[[], None],
        *,
        since: Mapping[str, base.Since] = _NOWHERE,
        told: Told | None = None,
    ) -> None:
        """Subscribe.

        Args:
            channels: names or patterns.
            heard: called with each publication, first those since the place given.
            ended: called once if the hub ends it.
            since: where to begin, by channel; where none is given, with what comes next.
            told: called with each answer and each word about a subscription. Then an interruption is told, and
                `ended` is not called for it.
        """
        self._closed = False
        self._told_end = ended
        link = _Link(heard, self._end, told)
        protocol = _Protocol(hub.limits, _Encoder() if told is None else _TalkingEncoder())
        self._session: Session = hub.open(link, protocol, Peer(carrier="bridge"))
        self._session.opened(Claims(), "")
        self._session.actor = APPLICATION
        for number, channel in enumerate(channels, 1):
            self._session.execute(base.Subscribe(number, channel, since.get(channel)))

    def close(self) -> None:
        """Follow nothing more; `ended` is not called."""
        if not self._closed:
            self._closed = True
            self._session.close(Code.DISCONNECTED)
            self._session.lost(Code.DISCONNECTED)

    def _end(self, code: int) -> None:
        if not self._closed:
            self._closed = True
            self._session.lost(code)
            self._told_end()
