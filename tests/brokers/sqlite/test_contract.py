"""The broker on a file keeps the contract, alone on a fresh file and after others on the same one."""

import itertools
import os
from pathlib import Path

import pytest

from chappe.brokers.sqlite import SqliteBroker
from chappe.brokers.sqlite.database import Sync
from chappe.hub.contracts import Broker
from chappe.testing import check_broker
from chappe.transports.event_loop import LoopClock
from tests.brokers.sqlite.place import SlowClock


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["normal", "full"])
async def test_it_keeps_the_contract_on_one_file_after_another(tmp_path: Path, sync: Sync) -> None:
    numbers = itertools.count()

    async def factory() -> Broker:
        return SqliteBroker(LoopClock(), os.urandom, tmp_path / f"{next(numbers)}.db", sync=sync)

    await check_broker(factory)


@pytest.mark.slow
async def test_it_keeps_the_contract_on_a_file_that_others_used_and_for_minutes(tmp_path: Path) -> None:
    clock = SlowClock()

    async def factory() -> Broker:
        return SqliteBroker(clock, os.urandom, tmp_path / "hub.db")

    await check_broker(factory, sleep=clock.sleep, patience_s=10.0, minutes_pass=True)
