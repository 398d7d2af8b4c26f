"""Publications written down and read again, and the names of keys."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.brokers.redis.entries import Keys, decode_kept, decode_message, encode, partition_of, spread
from chappe.hub.contracts import Append
from chappe.hub.namespaces import Namespace
from chappe.model.publication import Kind, Sender

ANY = Namespace(name="a")
words = st.text(max_size=12)
senders = st.none() | st.builds(Sender, st.none() | words, words, words)
items = st.builds(
    Append,
    words,
    st.binary(max_size=30),
    st.sampled_from(Kind),
    st.integers(0, 1 << 50),
    st.just(ANY),
    sender=senders,
    key=st.none() | words,
    headers=st.none() | st.dictionaries(words, words, max_size=3),
)


@given(items, st.integers(1, 1 << 50), st.integers(1, 1 << 50))
def test_what_is_read_is_what_was_written(item: Append, offset: int, log: int) -> None:
    entry = encode(item, "node", 7)
    message = decode_message(b"g:%d:e:%d:%b" % (log, offset, entry))
    assert (message.entry.node, message.entry.number, message.generation) == ("node", 7, "g")
    fed = message.publication(log)
    kept = decode_kept(b"1:%d:%b" % (log, entry), "e", offset)
    assert fed == kept
    assert (fed.channel, fed.payload, fed.kind, fed.time_ms) == (item.channel, item.payload, item.kind, item.time_ms)
    assert (fed.sender, fed.id, fed.headers) == (item.sender, item.key, item.headers)
    assert (fed.offset, fed.epoch, fed.log) == (offset, "e", log)


@given(st.binary(max_size=60))
def test_anything_else_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_message(data)


def test_no_two_idempotency_keys_have_one_name() -> None:
    keys = Keys("p", 0, in_cluster=False)
    names = {
        keys.idempotency(Append(channel, b"", Kind.JSON, 0, ANY, key=key, key_owner=owner))
        for owner, key, channel in (("a", "b:c", "d"), ("a:b", "c", "d"), ("a", "b", "c:d"), ("", "a:b", "d"))
    }
    assert len(names) == 4
    assert keys.idempotency(Append("c", b"", Kind.JSON, 0, ANY, key="\ud800"))


def test_keys_of_a_partition_have_one_slot() -> None:
    keys = Keys("p", 5, in_cluster=True)
    assert all("{5}" in name for name in (keys.state, keys.meta("a{b}"), keys.history("a"), *keys.feeds("a/b")))
    # The example of the cluster specification: the slot of "123456789" is 12739.
    assert Keys("p", 123456789, in_cluster=True).slot == 12739


def test_channels_are_spread_evenly_and_move_rarely() -> None:
    names = [f"room/{number}" for number in range(4_000)]
    divisions: list[Callable[[str, int], int]] = [partition_of, spread]
    for divide in divisions:
        counts = [0] * 8
        for name in names:
            counts[divide(name, 8)] += 1
        assert min(counts) > 350
    moved = [(spread(name, 4), spread(name, 5)) for name in names]
    assert all(before == after or after == 4 for before, after in moved)
    assert sum(before != after for before, after in moved) < 1_000


@pytest.mark.parametrize(
    ("pattern", "wide"),
    [("news/#", "p:f:news*"), ("#", "p:f:*"), ("+/a", "p:f:*"), ("a*[b]?/+", r"p:f:a\*\[b\]\?*")],
)
def test_a_pattern_is_followed_by_its_namespace(pattern: str, wide: str) -> None:
    assert Keys("p", 0, in_cluster=False).wide_feed(pattern) == wide
