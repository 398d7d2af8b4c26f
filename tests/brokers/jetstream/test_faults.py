"""The server dies, forgets, fills up, hangs or is meddled with: nothing acknowledged is lost in silence."""

import asyncio
import json

import pytest

from chappe.brokers.nats.broker import NatsBroker
from chappe.brokers.nats.examination import OLDEST_SERVER, examine, version_of
from chappe.hub.contracts import Read, ReadLog
from chappe.model.error_codes import Code
from chappe.model.errors import ConfigurationError
from chappe.testing.broker_probe import Pending
from chappe.testing.fault_proxy import FaultProxy
from tests.brokers.jetstream.server import DURABLE, KEPT, LIVE, Node, item, make, node, running


async def api(broker: NatsBroker, what: str, body: object = None) -> None:
    """Do to the streams what an administrator could do."""
    connection = broker._connection
    assert connection is not None
    _, answer = await connection.request(f"$JS.API.{what}", json.dumps(body).encode() if body else b"")
    assert b'"success":true' in answer


async def answered(one: Node, pending: list[Pending]) -> None:
    await one.until(lambda: all(each.outcomes for each in pending), "the outcome of everything")


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_a_killed_server_with_files_loses_nothing_acknowledged() -> None:
    async with running() as server, node(server.url) as one:
        one.broker.attach("durable/a")
        acknowledged: list[bytes] = []
        for turn in range(2):
            pending = []
            for number in range(300 * turn, 300 * turn + 300):
                pending.append(one.probe.append_later(item("durable/a", b"%d" % number, DURABLE)))
                if number % 50 == 0:
                    await asyncio.sleep(0.002)
            one.probe.interruptions.clear()
            await server.kill()
            await answered(one, pending)
            await one.until(lambda: not one.broker.is_connected, "the loss of the connection")
            acknowledged += [each.batch[0].payload for each in pending if each.outcomes and not each.outcomes[0].error]
            late = one.probe.append_later(item("durable/a", b"late", DURABLE))
            assert late.outcomes
            assert late.outcomes[0].error == Code.NOT_AVAILABLE
            await server.start()
            await one.until_up()
        assert acknowledged
        result = await one.probe.read(Read("durable/a", DURABLE, limit=10_000))
        stored = [publication.payload for publication in result.publications]
        assert len(set(stored)) == len(stored)
        assert [payload for payload in stored if payload in set(acknowledged)] == acknowledged
        assert b"late" not in stored


@pytest.mark.slow
async def test_what_a_lost_connection_still_hands_out_hides_no_gap() -> None:
    async with running() as server, node(server.url) as one, node(server.url) as other:
        one.hears_others()
        one.broker.attach("kept/a")
        await one.probe.read(Read("kept/a", KEPT))
        await other.probe.store(item("kept/a", b"1"))
        await one.probe.fed("kept/a", 1)
        connection = one.broker._connection
        assert connection is not None
        (number,) = (each._id for name, each in connection._subscriptions.items() if "_INBOX" not in name)
        take = connection._client.handlers[number]
        late: list[tuple[bytes, bytes, bytes]] = []
        connection._client.handlers[number] = lambda *message: late.append(message)
        await other.probe.store(item("kept/a", b"2"), item("kept/a", b"3"))
        await one.until(lambda: len(late) == 2, "both messages")
        # The first is waiting to be fed when the connection is lost; the library hands the second out after that.
        take(*late[0])
        connection.abort("cut")
        take(*late[1])
        await one.until(lambda: one.probe.interruptions, "the interruption")
        assert [each.payload for each in one.probe.feed] == [b"1"]


@pytest.mark.slow
async def test_positions_survive_a_killed_server_with_files_and_can_be_continued() -> None:
    async with running() as server, node(server.url) as one:
        first, last = await one.probe.store(item("kept/a", b"1"), item("kept/a", b"2"))
        log = (await one.probe.read_log(ReadLog("kept/#"))).position
        await server.kill()
        await one.until(lambda: not one.broker.is_connected, "the loss of the connection")
        await server.start()
        await one.until_up()
        result = await one.probe.read(Read("kept/a", KEPT, first, limit=9))
        assert result.complete
        assert result.position == last
        assert [publication.payload for publication in result.publications] == [b"2"]
        # Live channels are in memory: a log position may have missed some of those.
        assert not (await one.probe.read_log(ReadLog("kept/#", log, 9))).complete


