"""Bits flip and ends are torn off, in every region of every file: what was acknowledged is there, or it is told.

A judge knows what was acknowledged. It opens the damaged files: they are refused with a text that names the file, or
every read is held against what was published; then more is published, because a reused offset shows only later.
CHAPPE_DAMAGE sets how many damages each test makes.
"""

import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chappe.hub.contracts import Read, ReadLog
from chappe.model.errors import ConfigurationError
from chappe.model.position import Position
from tests.brokers.sqlite.place import DURABLE, KEPT, PARTS, World, content, item, running

DAMAGES = int(os.environ.get("CHAPPE_DAMAGE", "30"))
CHANNELS = {"durable/a": DURABLE, "durable/b": DURABLE, "kept/a": KEPT}
PAGE = 4096


@dataclass
class Judge:
    """What was acknowledged, in order, by channel; and log positions with how many were acknowledged before."""

    told: dict[str, list[tuple[Position, bytes]]] = field(default_factory=lambda: {name: [] for name in CHANNELS})
    logs: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    retained: dict[str, tuple[Position, bytes]] = field(default_factory=dict)

    async def publish(self, world: World, count: int, size: int, mark: bytes = b"") -> None:
        for number in range(count):
            for channel, namespace in CHANNELS.items():
                payload = (b'"%b%d %b' % (mark, number, channel.encode())).ljust(size, b".") + b'"'
                entry = item(channel, payload, namespace, key=f"{mark!r}{number}", retain=number == 1)
                (position,) = await world.probe.store(entry)
                self.told[channel].append((position, payload))
                if number == 1:
                    self.retained[channel] = (position, payload)
            log = await world.probe.read_log(ReadLog("#"))
            self.logs.append((log.position, {name: len(told) for name, told in self.told.items()}))

    async def hold_against(self, world: World) -> int:
        """Read everything in every way; return how many reads were complete."""
        complete = 0
        for channel, told in self.told.items():
            namespace = CHANNELS[channel]
            known = dict(told)
            newest = await world.probe.read(Read(channel, namespace, limit=1000))
            payloads = [payload for _, payload in told]
            assert all(each.payload in payloads for each in newest.publications), "a publication was invented"
            for index, (position, _) in enumerate(told):
                result = await world.probe.read(Read(channel, namespace, position, 1000))
                got = [(each.position, each.payload) for each in result.publications]
                assert all(known.get(place, payload) == payload for place, payload in got)
                if result.complete:
                    complete += 1
                    assert got == told[index + 1 :], f"{channel} since {position}: recovered, falsely"
            if newest.retained is not None:
                assert newest.retained.retained
                assert newest.retained.payload in payloads
                if newest.position.epoch == self.retained[channel][0].epoch:
                    assert newest.retained.payload == self.retained[channel][1]
            elif newest.position.epoch == self.retained[channel][0].epoch:
                raise AssertionError("a retained publication is gone and the epoch stayed")
        for since, counts in self.logs:
            after = await world.probe.read_log(ReadLog("#", since, 1000))
            if after.complete:
                wanted = {payload for name, told in self.told.items() for _, payload in told[counts[name] :]}
                assert {each.payload for each in after.publications} == wanted, "the log was recovered, falsely"
        return complete

    async def judge(self, path: Path) -> int | None:
        """Open what is left; return how many positions can be continued, None if the file is refused."""
        world = World(path)
        try:
            await world.broker.start(world.probe)
        except ConfigurationError as error:
            refusal = error.reason
        else:
            refusal = ""
        if refusal:
            assert str(path) in refusal
            assert "\n" not in refusal
            return None
        try:
            complete = await self.hold_against(world)
            later = Judge({name: list(told) for name, told in self.told.items()}, [*self.logs], {**self.retained})
            await later.publish(world, 3, 20, b"later ")
            await later.hold_against(world)
            return complete
        finally:
            await world.broker.stop()


async def files(folder: Path, *, killed: bool) -> tuple[Judge, Path]:
    """Return a judge and what a killed hub, or a stopped one, left."""
    judge = Judge()
    async with running(folder / "hub.db") as world:
        await judge.publish(world, 8, 700)
    if killed:
        # A part of it is in the file, the rest in the WAL.
        async with running(folder / "hub.db") as world:
            await judge.publish(world, 4, 700, b"second ")
            return judge, world.image(folder / "image")
    return judge, world.image(folder / "image")


