"""Files that cannot be used are refused in one line; a disk that fails is told and costs nothing acknowledged."""

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from chappe.brokers.sqlite.examination import examine
from chappe.brokers.sqlite.records import checksum
from chappe.hub.contracts import Read
from chappe.model.error_codes import Code
from chappe.model.errors import ConfigurationError
from tests.brokers.sqlite.place import DURABLE, World, item, running


def remove(path: Path, part: str) -> None:
    Path(f"{path}{part}").unlink()


async def refusal(path: Path) -> str:
    world = World(path)
    with pytest.raises(ConfigurationError) as caught:
        await world.broker.start(world.probe)
    assert "\n" not in caught.value.reason
    return caught.value.reason


async def test_one_process_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    async with running(path) as world:
        await world.probe.store(item("durable/a"))
        program = f"from chappe.brokers.sqlite.examination import examine; print(examine('sqlite://{path}'))"
        assert "in use by another process" in run(program)
        assert "in use by another process" in await refusal(path)
        await world.probe.store(item("durable/a"))
    assert examine(f"sqlite://{path}")[:4] == ("good", str(path), 1, 2)


async def test_a_schema_from_the_future_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    async with running(path) as world:
        await world.probe.store(item("durable/a"))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE chappe SET value = ?, sum = ? WHERE name = 'schema'", (b"2", checksum(b"schema", (), b"2"))
        )
    connection.close()
    before = path.read_bytes()
    assert "schema 2, expected 1" in await refusal(path)
    assert path.read_bytes() == before


async def test_what_is_no_database_of_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_bytes(b"Dear diary, " * 500)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    before = text.read_bytes(), other.read_bytes()
    assert "is not a database of chappe" in await refusal(text)
    assert "a database of another program" in await refusal(other)
    assert before[0] == text.read_bytes()
    assert "another program" in await refusal(other)


async def test_places_where_no_file_can_be_are_refused(tmp_path: Path) -> None:
    assert "create it first" in await refusal(tmp_path / "nowhere" / "hub.db")
    assert "is a directory" in await refusal(tmp_path)


def run(program: str, *arguments: str) -> str:
    """Run a program in a process of its own; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def run_limited(program: str, path: Path) -> list[object]:
    """Run a program that limits its process; return what it prints as JSON."""
    answers: list[object] = json.loads(run(program, str(path)))
    return answers


READ_ONLY = """
    import asyncio, codecs, json, os, sys
    from pathlib import Path
    from chappe.brokers.sqlite import SqliteBroker
    from chappe.model.errors import ConfigurationError
    from chappe.transports.event_loop import LoopClock

    codecs.lookup("ascii")  # what is imported late is out of reach for nobody
    if os.getuid() == 0:
        os.setuid(65534)

    async def main():
        try:
            await SqliteBroker(LoopClock(), os.urandom, Path(sys.argv[1])).start(None)
        except ConfigurationError as error:
            print(json.dumps([error.reason]))

    asyncio.run(main())
"""


async def test_a_file_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    async with running(path) as world:
        await world.probe.store(item("durable/a"))
    path.chmod(0o444)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    (reason,) = run_limited(READ_ONLY, path)
    assert "is not writable for this user" in str(reason)


FULL = """
    import asyncio, json, os, resource, sys
    from pathlib import Path
    from chappe.hub.contracts import Read
    from tests.brokers.sqlite.place import DURABLE, LIVE, item, running

    async def main():
        told = []
        async with running(Path(sys.argv[1])) as world:
            for number in range(10):
                (outcome,) = await world.probe.append(item("durable/a", b"%d" % number))
                told.append((outcome.error, outcome.position.offset))
            epoch = outcome.position.epoch
            wal = os.stat(sys.argv[1] + "-wal").st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 50_000, resource.RLIM_INFINITY))
            world.broker.attach("durable/a")
            fed = len(world.probe.feed)
            big = [world.probe.append_later(item("durable/a", b"x" * 40_000)) for _ in range(5)]
            tail = world.probe.append_later(item("durable/b", b"tail"))
            await asyncio.sleep(0)
            later = world.probe.append_later(item("durable/a", b"later"))
            await world.probe.until(lambda: later.outcomes and tail.outcomes, "an outcome")
            failed = [each.outcomes[0].error for each in (*big, tail, later)]
            live = world.probe.append_later(item("live/a", namespace=LIVE))
            await world.probe.until(lambda: live.outcomes, "an outcome")
            result = await world.probe.read(Read("durable/a", DURABLE, limit=99))
            while_full = [len(result.publications), result.position.offset, len(world.probe.feed) - fed]
            world.image(Path(sys.argv[1]).parent / "killed")
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            (after,) = await world.probe.append(item("durable/a", b"after"))
            last = [after.error, after.position.offset, after.position.epoch == epoch]
            print(json.dumps([told, failed, while_full, last]))

    asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_full_disk_refuses_the_whole_tail_and_serves_again_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    told, failed, while_full, after = run_limited(FULL, path)
    assert told == [[0, number] for number in range(1, 11)]
    assert failed == [Code.NOT_AVAILABLE] * 7
    assert while_full == [10, 10, 0]
    assert after == [0, 11, True]
    async with running(path) as world:
        result = await world.probe.read(Read("durable/a", DURABLE, limit=99))
        assert [each.payload for each in result.publications] == [*(b"%d" % number for number in range(10)), b"after"]
        assert world.broker.new_epochs == 0
        assert not (await world.probe.read(Read("durable/b", DURABLE, limit=9))).publications
    # Had it been killed while the disk was full, nothing that was refused would be there either.
    async with running(tmp_path / "killed" / "hub.db") as world:
        result = await world.probe.read(Read("durable/a", DURABLE, limit=99))
        assert [each.payload for each in result.publications] == [b"%d" % number for number in range(10)]
        assert not (await world.probe.read(Read("durable/b", DURABLE, limit=9))).publications


@pytest.mark.slow
async def test_readiness_tells_that_the_disk_is_full(tmp_path: Path) -> None:
    program = """
        import asyncio, json, resource, sys
        import httpx
        from chappe.app import Hub
        from chappe.testing import running_hub

        async def main():
            hub = Hub(dev=True, broker="sqlite://" + sys.argv[1])
            answers = []
            async with running_hub(hub) as running, httpx.AsyncClient() as client:
                for limit in (resource.RLIM_INFINITY, 0, resource.RLIM_INFINITY):
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                    answer = await client.get(running.url + "/readyz")
                    answers.append([answer.status_code, answer.json()["reasons"]])
                    await asyncio.sleep(1.1)
            print(json.dumps(answers))

        asyncio.run(main())
    """
    answers = run_limited(program, tmp_path / "hub.db")
    assert answers == [[200, {}], [503, {"broker": "does not store"}], [200, {}]]


async def test_the_examination_tells_what_a_hub_would_find(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    assert examine(f"sqlite://{path}").state == "new"
    async with running(path) as world:
        await world.probe.store(item("durable/a"))
    remove(path, "-witness")
    assert examine(f"sqlite://{path}")[:4] == ("lossy", str(path), 1, 1)
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 2 + 8] = os.urandom(8)
    path.write_bytes(data)
    report = examine(f"sqlite://{path}")
    assert report.state == "unusable"
    assert "is damaged" in report.reason