@pytest.mark.slow
async def test_a_server_in_memory_that_restarts_begins_new_epochs_and_that_is_told() -> None:
    async with running() as server, node(server.url, storage="memory") as one:
        one.broker.attach("kept/a")
        (first,) = await one.probe.store(item("kept/a", retain=True))
        await server.kill()
        await server.start()
        await one.until_up()
        assert one.broker.epochs == 1
        result = await one.probe.read(Read("kept/a", KEPT, first, limit=9))
        assert not result.complete
        assert result.retained is None
        assert result.position.epoch != first.epoch
        (again,) = await one.probe.store(item("kept/a", b"2"))
        assert again.epoch == result.position.epoch
        await one.probe.fed("kept/a", 2)


@pytest.mark.slow
async def test_a_half_open_connection_is_noticed_and_replaced() -> None:
    async with (
        running() as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        node(server.url.replace(str(server.port), str(proxy.port))) as one,
        node(server.url) as other,
    ):
        one.hears_others()
        one.broker.attach("kept/a")
        await one.probe.store(item("kept/a", b"1"))
        proxy.half_open()
        lost = one.probe.append_later(item("kept/a", b"2"))
        await one.until(lambda: lost.outcomes, "an answer over a dead connection")
        assert lost.outcomes
        assert lost.outcomes[0].error == Code.NOT_AVAILABLE
        await other.probe.store(item("kept/a", b"3"))
        await one.until_up()
        await one.probe.read(Read("kept/a", KEPT))  # as a hub does: what comes later is in the feed
        await other.probe.store(item("kept/a", b"4"))
        await one.until(lambda: b"4" in one.payloads("kept/a"), "the feed of a new connection")
        assert b"3" in [each.payload for each in (await one.probe.read(Read("kept/a", KEPT, limit=9))).publications]


@pytest.mark.slow
async def test_a_reset_connection_answers_what_is_pending_and_a_repetition_with_its_key_is_safe() -> None:
    async with (
        running() as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        node(server.url.replace(str(server.port), str(proxy.port))) as one,
    ):
        await one.probe.store(item("kept/a", b"0"))
        proxy.delay(0.2)
        items = [item("kept/a", b"%d" % number, key=str(number)) for number in range(1, 11)]
        pending = [one.probe.append_later(each) for each in items]
        await asyncio.sleep(0.3)  # stored by now, and not acknowledged
        proxy.reset()
        await answered(one, pending)
        assert {each.outcomes[0].error for each in pending if each.outcomes} == {Code.NOT_AVAILABLE}
        proxy.delay(0.0)
        await one.until_up()
        await one.probe.store(*items)
        result = await one.probe.read(Read("kept/a", KEPT, limit=99))
        assert [each.payload for each in result.publications] == [b"%d" % number for number in range(11)]


@pytest.mark.slow
async def test_a_channel_purged_by_somebody_else_cannot_be_continued() -> None:
    async with running() as server, node(server.url) as one:
        first, last = await one.probe.store(item("kept/a", b"1"), item("kept/a", b"2"))
        await api(one.broker, "STREAM.PURGE.chappe", {"filter": "chappe.s.kept.>"})
        result = await one.probe.read(Read("kept/a", KEPT, first, limit=9))
        assert not result.complete
        assert result.position.epoch != last.epoch
        assert ["kept/a"] in one.probe.interruptions
        await one.probe.store(item("kept/a", b"3"))
        assert not (await one.probe.read(Read("kept/a", KEPT, first, limit=9))).complete


