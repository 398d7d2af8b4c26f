"""How every test runs: coroutines on an event loop of their own, with a time limit; a skip fails CI."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:  # no uvloop on Windows
    DEFAULT_LOOP = "asyncio"
else:
    LOOPS["uvloop"] = uvloop.new_event_loop
    DEFAULT_LOOP = "uvloop"

COROUTINE_SHARE = 0.95
"""Share of a test's time limit after which its coroutine is cancelled, just before pytest-timeout would end it: the
traceback then shows where the coroutine waits."""

LEAK_GRACE_S = 1.0
"""How long tasks that a test left behind may take to end before they fail it."""

IN_CI = os.environ.get("CI") == "true"

# Two cores run everything at once: a deadline for one example would measure the neighbours.
SHARED_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", SHARED_MACHINE, max_examples=50)
# CI tells whether a change broke something, so its examples are the same each time; `explore` looks for new ones.
settings.register_profile("ci", SHARED_MACHINE, max_examples=200, derandomize=True)
settings.register_profile("explore", SHARED_MACHINE, max_examples=2_000, print_blob=True)
# For runs that are many times slower than usual, as under sanitizers.
settings.register_profile("quick", SHARED_MACHINE, max_examples=5)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "default"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "loops(*names): run the test on each of these event loops")
    config.stash[SKIPPED] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Multiply a test marked `loops` by the event loops that it names and this system has."""
    if marker := metafunc.definition.get_closest_marker("loops"):
        metafunc.fixturenames.append("event_loop_name")
        metafunc.parametrize("event_loop_name", [name for name in marker.args if name in LOOPS])


@pytest.fixture
def event_loop_name() -> str:
    """Name the event loop that runs the coroutine of this test."""
    return DEFAULT_LOOP


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests, property tests included; other tests are pytest's own affair."""
    # Not from `funcargs`: pytest puts only those names there that the function asks for.
    params = pyfuncitem.callspec.params if hasattr(pyfuncitem, "callspec") else {}
    name = str(params.get("event_loop_name", DEFAULT_LOOP))
    limit_s = time_limit(pyfuncitem)
    handle = getattr(pyfuncitem.obj, "hypothesis", None)
    if handle is not None and inspect.iscoroutinefunction(handle.inner_test):
        inner = handle.inner_test

        def run_example(*args: Any, **kwargs: Any) -> None:
            run(inner(*args, **kwargs), name, limit_s)

        handle.inner_test = run_example
        try:
            pyfuncitem.obj(**arguments(pyfuncitem))
        finally:
            handle.inner_test = inner
        return True
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    run(pyfuncitem.obj(**arguments(pyfuncitem)), name, limit_s)
    return True


def arguments(item: pytest.Function) -> dict[str, Any]:
    """Collect what the fixtures made for the test's own parameters."""
    return {name: item.funcargs[name] for name in item._fixtureinfo.argnames}


def time_limit(item: pytest.Item) -> float | None:
    """Find the seconds a coroutine may take: its `timeout` mark, `--timeout`, or pyproject.toml; 0 is no limit."""
    marker = item.get_closest_marker("timeout")
    given = item.config.getoption("timeout", None)
    if marker and marker.args:
        limit = float(marker.args[0])
    else:
        limit = float(given if given is not None else item.config.getini("timeout") or 0)
    return limit * COROUTINE_SHARE or None


def run(test: Coroutine[Any, Any, None], loop_name: str, limit_s: float | None) -> None:
    """Run one coroutine on a fresh loop; fail for what it leaves behind or what a callback raised unseen."""
    unseen: list[dict[str, Any]] = []

    async def guarded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
        async with asyncio.timeout(limit_s):
            await test
        await no_task_is_left()

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        runner.run(guarded())
    if unseen:
        first = unseen[0]
        raise AssertionError(f"the event loop reported: {first['message']}") from first.get("exception")


async def no_task_is_left() -> None:
    """Wait shortly for the tasks of a test to end, then fail for those that run on: a task has an owner."""
    current = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not current]
    if others:
        _, pending = await asyncio.wait(others, timeout=LEAK_GRACE_S)
        assert not pending, f"the test ends and these tasks run on: {sorted(map(repr, pending))}"


SKIPPED: pytest.StashKey[list[str]] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.skipped:
        item.config.stash[SKIPPED].append(report.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    report = yield
    if report.skipped:
        collector.config.stash[SKIPPED].append(report.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for a skipped test where CI=true: what does not run there is not tested anywhere."""
    if IN_CI and session.config.stash[SKIPPED] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if IN_CI:
        for name in config.stash[SKIPPED]:
            terminalreporter.write_line(f"skipped, and with CI=true a skip fails the run: {name}", red=True)
