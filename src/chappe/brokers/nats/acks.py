"""What a stream answers to a message."""

from typing import Final

import msgspec

from chappe.brokers.nats.connection import StreamLost, status_of

_WRONG_LAST_ID: Final = 10070
_WRONG_LAST: Final = 10071
#: The same of a stream with replicas, while another message of the subject is on its way to them.
_WRONG_LAST_SOON: Final = 10164
_ID_IN_PROCESS: Final = 10158


class _Error(msgspec.Struct, frozen=True):
    err_code: int = 0
    description: str = ""


class Ack(msgspec.Struct, frozen=True):
    """The answer to a message.

    Attributes:
        stream: who answers; empty: it was no stream.
        seq: where it is stored.
        duplicate: its id was known, and `seq` is where that one is.
    """

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None

    @property
    def is_conflict(self) -> bool:
        """Whether the last sequence of the subject was another one than expected."""
        return self.error is not None and self.error.err_code in (_WRONG_LAST, _WRONG_LAST_SOON)

    @property
    def is_unknown_id(self) -> bool:
        """Whether the last id was another one than expected, which is looked at after the message's own."""
        return self.error is not None and self.error.err_code == _WRONG_LAST_ID

    @property
    def is_in_process(self) -> bool:
        """Whether a message with this id is on its way to the replicas, and nothing is decided yet."""
        return self.error is not None and self.error.err_code == _ID_IN_PROCESS

    @property
    def last(self) -> int | None:
        """The last sequence of the subject, as a conflict tells it; None if it does not."""
        _, _, last = self.error.description.rpartition(": ") if self.error is not None else ("", "", "")
        return int(last) if last.isdigit() else None


_decode = msgspec.json.Decoder(Ack).decode


def ack_of(headers: bytes, data: bytes) -> Ack:
    """Return what a stream answered.

    Raises:
        StreamLost: no stream did.
    """
    if status_of(headers):
        raise StreamLost("a stream is not there")
    try:
        ack = _decode(data)
    except msgspec.DecodeError:
        ack = Ack()
    if not ack.stream and ack.error is None:
        raise StreamLost("an answer is none of a stream")
    return ack