@pytest.mark.slow
async def test_a_stream_deleted_by_somebody_else_is_made_anew_and_told() -> None:
    async with running() as server, node(server.url) as one, node(server.url) as other:
        for each in (one, other):
            each.hears_others()
            each.broker.attach("kept/a")
        (first,) = await one.probe.store(item("kept/a", b"1"))
        await api(one.broker, "STREAM.DELETE.chappe")
        (outcome,) = await one.probe.append(item("kept/a", b"2"))
        assert outcome.error == Code.NOT_AVAILABLE
        for each in (one, other):
            await each.until_up()
        result = await other.probe.read(Read("kept/a", KEPT, first, limit=9))
        assert not result.complete
        assert result.position.epoch != first.epoch
        (again,) = await one.probe.store(item("kept/a", b"3"))
        assert again.epoch == result.position.epoch
        await other.until(lambda: b"3" in other.payloads("kept/a"), "the feed of a new stream")


@pytest.mark.slow
async def test_a_stream_that_lost_its_end_gets_new_epochs() -> None:
    async with running() as server, node(server.url) as one:
        first, _ = await one.probe.store(item("kept/a", b"1"), item("kept/a", b"2"))
        one.broker._streams.main.saw(10_000)  # as if so much had been there before a disk forgot it
        await one.until_up()
        assert one.broker.epochs == 1
        result = await one.probe.read(Read("kept/a", KEPT, first, limit=9))
        assert not result.complete
        assert result.position.epoch != first.epoch


@pytest.mark.slow
async def test_a_full_stream_refuses_and_goes_on_when_there_is_room() -> None:
    async with running() as server, node(server.url, max_bytes=200_000) as one:
        await one.probe.store(item("kept/a", b"first"))
        outcomes = [(await one.probe.append(item("kept/a", b"x" * 10_000)))[0] for _ in range(30)]
        errors = [outcome.error for outcome in outcomes]
        assert errors[0] == 0
        assert errors[-1] == Code.NOT_AVAILABLE
        assert errors == sorted(errors)
        while not (await one.probe.append(item("kept/b", b"x" * 50)))[0].error:
            pass
        assert (await one.probe.append(item("kept/new", b"x" * 50)))[0].error == Code.NOT_AVAILABLE
        assert (await one.probe.append(item("live/a", namespace=LIVE)))[0].error == 0
        result = await one.probe.read(Read("kept/a", KEPT, limit=1_000))
        assert len(result.publications) == 1 + errors.count(0)
        await api(one.broker, "STREAM.PURGE.chappe", {"filter": "chappe.s.kept.a.!", "keep": 2})
        assert (await one.probe.append(item("kept/new", b"x" * 50)))[0].error == 0
        assert not one.told


@pytest.mark.slow
async def test_a_server_without_jetstream_is_refused_with_what_to_do() -> None:
    async with running(jetstream=False) as server:
        broker = make(server.url)
        with pytest.raises(ConfigurationError, match=r"JetStream is not enabled.*-js"):
            await broker.start(Node(server.url).probe)


@pytest.mark.slow
async def test_a_wrong_token_and_a_server_that_is_not_there_are_told_without_the_secret() -> None:
    async with running() as server:
        for url, told in (
            (f"nats://hunter2@127.0.0.1:{server.port}/", "authorization|Authorization|reset by peer"),
            ("nats://hunter2@127.0.0.1:1/", "refused|Connect call failed|Errno"),
        ):
            with pytest.raises(ConfigurationError, match=told) as caught:
                await make(url).start(Node(url).probe)
            assert "hunter2" not in str(caught.value)


@pytest.mark.slow
async def test_the_first_server_that_answers_is_taken() -> None:
    async with running() as server:
        url = server.url.replace("127.0.0.1", "127.0.0.1:1,127.0.0.1")
        for _ in range(3):
            async with node(url) as one:
                await one.probe.store(item("kept/a"))


@pytest.mark.slow
async def test_a_look_at_the_servers_tells_what_is_wrong_with_them() -> None:
    async with running() as server, running(jetstream=False) as bare:
        good = await asyncio.to_thread(examine, server.url)
        assert (good.state, good.server) == ("good", f"127.0.0.1:{server.port}")
        assert version_of(good.version) >= OLDEST_SERVER
        assert (await asyncio.to_thread(examine, bare.url)).state == "bare"
    assert examine("nats://127.0.0.1:1,127.0.0.1:2").state == "silent"
