"""Births: the first message of a channel's life, which names that life.

Whoever finds a channel without any message marks its birth. While the mark is there nothing of the channel is lost, and
a channel that was forgotten, or that somebody emptied, gets another one, and with it another epoch.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from chappe.brokers.nats.channels import Channel, birth_of
from chappe.brokers.nats.conditions import EXPECTED, META_TTL, TTL
from chappe.brokers.nats.connection import Refused
from chappe.brokers.nats.record import Record
from chappe.brokers.nats.streams import Message, Streams
from chappe.hub.contracts import Clock

#: Seconds between two questions to replicas that are behind, and how many there are before that is believed.
_AGAIN_S: Final = 0.02
_MOST_TRIES: Final = 100


class Births:
    """Finds and marks births, and fills retained slots, which belong to one."""

    def __init__(self, clock: Clock, streams: Streams, origin: int, born_anew: Callable[[str], None]) -> None:
        self._clock = clock
        self._streams = streams
        self._origin = origin
        self._born_anew = born_anew

    async def last(self, channel: Channel) -> int:
        """Return the last sequence of a channel, and know its birth; a channel without any is born here.

        Raises:
            ConnectionFailed, StreamLost, Refused.
        """
        newest = await self._newest(channel)
        while newest is None:
            ack = await self._streams.store(channel.subject, Record(0, self._origin), {EXPECTED: "0", TTL: META_TTL})
            if ack.error is None:
                channel.state.saw(ack.seq)
                self._learn(channel, ack.seq)
                return ack.seq
            if not ack.is_conflict:
                raise Refused(ack.error.description)
            newest = await self._streams.last(channel.state, channel.subject)
        self._learn(channel, birth_of(newest))
        channel.state.saw(newest.sequence)
        return newest.sequence

    async def _newest(self, channel: Channel) -> Message | None:
        """Return the newest message; a replica that is behind what was acknowledged here is asked again."""
        newest = await self._streams.last(channel.state, channel.subject)
        tries = _MOST_TRIES if channel.state.replicas > 1 else 0
        while tries and newest is not None and newest.sequence < channel.told:
            tries -= 1
            await asyncio.sleep(_AGAIN_S)
            newest = await self._streams.last(channel.state, channel.subject)
        return newest

    async def retain(self, channel: Channel, record: Record) -> None:
        """Put a stored publication into the retained slot, unless a newer one is there already.

        Raises:
            ConnectionFailed, StreamLost, Refused.
        """
        state = self._streams.retained
        subject = state.prefix + channel.tokens
        headers = {} if record.payload else {TTL: META_TTL}  # an empty one stays only to win
        while True:
            there = await self._streams.last(state, subject)
            if there is not None and _is_newer(there, record):
                return
            ack = await self._streams.store(
                subject, record, {**headers, EXPECTED: str(there.sequence if there is not None else 0)}
            )
            if ack.error is None:
                return
            if not ack.is_conflict:
                raise Refused(ack.error.description)

    def _learn(self, channel: Channel, birth: int) -> None:
        if channel.learn(birth, self._clock.now()):
            self._born_anew(channel.name)


def _is_newer(message: Message, record: Record) -> bool:
    there = message.record
    return there is not None and there.birth == record.birth and there.offset > record.offset
