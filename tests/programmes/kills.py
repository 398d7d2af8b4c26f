"""Kills under load: of the hub, on each of its brokers, and of each engine under two hubs.

The memory broker forgets everything at a kill, so what is promised is: an acknowledged publication reaches everybody
who stayed connected, and whoever comes back is told `recovered: false` rather than left with a silent gap. What is on a
disk survives a kill: everybody who comes back recovers all of it.
"""

import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import jwt

from chappe.testing.checker import Verdict
from chappe.testing.checker.journal import Ack, Event, Seen, Subscribed
from chappe.testing.hub_process import HubProcess
from chappe.testing.kill_programme import KillProgramme
from chappe.testing.load import Load
from tests.programmes.engines import DISK, hubs, shared_engine
from tests.programmes.result import Result

#: Brokers under a hub that is killed, and the level that is promised on them.
HUB_BROKERS: Final = {
    "memory": "recoverable",
    "sqlite-recoverable": "recoverable",
    "sqlite-durable": "durable",
    "redis": "recoverable",
    "nats": "durable",
}
_SECRET: Final = "a secret of more than thirty-two characters"
_SEED: Final = 20_261_122


def configured(folder: Path, broker: str, level: str, *, anonymous: bool = False) -> tuple[Path, str]:
    """Write the settings of a hub whose users have tokens (or need none); return their file and a token."""
    settings, secret = folder / "chappe.toml", folder / "secret"
    secret.write_text(_SECRET, encoding="utf-8")
    settings.write_text(
        f'[broker]\nurl = "{broker}"\n[namespaces.default]\nlevel = "{level}"\n'
        'history_count = 100000\nhistory_age_s = 3600\nsubscribe = "anonymous"\npublish = "anonymous"\n'
        f'[limits]\nmessages_per_s = 0\n[auth]\nhmac_secret_file = "{secret}"\nalgorithms = ["HS256"]\n'
        f"anonymous = {str(anonymous).lower()}\n",
        encoding="utf-8",
    )
    claims = {"sub": "ada", "aud": "chappe", "exp": time.time() + 86_400}
    return settings, jwt.encode(claims, _SECRET, "HS256")


async def kill_hub(broker: str, kills: int) -> tuple[Verdict, list[Event]]:
    """Kill a hub on one of `HUB_BROKERS` so often; return the verdict and what everybody saw."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = "memory://" if broker == "memory" else f"sqlite://{folder}/hub.db"
        if broker in DISK:
            url = (await stack.enter_async_context(shared_engine(broker))).url
        settings, token = configured(folder, url, HUB_BROKERS[broker])
        hub = await stack.enter_async_context(HubProcess("--config", str(settings)))
        load = await stack.enter_async_context(Load([hub.url], token=token))
        await KillProgramme(_SEED, kills).run(hub)
        await load.goes_on()
        return await load.finish(), load.events


async def kill_engine(name: str, kills: int) -> tuple[Verdict, list[Event]]:
    """Kill one of `DISK` so often under two hubs."""
    async with (
        shared_engine(name) as engine,
        hubs(name, engine.url, engine.url) as running,
        Load([hub.ws_url for hub in running]) as load,
    ):
        await KillProgramme(_SEED, kills).run(engine)
        await load.goes_on()
        return await load.finish(), load.events


def missed(events: Sequence[Event]) -> int:
    """Count what was acknowledged and some follower has not seen, whatever it was told."""
    acknowledged: dict[str, set[tuple[str, int]]] = {}
    seen: dict[tuple[str, str], set[tuple[str, int]]] = {}
    for event in events:
        if isinstance(event, Ack):
            acknowledged.setdefault(event.channel, set()).add((event.epoch, event.offset))
        elif isinstance(event, Seen | Subscribed):
            places = seen.setdefault((event.subscriber, event.channel), set())
            if isinstance(event, Seen):
                places.add((event.epoch, event.offset))
    return sum(len(acknowledged.get(channel, set()) - places) for (_, channel), places in seen.items())


async def hub_result(broker: str, kills: int) -> Result:
    """Return what killing the hub came to."""
    judged, events = await kill_hub(broker, kills)
    return _result(
        f"hub-{broker}", f"SIGKILL of a hub on {broker} under load", kills, judged, events, broker != "memory"
    )


async def engine_result(name: str, kills: int) -> Result:
    """Return what killing an engine came to."""
    judged, events = await kill_engine(name, kills)
    done = (
        f"SIGKILL of {name.partition('-')[0]} under two hubs and load, {'on disk' if DISK[name] else 'without a disk'}"
    )
    return _result(f"kills-{name}", done, kills, judged, events, DISK[name])


def _result(part: str, done: str, kills: int, judged: Verdict, events: list[Event], survives: bool) -> Result:
    lost = missed(events)
    said = f"{judged}; {lost} acknowledged publications missed by some follower" + (", all told" if lost else "")
    kept = judged.clean and not (survives and lost)
    details = "" if kept else evidence(judged, events)
    return Result(part=part, done=done, times=f"{kills} kills", verdict=said, kept=kept, details=details)


def evidence(judged: Verdict, events: Sequence[Event]) -> str:
    """Return what whoever looks for a defect wants to know: findings, who came back when, and what each saw last."""
    lines = [str(finding) for finding in (*judged.findings[:5], *judged.findings[-5:])]
    begun = min((event.time for event in events), default=0.0)
    last: dict[tuple[str, str], str] = {}
    for event in events:
        if isinstance(event, Subscribed) and event.since is not None:
            lines.append(f"{event.time - begun:.3f} s: {event}")
        elif isinstance(event, Seen):
            last[event.subscriber, event.channel] = f"{event.time - begun:.3f} s: {event.subscriber} saw {event} last"
    return "```\n" + "\n".join([*lines, *last.values()]) + "\n```"
