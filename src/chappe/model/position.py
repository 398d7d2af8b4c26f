"""Where one is in a channel."""

import msgspec


class Position(msgspec.Struct, frozen=True, gc=False):
    """A place in one channel's stream.

    Offsets grow strictly within an epoch and may have gaps: never compute `offset + 1`. An epoch names one life of the
    stream; a new one says that what came before is gone, so an offset of another epoch means nothing.
    """

    epoch: str
    offset: int
