"""What the checker can find."""

import enum

import msgspec


class Kind(enum.StrEnum):
    """A sort of broken promise."""

    LOST = "lost"  #: stored (acknowledged, or seen by somebody), passed over by a subscriber who was told of no gap
    NOT_STORED = "not stored"  #: acknowledged, missing in a whole history
    DOUBLED = "doubled"  #: came twice in one chain
    REORDERED = "reordered"  #: came after a later one, or a position went back
    INVENTED = "invented"  #: seen and never attempted
    ALTERED = "altered"  #: one position, two payloads
    CROSS_CHANNEL = "cross-channel"  #: attempted in another channel only
    FALSE_RECOVERED = "false recovered"  #: the answer said that nothing is missing, and something is
    SILENT_GAP = "silent gap"  #: a chain went on beyond what it had seen, or into another epoch, without a word
    POSITION_REUSED = "position reused"  #: two publications acknowledged at one position
    STORED_TWICE = "stored twice"  #: one attempt, two positions
    KEY_STORED_TWICE = "key stored twice"  #: one idempotency key, two positions in an epoch
    STORED_AFTER_FAILURE = "stored after failure"  #: answered with an error, and yet there
    CONDITION_IGNORED = "condition ignored"  #: a compare-and-set succeeded although the position was no longer the last
    UNINVITED = "uninvited"  #: came without a subscription


class Finding(msgspec.Struct, frozen=True):
    """One broken promise; `text` names who, where and what."""

    kind: Kind
    channel: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.channel}: {self.text}"
