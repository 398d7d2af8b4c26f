"""Positions as a difficult broker would give them: offsets with gaps, epochs that end.

The broker underneath numbers 1, 2, 3 and never forgets; this maps its positions to stranger ones and back.
"""

import zlib
from typing import Final

from msgspec.structs import replace

from chappe.model.position import Position
from chappe.model.publication import Publication

#: An epoch and a log position that no broker ever told.
_NEVER_TOLD: Final = "\x00"


class _Life:
    """How often a channel began anew, and what of the inner broker's stream came before that."""

    __slots__ = ("boundary", "epoch", "generation")

    def __init__(self) -> None:
        self.generation = 0
        self.epoch = ""
        self.boundary = 0


class FaultyPositions:
    """Translates the positions of an inner broker for `FaultyBroker`.

    With `gaps`, every channel skips some offsets after every few, by a rule drawn from the seed and its name. After
    `renew` a channel has another epoch, starts at 0 and has lost what it had.
    """

    def __init__(self, seed: int, gaps: bool) -> None:
        self._seed = seed
        self._gaps = gaps
        self._lives: dict[str, _Life] = {}
        self._last: dict[str, Position] = {}
        self._log_generation = 0

    def saw(self, channel: str, inner: Position) -> None:
        """Remember the newest position that the inner broker told of a channel."""
        known = self._last.get(channel)
        if known is None or known.epoch != inner.epoch or known.offset < inner.offset:
            self._last[channel] = inner

    def renew(self, channel: str) -> None:
        """Give a channel a new epoch and hide what it had."""
        life = self._lives.setdefault(channel, _Life())
        last = self._last.get(channel, Position("", 0))
        life.generation += 1
        life.epoch, life.boundary = last.epoch, last.offset

    def renew_log(self) -> None:
        """Give the log a new epoch."""
        self._log_generation += 1

    def channels(self) -> list[str]:
        """Return the channels of which something was told."""
        return list(self._last)

    # --- Outwards ----------------------------------------------------------------------------------------------------

    def hidden(self, channel: str, inner: Position) -> bool:
        """Tell whether a position of the inner broker is before the present epoch."""
        return inner.offset > 0 and inner.offset <= self._boundary(channel, inner.epoch)

    def tell(self, channel: str, inner: Position) -> Position:
        """Return what is told of an inner position."""
        offset = max(inner.offset - self._boundary(channel, inner.epoch), 0)
        return Position(self._epoch(channel, inner.epoch), self._stretch(channel, offset))

    def tell_start(self, channel: str, epoch: str) -> Position:
        """Return the position of what has no number."""
        return Position(self._epoch(channel, epoch), 0)

    def tell_publication(self, inner: Publication) -> Publication | None:
        """Return a publication with what is told of its position, or None: it was lost with an epoch."""
        if inner.transient:
            return replace(inner, epoch=self._epoch(inner.channel, inner.epoch))
        if self.hidden(inner.channel, inner.position):
            return None
        told = self.tell(inner.channel, inner.position)
        return replace(inner, epoch=told.epoch, offset=told.offset)

    def tell_log(self, position: str) -> str:
        """Return what is told of a log position."""
        return f"{self._log_generation}.{position}" if self._log_generation else position

    # --- Inwards -----------------------------------------------------------------------------------------------------

    def understand(self, channel: str, told: Position, *, upwards: bool = False) -> Position:
        """Return the inner position of one that was told; in a gap the one before it (or after it: `upwards`)."""
        epoch = self._inner_epoch(channel, told.epoch)
        if epoch == _NEVER_TOLD or told.offset < 0:
            return Position(_NEVER_TOLD, told.offset)
        offset = self._unstretch(channel, told.offset)
        if upwards and self._stretch(channel, offset) != told.offset:
            offset += 1
        return Position(epoch, offset + self._boundary(channel, epoch))

    def understand_exactly(self, channel: str, told: Position) -> Position:
        """Return the inner position that `expect` means: one in a gap is nowhere; an empty epoch stays empty."""
        last = self._last.get(channel, Position("", 0))
        inner_epoch = self._inner_epoch(channel, told.epoch) if told.epoch else last.epoch
        offset = self._unstretch(channel, told.offset)
        if told.offset < 0 or self._stretch(channel, offset) != told.offset:
            return Position(inner_epoch, -1)
        return Position(inner_epoch if told.epoch else "", offset + self._boundary(channel, inner_epoch))

    def understand_log(self, told: str | None) -> str | None:
        """Return the inner log position of one that was told."""
        if told is None or not self._log_generation:
            return told
        generation, dot, position = told.partition(".")
        return position if dot and generation == str(self._log_generation) else _NEVER_TOLD

    def owner(self, channel: str, key_owner: str) -> str:
        """Return whose key it is in the inner broker: a new epoch knows no old key."""
        life = self._lives.get(channel)
        return f"{life.generation}/{key_owner}" if life else key_owner

    # --- The rules ---------------------------------------------------------------------------------------------------

    def _boundary(self, channel: str, epoch: str) -> int:
        life = self._lives.get(channel)
        # The inner broker may have begun a new epoch by itself: then it lost everything too.
        return life.boundary if life and life.epoch == epoch else 0

    def _epoch(self, channel: str, epoch: str) -> str:
        life = self._lives.get(channel)
        return f"{epoch}.{life.generation}" if life else epoch

    def _inner_epoch(self, channel: str, told: str) -> str:
        life = self._lives.get(channel)
        if life is None:
            return told or _NEVER_TOLD
        epoch, dot, generation = told.rpartition(".")
        return epoch if dot and epoch and generation == str(life.generation) else _NEVER_TOLD

    def _rule(self, channel: str) -> tuple[int, int]:
        if not self._gaps:
            return 1, 0
        drawn = zlib.crc32(channel.encode("utf-8", "surrogatepass"), self._seed & 0xFFFF_FFFF)
        return drawn % 4 + 1, drawn // 4 % 7

    def _stretch(self, channel: str, offset: int) -> int:
        every, skip = self._rule(channel)
        return offset + skip * (offset // every)

    def _unstretch(self, channel: str, offset: int) -> int:
        every, skip = self._rule(channel)
        whole, rest = divmod(offset, every + skip)
        return whole * every + min(rest, every - 1)
