"""Which topics belong to which channels: lines as mosquitto's `topic` has them for its own bridges.

``pattern [out|in|both [qos [local-prefix [remote-prefix]]]]``, such as ``maison/salon/# in 1`` or ``# both 1 site/``.
"""

import shlex
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, cast

import msgspec

from chappe.model.channels import MAX_CHANNEL_BYTES, check_pattern, pattern_matches, patterns_intersect
from chappe.model.errors import ChappeError, ConfigurationError

Direction: TypeAlias = Literal["in", "out", "both"]
_DIRECTIONS: Final = ("out", "in", "both")
_FIELDS: Final = 5


class Mapping(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        pattern: what follows both prefixes; empty if these are the whole names.
        qos: 0, 1 or 2, both ways.
        local_prefix, remote_prefix: before the pattern in channels of the hub, and in topics of the outside broker.
    """

    pattern: str
    direction: Direction = "out"
    qos: int = 0
    local_prefix: str = ""
    remote_prefix: str = ""

    @property
    def local(self) -> str:
        """The channel or pattern of the hub."""
        return self.local_prefix + self.pattern

    @property
    def remote(self) -> str:
        """The topic or filter of the outside broker."""
        return self.remote_prefix + self.pattern

    @property
    def goes_in(self) -> bool:
        """Whether messages of the outside broker are published here."""
        return self.direction != "out"

    @property
    def goes_out(self) -> bool:
        """Whether publications of the hub are sent to the outside broker."""
        return self.direction != "in"

    def to_channel(self, topic: str) -> str | None:
        """Return the channel of a topic; None: it is not of this line, or would be one of the hub's own."""
        if not self.goes_in or not pattern_matches(self.remote, topic):
            return None
        channel = self.local_prefix + topic[len(self.remote_prefix) :]
        return None if channel.startswith("$") else channel

    def to_topic(self, channel: str) -> str:
        """Return the topic of a channel that `local` matches."""
        return self.remote_prefix + channel[len(self.local_prefix) :]


def parse(lines: Iterable[str]) -> list[Mapping]:
    """Return what lines say.

    Raises:
        ConfigurationError: a line is not understood, or two lines would carry the same message twice.
    """
    mappings = [_parse(line) for line in lines]
    if not mappings:
        raise ConfigurationError('it has no topics, expected lines such as "maison/salon/# in 1"')
    for index, one in enumerate(mappings):
        for other in mappings[:index]:
            into = one.goes_in and other.goes_in and patterns_intersect(one.remote, other.remote)
            if into or (one.goes_out and other.goes_out and patterns_intersect(one.local, other.local)):
                raise ConfigurationError(
                    f"topics {other.pattern!r} and {one.pattern!r} overlap: a message of both would be carried twice; "
                    "use two bridges if that is what you want"
                )
    return mappings


def _parse(line: str) -> Mapping:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _bad(line, str(error)) from None
    if not 1 <= len(words) <= _FIELDS:
        raise _bad(line, f"{len(words)} words")
    pattern, direction, qos, local, remote = (*words, *("", "out", "0", "", "")[len(words) :])
    if direction not in _DIRECTIONS:
        raise _bad(line, f"{direction!r} is no direction")
    if qos not in ("0", "1", "2"):
        raise _bad(line, f"{qos!r} is no QoS")
    mapping = Mapping(pattern, cast("Direction", direction), int(qos), local, remote)
    for name in (mapping.local, mapping.remote):
        try:
            check_pattern(name, MAX_CHANNEL_BYTES)
        except ChappeError as error:
            raise _bad(line, f"{name!r}: {error.reason}") from None
    if mapping.local_prefix.count("+") or "#" in mapping.local_prefix + mapping.remote_prefix or "+" in remote:
        raise _bad(line, "a prefix has no wildcards")
    if mapping.local.startswith("$"):
        raise _bad(line, "channels that begin with $ are the hub's own: give a local prefix")
    if mapping.remote.startswith("$share/"):
        raise _bad(line, "one hub at a time carries a bridge: it needs no shared subscription")
    return mapping


def _bad(line: str, problem: str) -> ConfigurationError:
    expected = "expected: pattern [out|in|both [qos [local-prefix [remote-prefix]]]]"
    return ConfigurationError(f"topic {line!r}: {problem}; {expected}")
