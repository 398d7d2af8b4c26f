"""`chappe serve --workers N`: several processes behind one port."""

import asyncio
import contextlib
import datetime
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import click

from chappe.cli.grammar import Failure
from chappe.cli.texts import T
from chappe.cli.version import chappe_version
from chappe.config import Settings
from chappe.model.errors import ConfigurationError
from chappe.server.workers import Supervisor
from chappe.telemetry import logging_to

if TYPE_CHECKING:
    from chappe.brokers.nats.local import LocalNats

_log = logging.getLogger("chappe.server")
#: What the workers are told by the environment: it is not shown in a list of processes.
_BROKER = "CHAPPE_BROKER__URL"
#: Between the end of the NATS server and its next start, seconds.
_PAUSE_S = 0.5
#: Brokers of one process.
_ALONE = ("memory:", "sqlite:")


def supervise(settings: Settings) -> None:
    """Run workers until SIGINT or SIGTERM; SIGHUP restarts them one after the other.

    Raises:
        Failure: the broker is one that processes cannot share.
        ConfigurationError: the address cannot be listened on, a worker does not start, there is no NATS server.
    """
    options = settings.log.options(datetime.datetime.now().astimezone())
    with logging_to(options, details=f"chappe {chappe_version()}, process {os.getpid()}"):
        asyncio.run(_supervise(settings))


async def _supervise(settings: Settings) -> None:
    server = settings.server
    mqtt = {"--mqtt-port": settings.mqtt.port, "mqtt.tls_port": settings.mqtt.tls_port}
    async with _shared_broker(settings) as environ:
        supervisor = Supervisor(
            _command,
            server.workers,
            (server.host, server.port),
            environ=environ,
            drain_timeout_s=server.drain_timeout_s,
            log=_log,
            more={option: port for option, port in mqtt.items() if port},
        )
        scheme = "https" if server.cert else "http"
        host = f"[{server.host}]" if ":" in server.host else server.host
        url = f"{scheme}://{host}:{supervisor.port}"

        def started() -> None:
            click.echo(T["serve_workers_ready"].format(version=chappe_version(), url=url, workers=server.workers))
            _log.info("start: %d workers serve %s, process %d", server.workers, url, os.getpid())

        await supervisor.run(started)
        _log.info("stop: %d workers served %s", server.workers, url)


@contextlib.asynccontextmanager
async def _shared_broker(settings: Settings) -> AsyncIterator[dict[str, str]]:
    """Give the environment of workers; where no broker is configured they get a NATS server of their own."""
    url = settings.broker.url
    if not url.startswith(_ALONE):
        yield dict(os.environ)
        return
    if not url.startswith("memory:"):
        raise Failure(T["serve_workers_broker"].format(broker=url.partition(":")[0]))
    from chappe.brokers.nats.local import LocalNats

    nats = LocalNats()
    await nats.start()
    keeping = asyncio.create_task(_keep(nats))
    try:
        yield {**os.environ, _BROKER: nats.url}
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await nats.stop()


async def _keep(nats: "LocalNats") -> None:
    """Start the NATS server again when it ends by itself, with what it has on disk."""
    while True:
        code = await nats.ended()
        _log.error("the NATS server of the workers ended with %d, it is started again", code)
        await asyncio.sleep(_PAUSE_S)
        try:
            await nats.start()
        except ConfigurationError as error:
            _log.error("%s", error)


def _command(port: int) -> list[str]:
    """Return the command line of a worker: this one, with the port that they share."""
    return [sys.executable, "-m", "chappe", *sys.argv[1:], "--port", str(port)]
