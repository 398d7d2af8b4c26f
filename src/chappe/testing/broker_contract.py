"""The broker contract as a list of checks that any implementation can run against itself."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from chappe.hub.contracts import IDEMPOTENCY_S, Append, Broker, Outcome, Read, ReadLog, ReadResult
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication, Sender
from chappe.testing.broker_probe import Probe, Sleep, demand

_KEPT: Final = 20
_AGE_S: Final = 0.2
_RECOVERABLE: Final = Namespace(
    name="check", level=Level.RECOVERABLE, history_count=_KEPT, history_age_s=3600.0, patterns=True
)
_LIVE: Final = Namespace(name="live", level=Level.LIVE, patterns=True)
_SHORT: Final = Namespace(name="short", level=Level.RECOVERABLE, history_count=_KEPT, history_age_s=_AGE_S)
_TIME_MS: Final = 1_795_348_800_123


async def check_broker(
    factory: Callable[[], Awaitable[Broker]],
    *,
    sleep: Sleep = asyncio.sleep,
    patience_s: float = 5.0,
    minutes_pass: bool = False,
) -> None:
    """Prove that a broker keeps its contract.

    Every check takes a broker of its own from the factory, not started yet, and stops it. Brokers may share an engine:
    the channels have random names.

    Args:
        factory: makes a broker.
        sleep: lets time pass on the broker's clock; `FakeClock.sleep` for a broker on a fake clock.
        patience_s: how long any one answer may take.
        minutes_pass: also check what takes minutes, such as the life of an idempotency key (for fake clocks).
    Raises:
        ContractBroken: the first promise that does not hold.
    """
    for check in (*CHECKS, *(SLOW_CHECKS if minutes_pass else ())):
        broker = await factory()
        probe = Probe(broker, sleep, patience_s)
        await broker.start(probe)
        try:
            await check(probe, f"check/{secrets.token_hex(6)}")
            demand(not probe.interruptions, f"{check.__name__}: the feed was interrupted without a fault")
        finally:
            await broker.stop()


def _item(channel: str, payload: bytes = b'"hello"', namespace: Namespace = _RECOVERABLE, **more: object) -> Append:
    return Append(channel, payload, Kind.JSON, _TIME_MS, namespace, **more)  # type: ignore[arg-type]


def _items(channel: str, count: int, namespace: Namespace = _RECOVERABLE) -> list[Append]:
    return [_item(channel, b"%d" % number, namespace) for number in range(count)]


def _payloads(publications: Sequence[Publication]) -> list[bytes]:
    return [publication.payload for publication in publications]


def _numbers(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def _demand_growing(positions: Sequence[Position], channel: str) -> None:
    demand(len({position.epoch for position in positions}) <= 1, f"the epoch of {channel!r} changed without a fault")
    offsets = [position.offset for position in positions]
    demand(
        all(0 < earlier < later for earlier, later in zip([0.5, *offsets], offsets, strict=False)),
        f"the offsets of {channel!r} do not grow strictly from 1 or more: {offsets}",
    )


# --- Order and feed --------------------------------------------------------------------------------------------------


async def outcomes_keep_the_order_of_append(probe: Probe, base: str) -> None:
    """Positions grow strictly per channel, over batches that mix channels and are not waited for."""
    channels = [f"{base}/a", f"{base}/b"]
    order: list[int] = []
    pending = [
        probe.append_later(
            *(_item(channel, b"%d" % number) for channel in channels),
            then=lambda _, number=number: order.append(number),  # type: ignore[misc]
        )
        for number in range(10)
    ]
    await probe.until(lambda: all(each.outcomes is not None for each in pending), "the outcomes of ten batches")
    demand(order == sorted(order), f"batches of the same channels were answered in the order {order}")
    for index, channel in enumerate(channels):
        outcomes = [each.outcomes[index] for each in pending if each.outcomes]
        demand(all(outcome.error == 0 for outcome in outcomes), f"an append to {channel!r} failed without a fault")
        _demand_growing([outcome.position for outcome in outcomes], channel)
        demand(outcomes[0].position.epoch, f"the epoch of {channel!r} is empty")


async def the_feed_brings_each_publication_once_in_order(probe: Probe, base: str) -> None:
    """An exact channel and two patterns that match it bring one copy; the content is what was appended."""
    channel = f"{base}/a"
    for name in (channel, channel, f"{base}/+", f"{base}/#"):
        probe.broker.attach(name)
    sender = Sender("ada", "Ada", "9f00")
    wanted = [
        Append(channel, b"\xff\x00", Kind.BINARY, _TIME_MS, _RECOVERABLE, sender, "k1", "ada", {"a": "é"}),
        Append(channel, "é".encode(), Kind.TEXT, _TIME_MS + 1, _RECOVERABLE),
        *_items(channel, 10),
    ]
    pending = [probe.append_later(*wanted[:5]), *(probe.append_later(item) for item in wanted[5:])]
    fed = await probe.fed(channel, len(wanted))
    positions = [outcome.position for each in pending for outcome in each.outcomes or ()]
    demand([publication.position for publication in fed] == positions, "the feed and the outcomes differ in positions")
    for item, publication in zip(wanted, fed, strict=True):
        _demand_same(item, publication)
    logs = [publication.log for publication in fed]
    demand(logs == sorted(set(logs)), f"the log positions of one channel do not grow: {logs}")


def _demand_same(item: Append, publication: Publication) -> None:
    for name, there in (("payload", item.payload), ("kind", item.kind), ("time_ms", item.time_ms), ("id", item.key)):
        here = getattr(publication, name)
        demand(here == there, f"a publication came back with {name} {here!r}, expected {there!r}")
    demand(publication.sender == item.sender, "a publication came back with another sender")
    demand((publication.headers or {}) == (item.headers or {}), "a publication came back with other headers")
    demand(not publication.retained, "a publication came back marked as retained")


async def attaching_then_reading_misses_nothing(probe: Probe, base: str) -> None:
    """What was appended is in the answer to a read asked after `attach`, or in the feed."""
    pending = []
    answers: list[ReadResult] = []
    for number in range(12):
        pending.append(probe.append_later(_item(base, b"%d" % number)))
        if number == 5:
            probe.broker.attach(base)
            probe.broker.read(Read(base, _RECOVERABLE, limit=100), answers.append)
    await probe.until(lambda: answers and all(each.outcomes for each in pending), "a read and twelve outcomes")

    def missing() -> set[bytes]:
        return set(_numbers(*range(12))) - set(_payloads([*answers[0].publications, *probe.feed]))

    await probe.until(lambda: not missing(), "in a read or the feed after `attach`, every publication")


async def appends_from_within_callbacks_keep_their_order(probe: Probe, base: str) -> None:
    """A hub that publishes while it is told of an outcome, or fed, sees no publication overtake another."""
    probe.broker.attach(base)
    left = [4, 4]

    def answered(_: Sequence[Outcome]) -> None:
        if left[0]:
            left[0] -= 1
            probe.append_later(_item(base, b"from an outcome"), then=answered)

    def fed(_: Sequence[Publication]) -> None:
        if left[1]:
            left[1] -= 1
            probe.append_later(_item(base, b"from the feed"))

    probe.on_published = fed
    probe.append_later(_item(base), then=answered)
    publications = await probe.fed(base, 9)
    _demand_growing([publication.position for publication in publications], base)


async def what_is_appended_after_attach_is_fed(probe: Probe, base: str) -> None:
    """Also when a callback does both in one go, while the broker is busy handing out answers."""

    def follow(name: str) -> None:
        probe.broker.attach(f"{base}/{name}")
        probe.append_later(_item(f"{base}/{name}"))

    def fed(batch: Sequence[Publication]) -> None:
        if any(publication.channel == f"{base}/told" for publication in batch):
            follow("fed")

    probe.on_published = fed
    probe.append_later(_item(base), then=lambda _: follow("told"))
    probe.broker.read(Read(base, _RECOVERABLE), lambda _: follow("read"))
    probe.broker.read_log(ReadLog(base), lambda _: follow("log"))
    follow("at once")
    for name in ("at once", "told", "read", "log", "fed"):
        await probe.fed(f"{base}/{name}", 1)


async def a_transient_publication_is_fed_but_not_numbered(probe: Probe, base: str) -> None:
    """It comes between its neighbours, with offset 0, and leaves no trace."""
    probe.broker.attach(base)
    first, _, last = await probe.store(_item(base, b"1"), _item(base, b"2", transient=True), _item(base, b"3"))
    fed = await probe.fed(base, 3)
    demand(_payloads(fed) == _numbers(1, 2, 3), "a transient publication came out of order")
    demand(fed[1].transient and fed[1].offset == 0, "a transient publication has an offset")
    result = await probe.read(Read(base, _RECOVERABLE, since=first, limit=10))
    demand(_payloads(result.publications) == _numbers(3), "a transient publication was kept")
    demand(result.complete and result.position == last, "a transient publication left a gap")


# --- Conditions ------------------------------------------------------------------------------------------------------


async def expect_stores_only_at_the_last_position(probe: Probe, base: str) -> None:
    """Compare-and-set sees what was appended before it, in the same batch and in those that are still pending."""
    start = (await probe.read(Read(base, _RECOVERABLE))).position
    demand(start.offset == 0, f"a new channel is at {start.offset}, expected 0")
    first, second = await probe.append(_item(base, expect=start), _item(base, expect=start))
    demand(first.error == 0, f"`expect` at the last position was answered {first.error}")
    demand(second.error == Code.CONFLICT, f"a second `expect` of the same position was answered {second.error}")
    demand(second.position == first.position, "a conflict does not tell where the channel is")
    racing = [probe.append_later(_item(base, expect=Position("", first.position.offset))) for _ in range(5)]
    await probe.until(lambda: all(each.outcomes for each in racing), "the outcomes of five racing appends")
    errors = [each.outcomes[0].error for each in racing if each.outcomes]
    demand(errors == [0] + [Code.CONFLICT] * 4, f"five racing appends were answered {errors}")
    now = (await probe.read(Read(base, _RECOVERABLE))).position
    wrong = (Position("elsewhere", now.offset), Position(now.epoch, now.offset + 1), Position("", -1), first.position)
    for position in wrong:
        outcome = (await probe.append(_item(base, expect=position)))[0]
        demand(outcome.error == Code.CONFLICT, f"`expect` of {position} at {now} was answered {outcome.error}")
        demand(outcome.position == now, "a conflict does not tell where the channel is")
    demand((await probe.store(_item(base, expect=now)))[0].offset > now.offset, "an append did not move the channel")


async def a_key_is_stored_once(probe: Probe, base: str) -> None:
    """A repeated key gets the first answer again: pending, in one batch, and even if its `expect` no longer holds."""
    probe.broker.attach(base)
    start = (await probe.read(Read(base, _RECOVERABLE))).position
    item = _item(base, b"1", key="k", key_owner="ada", expect=start)
    pending = [probe.append_later(item, item), probe.append_later(item)]
    await probe.until(lambda: all(each.outcomes for each in pending), "the outcomes of three repetitions")
    outcomes = [outcome for each in pending for outcome in each.outcomes or ()]
    demand([outcome.error for outcome in outcomes] == [0, 0, 0], "a repeated key was refused")
    demand([outcome.duplicate for outcome in outcomes] == [False, True, True], "a repeated key is not marked")
    demand(len({outcome.position for outcome in outcomes}) == 1, "a repeated key got another position")
    other = await probe.append(
        _item(base, b"2", key="k", key_owner="blaise"), _item(f"{base}/b", b"3", key="k", key_owner="ada")
    )
    demand(not any(each.duplicate for each in other), "a key holds for another owner or channel")
    refused = (await probe.append(_item(base, b"4", key="later", expect=start)))[0]
    demand(refused.error == Code.CONFLICT, f"`expect` of an old position was answered {refused.error}")
    again = (await probe.append(_item(base, b"4", key="later")))[0]
    demand(again.error == 0 and not again.duplicate, "a key whose append was refused counts as stored")
    fed = await probe.fed(base, 3)
    demand(_payloads(fed) == _numbers(1, 2, 4), f"repeated keys were fed as {_payloads(fed)}")


# --- Reading ---------------------------------------------------------------------------------------------------------


async def reading_gives_what_was_asked_and_tells_whether_it_is_all(probe: Probe, base: str) -> None:
    """Newest, since a position, both directions, limits, and the cases in which the answer is not complete."""
    positions = await probe.store(*_items(base, 10))
    last = positions[-1]
    cases: list[tuple[Position | None, int, bool, list[bytes], bool]] = [
        (None, 0, False, [], False),
        (None, 3, False, _numbers(7, 8, 9), False),
        (None, 3, True, _numbers(9, 8, 7), False),
        (positions[6], 3, False, _numbers(7, 8, 9), True),
        (positions[6], 2, False, _numbers(7, 8), False),
        (positions[6], 0, False, [], False),
        (last, 0, False, [], True),
        (last, 5, False, [], True),
        (Position(last.epoch, 0), 100, False, _numbers(*range(10)), True),
        (positions[2], 10, True, _numbers(1, 0), True),
        (positions[2], 1, True, _numbers(1), False),
        (Position("elsewhere", positions[6].offset), 10, False, [], False),
        (Position("", positions[6].offset), 10, False, [], False),
        (Position(last.epoch, last.offset + 1), 10, False, [], False),
        (Position(last.epoch, 1 << 70), 10, False, [], False),
    ]
    for since, limit, reverse, payloads, complete in cases:
        result = await probe.read(Read(base, _RECOVERABLE, since, limit, reverse))
        asked = f"a read since {since and since.offset} of {since and since.epoch!r}, limit {limit}, reverse {reverse}"
        demand(result.error == 0, f"{asked}: error {result.error}")
        demand(result.position == last, f"{asked}: position {result.position}, expected {last}")
        demand(_payloads(result.publications) == payloads, f"{asked}: gave {_payloads(result.publications)}")
        demand(result.complete is complete, f"{asked}: complete is {result.complete}")
        offsets = [publication.offset for publication in result.publications]
        demand(offsets == sorted(offsets, reverse=reverse), f"{asked}: offsets {offsets}")


async def what_was_trimmed_is_not_called_complete(probe: Probe, base: str) -> None:
    """History keeps `history_count`; a position before it cannot be continued."""
    start = (await probe.read(Read(base, _RECOVERABLE))).position
    positions = [start, *await probe.store(*_items(base, _KEPT + 5))]
    kept = _numbers(*range(5, _KEPT + 5))
    for index, complete in ((0, False), (4, False), (5, True), (6, True)):
        result = await probe.read(Read(base, _RECOVERABLE, positions[index], limit=100))
        demand(result.complete is complete, f"a read since publication {index} of {_KEPT + 5}: {result.complete}")
        demand(_payloads(result.publications) == kept[max(index - 5, 0) :], "a read gave what it should not have")
    backwards = await probe.read(Read(base, _RECOVERABLE, positions[-1], limit=100, reverse=True))
    demand(not backwards.complete, "a backward read that met the end of the history is called complete")


async def a_live_channel_keeps_nothing_but_its_position(probe: Probe, base: str) -> None:
    """`since` is complete only at the present position."""
    live = f"live/{base}"
    start = (await probe.read(Read(live, _LIVE))).position
    positions = await probe.store(*_items(live, 3, _LIVE))
    _demand_growing(positions, live)
    for since, complete in ((positions[-1], True), (positions[-2], False), (start, False)):
        result = await probe.read(Read(live, _LIVE, since, limit=10))
        demand(result.position == positions[-1], "a live channel does not tell its position")
        demand(not result.publications, "a live channel kept a publication")
        demand(result.complete is complete, f"a live channel since {since.offset}: complete is {result.complete}")


async def the_epoch_of_a_quiet_channel_stays(probe: Probe, base: str) -> None:
    """Who read a position before the first publication can continue from there."""
    start = (await probe.read(Read(base, _RECOVERABLE))).position
    probe.broker.attach(base)
    again = (await probe.read(Read(base, _RECOVERABLE, start, limit=10))).complete
    demand(again, "an empty channel cannot be continued from its own position")
    await probe.store(_item(base))
    result = await probe.read(Read(base, _RECOVERABLE, start, limit=10))
    demand(result.complete and len(result.publications) == 1, "the first publication gave the channel a new epoch")


async def the_retained_slot_is_set_replaced_and_cleared(probe: Probe, base: str) -> None:
    """It holds the last retained publication, apart from history; an empty payload clears it."""
    for namespace in (_RECOVERABLE, _LIVE):
        channel = f"{base}/{namespace.name}"
        await probe.store(_item(channel, b"1", namespace, retain=True), _item(channel, b"2", namespace))
        for payload in (b"1", b"3"):
            result = await probe.read(Read(channel, namespace))
            demand(result.retained is not None, "a retained publication is not in the slot")
            assert result.retained is not None
            demand(
                result.retained.payload == payload, f"the slot has {result.retained.payload!r}, expected {payload!r}"
            )
            demand(result.retained.retained, "a publication from the retained slot is not marked")
            await probe.store(_item(channel, b"3", namespace, retain=True))
        log = await probe.read_log(ReadLog(f"{base}/#"))
        demand(channel in {each.channel for each in log.retained}, "a read of the log does not give retained slots")
        await probe.store(_item(channel, b"", namespace, retain=True))
        result = await probe.read(Read(channel, namespace))
        demand(result.retained is None, "an empty payload did not clear the retained slot")


# --- The log ---------------------------------------------------------------------------------------------------------


async def the_log_continues_a_pattern(probe: Probe, base: str) -> None:
    """What came after a log position comes in log order, from the channels that match and no other."""
    pattern = f"{base}/+"
    start = await probe.read_log(ReadLog(pattern))
    demand(not start.complete and not start.publications, "a read of the log without `since` gave publications")
    for number in range(6):
        await probe.store(_item(f"{base}/{'ab'[number % 2]}", b"%d" % number), _item(f"{base}/deep/c", b"no"))
    result = await probe.read_log(ReadLog(pattern, start.position, limit=10))
    demand(_payloads(result.publications) == _numbers(*range(6)), f"the log gave {_payloads(result.publications)}")
    demand(result.complete, "a read of the log that missed nothing is not called complete")
    logs = [publication.log for publication in result.publications]
    demand(logs == sorted(set(logs)), f"the log is not in order: {logs}")
    demand(start.sequence < logs[0] and logs[-1] <= result.sequence, "`sequence` cannot be compared with `log`")
    log_epoch, _, digits = result.position.rpartition(":")
    demand(digits == str(result.sequence), "a log position does not end in `:` and `sequence`")
    behind = await probe.read_log(ReadLog(pattern, f"{log_epoch}:{logs[2]}", limit=10))
    given = [publication.log for publication in behind.publications]
    demand(behind.complete and given == logs[3:], f"behind {logs[2]} the log gave {given}, expected {logs[3:]}")
    cut = await probe.read_log(ReadLog(pattern, start.position, limit=4))
    demand(_payloads(cut.publications) == _numbers(0, 1, 2, 3), "a limit does not give the oldest")
    demand(not cut.complete, "a read of the log cut by its limit is called complete")
    nothing = await probe.read_log(ReadLog(pattern, result.position, limit=10))
    demand(nothing.complete and not nothing.publications, "the log has something after its end")


async def the_log_tells_what_it_lost(probe: Probe, base: str) -> None:
    """Trimmed and live publications after `since`, and positions that were never told, are not complete."""
    start = (await probe.read_log(ReadLog("#"))).position
    await probe.store(*_items(f"{base}/a", _KEPT + 1), _item(f"live/{base}", b"0", _LIVE))
    for pattern in (f"{base}/#", f"live/{base}"):
        result = await probe.read_log(ReadLog(pattern, start, limit=100))
        demand(not result.complete, f"a read of the log by {pattern!r} is complete though publications are gone")
    strange = ("", ":", "elsewhere:1", f"{start}0000000", "x:-1", "x:²", "1" * 5000, "\x00", start + " ")
    for since in strange:
        result = await probe.read_log(ReadLog(f"{base}/#", since, limit=100))
        demand(result.error == 0, f"a strange log position was answered {result.error}")
        demand(not result.complete, f"a read of the log since {since[:20]!r} is called complete")


# --- The end and the edge --------------------------------------------------------------------------------------------


async def stopping_answers_everything(probe: Probe, base: str) -> None:
    """Every `done` was called when `stop` returns; later calls are answered 108."""
    pending = [probe.append_later(_item(base, b"%d" % number)) for number in range(20)]
    reads: list[object] = []
    probe.broker.read(Read(base, _RECOVERABLE, limit=5), reads.append)
    probe.broker.read_log(ReadLog(base), reads.append)
    await probe.broker.stop()
    demand(all(each.outcomes is not None for each in pending), "an append was not answered when `stop` returned")
    demand(len(reads) == 2, "a read was not answered when `stop` returned")
    late = probe.append_later(_item(base))
    demand(late.outcomes is not None, "an append after `stop` was not answered")
    assert late.outcomes is not None
    demand(late.outcomes[0].error == Code.NOT_AVAILABLE, f"an append after `stop`: {late.outcomes[0].error}")
    answers: list[int] = []
    probe.broker.read(Read(base, _RECOVERABLE), lambda result: answers.append(result.error))
    probe.broker.read_log(ReadLog(base), lambda result: answers.append(result.error))
    demand(answers == [Code.NOT_AVAILABLE] * 2, f"reads after `stop` were answered {answers}")


async def strange_values_are_kept_as_they_are(probe: Probe, base: str) -> None:
    """Names, keys, headers and payloads of any shape; limits of any size; an empty batch."""
    demand(await probe.append() == (), "an empty batch has outcomes")
    names = ["", "/", "//", "/é🎉", "/ " + "x" * 200, "/a:b*c?[d]{e}", "/$x", "/\u202e", "/-1", "/None"]
    for number, name in enumerate(names):
        channel = base + name
        probe.broker.attach(channel)
        payload = (b"", b"\x00", b"\xff" * 65_536, b"\r\n\r\n", b"[" * 1000)[number % 5]
        key = ("", " ", "\n", "é" * 500, "a:b", "\x00")[number % 6]
        item = Append(
            channel, payload, Kind.BINARY, number, _RECOVERABLE, None, key, "\x00" * number, {"": "", "é\n": "\x00"}
        )
        await probe.store(item)
        (fed,) = await probe.fed(channel, 1)
        _demand_same(item, fed)
        demand((await probe.append(item))[0].duplicate, f"the key {key[:5]!r} was not remembered")
        result = await probe.read(Read(channel, _RECOVERABLE, limit=1 << 31))
        demand(len(result.publications) == 1, f"{channel!r} has {len(result.publications)} publications, expected 1")
        _demand_same(item, result.publications[0])
        result = await probe.read(Read(channel, _RECOVERABLE, Position(fed.epoch, -1), limit=-1))
        demand(not result.publications, "a negative limit gave publications")
        demand(not result.complete, "a position before the beginning can be continued")


async def history_ages(probe: Probe, base: str) -> None:
    """A publication is kept for `history_age_s`, and what came after an older one is still complete."""
    old = (await probe.store(_item(base, b"1", _SHORT)))[0]
    await probe.pause(_AGE_S * 1.5)
    await probe.store(_item(base, b"2", _SHORT))
    result = await probe.read(Read(base, _SHORT, limit=10))
    demand(_payloads(result.publications) == _numbers(2), "a publication older than `history_age_s` was given")
    result = await probe.read(Read(base, _SHORT, old, limit=10))
    demand(result.complete, "what is missing came before the position, and yet the answer is not complete")
    result = await probe.read(Read(base, _SHORT, Position(old.epoch, 0), limit=10))
    demand(not result.complete, "a position before a publication that is too old is called complete")


async def a_key_is_remembered_for_five_minutes(probe: Probe, base: str) -> None:
    """Its life begins with the first answer and repetitions do not lengthen it."""
    item = _item(base, key="k")
    await probe.store(item)
    await probe.pause(IDEMPOTENCY_S - 10)
    demand((await probe.append(item))[0].duplicate, "a key was forgotten before five minutes had passed")
    await probe.pause(20)
    demand(not (await probe.append(item))[0].duplicate, "a key was remembered for more than five minutes")


_Check = Callable[[Probe, str], Awaitable[None]]
#: What every broker must pass.
CHECKS: Final[tuple[_Check, ...]] = (
    outcomes_keep_the_order_of_append,
    the_feed_brings_each_publication_once_in_order,
    attaching_then_reading_misses_nothing,
    appends_from_within_callbacks_keep_their_order,
    what_is_appended_after_attach_is_fed,
    a_transient_publication_is_fed_but_not_numbered,
    expect_stores_only_at_the_last_position,
    a_key_is_stored_once,
    reading_gives_what_was_asked_and_tells_whether_it_is_all,
    what_was_trimmed_is_not_called_complete,
    a_live_channel_keeps_nothing_but_its_position,
    the_epoch_of_a_quiet_channel_stays,
    the_retained_slot_is_set_replaced_and_cleared,
    the_log_continues_a_pattern,
    the_log_tells_what_it_lost,
    stopping_answers_everything,
    strange_values_are_kept_as_they_are,
    history_ages,
)
#: What takes minutes of the broker's clock.
SLOW_CHECKS: Final[tuple[_Check, ...]] = (a_key_is_remembered_for_five_minutes,)
