"""The three streams, who they are, and what is asked of them."""

import asyncio
import datetime
import hashlib
import json
import secrets
from typing import Any, Final

import msgspec

from chappe.brokers.nats.acks import Ack, ack_of
from chappe.brokers.nats.connection import (
    Connection,
    ConnectionFailed,
    StreamLost,
    field_of,
    number_of,
    status_of,
)
from chappe.brokers.nats.options import NatsOptions
from chappe.brokers.nats.record import Record, decode, encode
from chappe.hub.contracts import IDEMPOTENCY_S
from chappe.model.errors import ConfigurationError

#: How old a log position may be: younger than what a forgotten channel leaves behind.
TICK_AGE_S: Final = 3_600
#: Publications kept for each channel before a namespace asks for more.
_FIRST_ROOM: Final = 102
#: Messages asked for in one request.
_PAGE: Final = 1_000
_GENERATION: Final = "chappe-generation"
_NOT_FOUND: Final = 10059
_NAME_IN_USE: Final = 10058
_NANOSECONDS: Final = 1_000_000_000


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as a stream gives it."""

    subject: str
    sequence: int
    stamp: str
    record: Record | None

    def time_s(self) -> float:
        """Return when the server stored it, seconds since 1970."""
        return seconds_of(self.stamp)


class StreamState:
    """What is known of one stream.

    Attributes:
        id: names this life of it; another one when it was made anew or rolled back.
        last: the newest sequence that was ever seen.
        room: publications it keeps for each subject.
        replicas: how many servers have it.
    """

    __slots__ = ("id", "last", "name", "prefix", "replicas", "room")

    def __init__(self, name: str, prefix: str) -> None:
        self.name = name
        self.prefix = prefix
        self.id = ""
        self.last = 0
        self.room = 0
        self.replicas = 1

    def saw(self, sequence: int) -> None:
        """Remember how far the stream came."""
        if sequence > self.last:
            self.last = sequence


class Streams:
    """Makes the streams, recognizes them, and reads them."""

    def __init__(self, options: NatsOptions) -> None:
        name = options.stream
        self._options = options
        self._api = f"$JS.{options.domain}.API" if options.domain else "$JS.API"
        self._connection: Connection | None = None
        self._growing = asyncio.Lock()
        self.main = StreamState(name, f"{name}.s.")
        self.live = StreamState(f"{name}-live", f"{name}.l.")
        self.retained = StreamState(f"{name}-retained", f"{name}.r.")
        self.feed_prefix = f"{name}.f."
        self.tick_subject = f"{name}.t"
        self._born_s = 0.0
        self.clock_skew_s = 0.0

    # --- Who they are ------------------------------------------------------------------------------------------------

    async def meet(self, connection: Connection, wall_s: float) -> bool:
        """Make the streams if they are not there; return whether one is not the one that was met before.

        Raises:
            ConfigurationError: the server has no JetStream, is too old, or refuses a stream.
            ConnectionFailed: it does not answer.
        """
        self._connection = connection
        changed = False
        for state in (self.main, self.live, self.retained):
            info = await self._info(state)
            if info is None:
                info = await self._create(state)
            self.clock_skew_s = wall_s - seconds_of(info["ts"]) if "ts" in info else 0.0
            changed |= await self._recognize(state, info)
        return changed

    async def check(self) -> bool:
        """Tell whether the streams are still those that were met; the server answers, or the connection is given up."""
        for state in (self.main, self.live, self.retained):
            known = state.last  # before asking: acknowledgements may overtake the answer
            info = await self._info(state)
            if info is None or _id_of(info) != state.id or info["state"]["last_seq"] < known:
                return False
        return True

    def is_young(self, now_s: float) -> bool:
        """Tell whether the main stream is younger than any position may be, by the clock of the server."""
        return now_s - self._born_s < TICK_AGE_S

    def tick(self, now_s: float) -> None:
        """Leave a mark that tells positions of the last hour from older ones; one a minute, whoever leaves it."""
        headers = {"Nats-TTL": f"{TICK_AGE_S}s", "Nats-Msg-Id": f"tick-{now_s // 60:.0f}"}
        connection = self._connected()
        connection.publish(self.tick_subject, b"", headers, connection.expect(_ignore))

    async def _recognize(self, state: StreamState, info: dict[str, Any]) -> bool:
        if _id_of(info) == state.id and info["state"]["last_seq"] < state.last:
            # Rolled back: what was told of its end is not there. Everybody has to learn that, so the stream says it.
            config = info["config"]
            config["metadata"] = {**config.get("metadata", {}), _GENERATION: secrets.token_hex(4)}
            info = await self._call(f"STREAM.UPDATE.{state.name}", config)
        changed = state.id not in ("", _id_of(info))
        if _id_of(info) != state.id:
            state.id = _id_of(info)
            state.last = 0
        state.last = max(state.last, info["state"]["last_seq"])
        state.room = info["config"]["max_msgs_per_subject"]
        state.replicas = info["config"]["num_replicas"]
        if state is self.main:
            self._born_s = seconds_of(info["created"])
        return changed

    async def _info(self, state: StreamState) -> dict[str, Any] | None:
        try:
            return await self._call(f"STREAM.INFO.{state.name}", None)
        except _ApiError as error:
            if error.code == _NOT_FOUND:
                return None
            raise ConfigurationError(f"broker.url: NATS refuses stream {state.name}: {error}") from None

    async def _create(self, state: StreamState) -> dict[str, Any]:
        try:
            return await self._call(f"STREAM.CREATE.{state.name}", self._config(state))
        except _ApiError as error:
            if error.code == _NAME_IN_USE and (info := await self._info(state)) is not None:
                return info  # another hub was faster, with other options
            raise ConfigurationError(f"broker.url: NATS refuses stream {state.name}: {error}") from None

    def _config(self, state: StreamState) -> dict[str, Any]:
        options = self._options
        is_main, is_live = state is self.main, state is self.live
        config: dict[str, Any] = {
            "name": state.name,
            "subjects": [state.prefix + ">", *([self.tick_subject] if is_main else [])],
            "storage": "memory" if is_live else options.storage,
            "retention": "limits",
            "discard": "old",
            "num_replicas": options.replicas,
            "max_msgs_per_subject": _FIRST_ROOM if is_main else 1,
            "max_bytes": options.max_bytes or -1,
            "duplicate_window": int(IDEMPOTENCY_S * _NANOSECONDS),
            "allow_direct": True,
            "allow_msg_ttl": True,
        }
        if is_main:
            # What is full says so: another channel's history is nothing to give up for this one's.
            config["discard"] = "new"
        if state is not self.retained:
            config["republish"] = {"src": state.prefix + ">", "dest": self.feed_prefix + ">"}
        return config

    async def make_room(self, count: int) -> None:
        """Let the main stream keep so many publications for each channel.

        Raises:
            StreamLost: it does not.
        """
        async with self._growing:
            info = await self._info(self.main)
            if info is None:
                raise StreamLost(self.main.name)
            if info["config"]["max_msgs_per_subject"] < count:
                config = {**info["config"], "max_msgs_per_subject": count}
                try:
                    await self._call(f"STREAM.UPDATE.{self.main.name}", config)
                except _ApiError as error:
                    raise StreamLost(str(error)) from None
            self.main.room = max(info["config"]["max_msgs_per_subject"], count)

    def trim(self, subject: str, keep: int) -> None:
        """Let the main stream keep only the newest of one subject; nobody waits for it."""
        body = json.dumps({"filter": subject, "keep": keep}).encode()
        connection = self._connected()
        connection.publish(f"{self._api}.STREAM.PURGE.{self.main.name}", body, None, connection.expect(_ignore))

    async def store(self, subject: str, record: Record, headers: dict[str, str]) -> Ack:
        """Store one message and return the answer.

        Raises:
            ConnectionFailed: it did not come in time; the connection is given up.
            StreamLost: no stream has this subject.
        """
        return ack_of(*await self._connected().request(subject, encode(record), headers))

    # --- Reading -----------------------------------------------------------------------------------------------------

    async def last(self, state: StreamState, subject: str) -> Message | None:
        """Return the newest message of a subject (or of all that match), or None.

        Raises:
            StreamLost, ConnectionFailed.
        """
        return await self._get_one(state, {"last_by_subj": subject})

    async def first(self, state: StreamState, subject: str, sequence: int = 1) -> Message | None:
        """Return the oldest message of a subject from a sequence on, or None."""
        return await self._get_one(state, {"seq": sequence, "next_by_subj": subject})

    async def after(
        self, state: StreamState, subject: str, sequence: int, limit: int | None = None
    ) -> tuple[list[Message], int]:
        """Return messages of a subject beyond a sequence, oldest first, and how many more there are."""
        found: list[Message] = []
        pending = 0
        while limit is None or len(found) < limit:
            wanted = _PAGE if limit is None else min(limit - len(found), _PAGE)
            ask = {"seq": max(sequence, 0) + 1, "next_by_subj": subject, "batch": wanted}
            answers = await self._connected().gather(f"{self._api}.DIRECT.GET.{state.name}", json.dumps(ask).encode())
            status = status_of(answers[-1][0])
            if status not in ("204", "404"):
                raise StreamLost(f"{state.name}: status {status}")
            part = [_message(headers, data) for headers, data in answers[:-1]]
            pending = number_of(answers[-1][0], b"Nats-Num-Pending")
            found += part
            if not part or not pending:
                break
            sequence = part[-1].sequence
        return found, pending

    async def _get_one(self, state: StreamState, ask: dict[str, Any]) -> Message | None:
        headers, data = await self._connected().request(
            f"{self._api}.DIRECT.GET.{state.name}", json.dumps(ask).encode()
        )
        status = status_of(headers)
        if status == "404":
            return None
        if status:
            raise StreamLost(f"{state.name}: status {status}")
        return _message(headers, data)

    async def _call(self, what: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else b""
        headers, answer = await self._connected().request(f"{self._api}.{what}", data)
        if status_of(headers) == "503":
            raise ConfigurationError(
                "broker.url: JetStream is not enabled on this NATS server (or for this account), and publications are "
                "kept there; start it with -js, or add jetstream {} to its configuration"
            )
        result: dict[str, Any] = json.loads(answer)
        if "error" in result:
            raise _ApiError(result["error"])
        return result

    def _connected(self) -> Connection:
        if self._connection is None or not self._connection.is_open:
            raise ConnectionFailed("there is no connection")
        return self._connection


class _ApiError(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        self.code = int(error.get("err_code", 0))
        super().__init__(str(error.get("description", "no reason given")))


def seconds_of(stamp: str) -> float:
    """Return a time as servers write it, as seconds since 1970; anything else is a time long ago."""
    try:
        return datetime.datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return 0.0


def _id_of(info: dict[str, Any]) -> str:
    generation = (info["config"].get("metadata") or {}).get(_GENERATION, "")
    return hashlib.blake2s(f"{info['created']} {generation}".encode(), digest_size=6).hexdigest()


def _message(headers: bytes, data: bytes) -> Message:
    try:
        record = decode(data)
    except (msgspec.DecodeError, ValueError):
        record = None  # somebody else wrote it
    return Message(
        field_of(headers, b"Nats-Subject").decode("utf-8", "replace"),
        number_of(headers, b"Nats-Sequence"),
        field_of(headers, b"Nats-Time-Stamp").decode("ascii", "replace"),
        record,
    )


def _ignore(headers: bytes, data: bytes) -> None:
    pass
