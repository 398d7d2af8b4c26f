"""A seeded programme cuts every connection now and then and keeps its client away for a while."""

import asyncio
import contextlib

import pytest

from chappe.testing.fault_programme import FaultProgramme
from chappe.testing.fault_proxy import FaultProxy

SOON_S = 5.0


def test_the_same_seed_decides_the_same() -> None:
    one, same, other = (FaultProgramme(seed) for seed in (7, 7, 8))
    fates = [one.fate() for _ in range(50)]
    assert fates == [same.fate() for _ in range(50)]
    assert fates != [other.fate() for _ in range(50)]


def test_connections_live_as_long_as_was_asked_for_on_average() -> None:
    programme = FaultProgramme(1, cut_every_s=15, reset_share=0.25)
    fates = [programme.fate() for _ in range(4_000)]
    assert all(0 <= fate.lifetime_s <= 30 for fate in fates)
    assert sum(fate.lifetime_s for fate in fates) / len(fates) == pytest.approx(15, abs=0.5)
    assert sum(fate.reset for fate in fates) / len(fates) == pytest.approx(0.25, abs=0.03)


def test_whoever_comes_after_a_cut_is_held_until_the_time_is_over_and_nobody_else() -> None:
    programme = FaultProgramme(1, offline_s=2)
    assert programme.offline_s(10) == 0
    programme.count_cut(10)
    programme.count_cut(10.5)
    assert programme.offline_s(11) == pytest.approx(1)
    assert programme.offline_s(13) == 0
    assert programme.offline_s(13) == 0
    assert programme.cuts == 2


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"cut_every_s": -1}, "times of -1 s"),
        ({"offline_s": -2}, "and -2 s"),
        ({"reset_share": 2}, "a share of 2, expected 0 to 1"),
    ],
)
def test_impossible_programmes_are_refused(wrong: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FaultProgramme(1, **wrong)


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    with contextlib.suppress(ConnectionResetError):
        await reader.read(-1)
    writer.close()


@pytest.mark.parametrize("reset_share", [0, 1])
async def test_a_proxy_that_follows_a_programme_cuts_and_holds(reset_share: float) -> None:
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        clock = asyncio.get_running_loop()
        programme = FaultProgramme(3, cut_every_s=0.02, offline_s=0.05, reset_share=reset_share)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.follow(programme)
        for number in range(1, 4):
            try:
                await asyncio.wait_for(reader.read(-1), SOON_S)
                ended = 0
            except ConnectionResetError:
                ended = 1
            cut_at = clock.time()
            writer.close()
            assert (ended, programme.cuts) == (reset_share, number)
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            if number < 3:
                assert await asyncio.wait_for(reader.read(1), SOON_S) == b"h"
                assert clock.time() - cut_at > 0.04
        proxy.follow(None)
        assert await asyncio.wait_for(reader.readexactly(5), SOON_S) == b"hello"
        assert not proxy.connections[0].up.swallowing
        writer.close()
