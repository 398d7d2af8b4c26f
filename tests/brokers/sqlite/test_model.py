"""The broker on a file against the naive model, with stops and kills between the steps."""

import asyncio
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from chappe.brokers.sqlite import SqliteBroker
from tests.brokers.sqlite.place import PARTS
from tests.brokers.test_model import CHANNELS, BrokerMachine, Stream


class SqliteMachine(BrokerMachine):
    """Every step waits until the file has what was asked for; a restart keeps what the file has."""

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.seeds = random.Random(seed)
        self.open(self.folder / "0.db")

    def open(self, path: Path) -> None:
        self.file = SqliteBroker(self.clock, self.seeds.randbytes, path)
        self.broker = self.memory = self.file
        self.loop.run_until_complete(self.file.start(self.sink))
        for name in self.attached:
            self.file.attach(name)

    def teardown(self) -> None:
        self.loop.run_until_complete(self.file.stop())
        self.loop.close()
        shutil.rmtree(self.folder)

    def settle(self) -> None:
        while not self.file.is_idle:
            self.loop.run_until_complete(asyncio.sleep(0.0002))

    @rule(how=st.sampled_from(("stop", "kill")))
    def restart(self, how: str) -> None:
        self.settle()
        path = self.folder / f"{int(self.file.path.stem) + 1}.db"
        if how == "stop":
            self.loop.run_until_complete(self.file.stop())
        for part in PARTS:
            source = Path(f"{self.file.path}{part}")
            if source.exists():
                shutil.copy(source, f"{path}{part}")
        if how == "kill":
            self.loop.run_until_complete(self.file.stop())
        self.open(path)
        # The file does not tell whether a channel was forgotten before; then the model lets log positions be refused.
        self.file.streams_forgotten = 1
        assert self.file.new_epochs == 0
        self.streams["live/a"] = Stream()
        self.told["live/a"].clear()
        for channel in CHANNELS:
            stream = self.streams[channel]
            if not stream.entries:
                self.streams[channel] = Stream()
            stream.keys = {name: known for name, known in stream.keys.items() if known[0].offset}


@pytest.mark.slow
@pytest.mark.timeout(120)
class TestSqliteBroker(SqliteMachine.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(stateful_step_count=25, max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