def damaged(image: Path, folder: Path, part: str, data: bytes) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for each in PARTS:
        source = Path(f"{image}{each}")
        if source.exists():
            shutil.copy(source, folder / source.name)
    Path(f"{folder / image.name}{part}").write_bytes(data)
    return folder / image.name


def places(size: int, chance: random.Random) -> list[int]:
    """Return offsets in every region of every page: its head, its pointers, its free middle, its cells, its end."""
    found = []
    for begin in range(0, size, PAGE):
        found += [
            begin + chance.randrange(*limits) for limits in ((0, 12), (12, 60), (60, 2000), (2000, 4000), (4000, PAGE))
        ]
    found = [each for each in found if each < size]
    chance.shuffle(found)
    return found[:DAMAGES]


def test_the_samples_reach_every_page() -> None:
    assert {each // PAGE for each in places(PAGE * 10, random.Random(1))} == set(range(10))


@pytest.mark.slow
@pytest.mark.timeout(60 + DAMAGES * 5)
@pytest.mark.parametrize(
    ("part", "killed", "seed"), [("", False, 1), ("", True, 2), ("-wal", True, 3), ("-witness", True, 4)]
)
async def test_a_flipped_bit_is_found(tmp_path: Path, part: str, killed: bool, seed: int) -> None:
    judge, image = await files(tmp_path, killed=killed)
    whole = await judge.judge(damaged(image, tmp_path / "whole", "-nothing", b""))
    assert whole == sum(len(told) for told in judge.told.values())
    data = content(image, part)
    chance = random.Random(seed)
    outcomes = []
    for place in places(len(data), chance):
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        outcomes.append(await judge.judge(damaged(image, tmp_path / "damaged", part, bytes(changed))))
    # The damages were felt, and some of them could be lived with.
    assert any(each != whole for each in outcomes)
    assert part == "-witness" or any(outcomes)


@pytest.mark.slow
@pytest.mark.timeout(60 + DAMAGES * 5)
@pytest.mark.parametrize(("part", "seed"), [("", 5), ("-wal", 6), ("-witness", 7)])
async def test_a_torn_end_is_found(tmp_path: Path, part: str, seed: int) -> None:
    judge, image = await files(tmp_path, killed=part != "")
    data = content(image, part)
    chance = random.Random(seed)
    cuts = [0, 1, len(data) - 1, *(chance.randrange(len(data)) for _ in range(DAMAGES // 2))]
    for cut in cuts:
        result = await judge.judge(damaged(image, tmp_path / "damaged", part, data[:cut]))
        # What was synced may still be whole; what came last is not.
        assert result is None or result < sum(map(len, judge.told.values())), "a torn file was continued"


@pytest.mark.slow
@pytest.mark.timeout(60 + DAMAGES * 5)
async def test_every_byte_of_the_last_transactions_counts(tmp_path: Path) -> None:
    """The WAL is cut everywhere in its last transactions; each time their end is missed."""
    judge = Judge()
    async with running(tmp_path / "hub.db") as world:
        await judge.publish(world, 2, 100)
        before = len(content(world.path, "-wal"))
        await judge.publish(world, 1, 100, b"last ")
        image = world.image(tmp_path / "image")
    data = content(image, "-wal")
    assert len(data) > before
    whole = sum(map(len, judge.told.values()))
    for cut in range(before, len(data), max(1, (len(data) - before) // DAMAGES)):
        result = await judge.judge(damaged(image, tmp_path / "damaged", "-wal", data[:cut]))
        assert result is not None
        assert result < whole


async def test_what_is_mended_stays_mended(tmp_path: Path) -> None:
    judge, image = await files(tmp_path, killed=False)
    data = bytearray(image.read_bytes())
    place = data.rindex(b'"5 durable/a')
    data[place + 20] ^= 4
    path = damaged(image, tmp_path / "damaged", "", bytes(data))
    async with running(path) as world:
        assert world.broker.new_epochs == 1
        # From the damage on it is whole; the others never noticed.
        left = (await world.probe.read(Read("durable/a", DURABLE, limit=99))).publications
        assert [each.payload[:3] for each in left] == [b'"6 ', b'"7 ']
        assert (await world.probe.read(Read("durable/b", DURABLE, judge.told["durable/b"][0][0], 99))).complete
    async with running(path) as world:
        assert world.broker.new_epochs == 0
        assert (await world.probe.read(Read("durable/a", DURABLE, left[0].position, 99))).complete
