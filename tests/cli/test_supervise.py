"""`chappe serve --workers N`: what is refused before anything starts; tests/server/test_workers.py runs real ones."""

import pytest

from tests.cli.conftest import Run


def test_a_broker_of_one_process_is_refused(run: Run) -> None:
    result = run("serve", "--dev", "--workers", "2", "--broker", "sqlite:///a.db", "--port", "0")
    assert result.exit_code == 1
    assert "workers need a broker that processes share, sqlite is for one" in result.output


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_a_number_of_workers_that_is_none_is_refused(run: Run, workers: str) -> None:
    result = run("serve", "--dev", "--workers", workers, "--port", "0")
    assert result.exit_code in (1, 2)
    assert "workers" in result.output
