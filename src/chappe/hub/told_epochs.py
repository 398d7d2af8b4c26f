"""Which epoch of a channel a session was told."""

from typing import Final

#: Channels whose epoch a session is known to have been told, beyond its subscriptions.
_TOLD_EPOCHS: Final = 512


class ToldEpochs:
    """The epochs last told to a session, for its `expect`; the oldest are forgotten.

    Attributes:
        newest: channel and epoch told last.
    """

    __slots__ = ("_epochs", "_forgot", "newest")

    def __init__(self) -> None:
        # All of them, once there are several.
        self._epochs: dict[str, str] | None = None
        self._forgot = False
        self.newest = ("", "")

    def get(self, channel: str) -> str:
        """Return the epoch told; empty (any will do) if none was, and one that no channel has if it was forgotten."""
        if channel == self.newest[0]:
            return self.newest[1]
        epoch = self._epochs.get(channel) if self._epochs is not None else None
        if epoch is not None:
            return epoch
        return "?" if self._forgot else ""

    def remember(self, channel: str, epoch: str) -> None:
        """Note an epoch that is told now."""
        former, self.newest = self.newest, (channel, epoch)
        epochs = self._epochs
        if epochs is None:
            if former[0] in ("", channel):
                return
            epochs = self._epochs = dict([former])
        epochs.pop(channel, None)
        epochs[channel] = epoch
        if len(epochs) > _TOLD_EPOCHS:
            del epochs[next(iter(epochs))]
            self._forgot = True
