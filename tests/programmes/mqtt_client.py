"""A client of paho that may be killed: it keeps its half of a session on disk, as the standard wants it (4.1).

`python -m tests.programmes.mqtt_client publish|subscribe NAME PORT FOLDER QOS TOPIC...` runs until it is killed. What
it does stands in FOLDER/NAME.<number>.log before the hub hears of it; the next life reads what the lives before wrote.
"""

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from chappe.testing.checker import payload_hash

#: In FOLDER: no more is published once it is there.
STOP: Final = "stop"
#: Messages that wait for their acknowledgement at once.
_MOST: Final = 8
_TICK_S: Final = 0.005
_AGAIN_S: Final = 0.05


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of a log.

    Attributes:
        did: session, subscribed, sent, received (PUBREC), done, got or released (PUBREL).
        text: what was published, in the clear; of what came only the hash.
    """

    did: str
    mid: int = 0
    topic: str = ""
    text: str = ""
    hash: str = ""
    epoch: str = ""
    offset: int = 0
    present: bool = False
    time: float = 0.0


def lines_of(folder: Path, name: str) -> Iterator[Line]:
    """Read what the lives of a client wrote so far; a line that was cut off by a kill is none."""
    decoder = msgspec.json.Decoder(Line)
    for number in itertools.count():
        log = folder / f"{name}.{number}.log"
        if not log.exists():
            return
        for line in log.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield decoder.decode(line)


class DiskClient(paho.Client):
    """paho's client, which tells a log what it is about to do."""

    def keep(self, folder: Path, name: str) -> list[Line]:
        """Begin a life; return what those before wrote."""
        before = list(lines_of(folder, name))
        number = next(each for each in itertools.count() if not (folder / f"{name}.{each}.log").exists())
        self._log = (folder / f"{name}.{number}.log").open("a", encoding="utf-8")
        self._taken: set[int] = set()
        for each in before:
            if each.did == "got":
                self._taken.add(each.mid)
            elif each.did == "released":
                self._taken.discard(each.mid)
        self._unsaid: int | None = None
        return before

    def note(self, did: str, **fields: Any) -> None:
        """Write a line, which a kill of this process does not undo."""
        self._log.write(msgspec.json.encode(Line(did=did, time=time.time(), **fields)).decode() + "\n")
        self._log.flush()

    def got(self, message: paho.MQTTMessage) -> None:
        """Give a message to the application: the log."""
        told = dict(getattr(message.properties, "UserProperty", ()))
        where = {"epoch": told["chappe-epoch"], "offset": int(told["chappe-offset"])}
        self.note("got", mid=message.mid, topic=message.topic, hash=payload_hash(bytes(message.payload)), **where)

    # --- What paho does, told first ----------------------------------------------------------------------------------

    def _send_pubrec(self, mid: int) -> Any:
        self._unsaid = mid
        return paho.MQTT_ERR_SUCCESS

    def _handle_publish(self) -> Any:
        code = super()._handle_publish()
        mid, self._unsaid = self._unsaid, None
        if mid is None:
            return code
        if mid not in self._taken:
            self.got(self._in_messages[mid])
            self._taken.add(mid)
        return super()._send_pubrec(mid)

    def _send_pubcomp(self, mid: int) -> Any:
        self.note("released", mid=mid)
        self._taken.discard(mid)
        return super()._send_pubcomp(mid)

    def _send_publish(self, mid: int, topic: bytes, payload: bytes | bytearray = b"", *args: Any, **more: Any) -> Any:
        if self._sock is not None:
            self.note("sent", mid=mid, topic=topic.decode(), text=bytes(payload).decode())
        return super()._send_publish(mid, topic, payload, *args, **more)

    def _messages_reconnect_reset_out(self) -> None:
        # A second attempt to connect would have paho publish anew what only waits for its PUBCOMP.
        for message in self._out_messages.values():
            if message.state == paho.mqtt_ms_resend_pubrel:
                message.state = paho.mqtt_ms_wait_for_pubcomp
        super()._messages_reconnect_reset_out()

    def _send_pubrel(self, mid: int) -> Any:
        self.note("received", mid=mid)
        return super()._send_pubrel(mid)


def restore(client: DiskClient, before: list[Line], qos: int) -> int:
    """Have messages on their way again that no life completed; return how many were begun."""
    pending: dict[int, tuple[Line, bool]] = {}
    texts: set[str] = set()
    for each in before:
        if each.did == "sent":
            texts.add(each.text)
            pending[each.mid] = (each, False)
        elif each.did == "received" and each.mid in pending:
            pending[each.mid] = (pending[each.mid][0], True)
        elif each.did == "done":
            pending.pop(each.mid, None)
        if each.mid > client._last_mid:
            client._last_mid = each.mid
    for mid, (line, received) in pending.items():
        message = paho.MQTTMessage(mid, line.topic.encode())
        message.payload, message.qos = line.text.encode(), qos
        message.state = paho.mqtt_ms_wait_for_pubcomp if received else paho.mqtt_ms_wait_for_pubrec
        if qos == 1:
            message.state = paho.mqtt_ms_wait_for_puback
        message.dup = True
        client._out_messages[mid] = message
    return len(texts)


def publish(client: DiskClient, name: str, folder: Path, qos: int, topics: list[str], begun: int) -> None:
    """Publish in turn until told to stop, and complete what is on its way for ever."""
    numbers = itertools.count(begun)
    client.on_publish = lambda _client, _data, mid, _code, _properties: client.note("done", mid=mid)
    while True:
        client.loop(_TICK_S)
        # After a DISCONNECT of the hub paho has no socket, and calls itself connected.
        if client._sock is None or not client.is_connected():
            connect(client)
        elif len(client._out_messages) < _MOST and not (folder / STOP).exists():
            number = next(numbers)
            client.publish(topics[number % len(topics)], f"{name} {number}", qos)


def subscribe(client: DiskClient, qos: int, topics: list[str]) -> None:
    """Follow for ever."""

    def came(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.qos == 1:
            client.got(message)

    client.on_message = came
    client.on_subscribe = lambda *_: client.note("subscribed")
    while True:
        client.loop(_TICK_S)
        # After a DISCONNECT of the hub paho has no socket, and calls itself connected.
        if client._sock is None or not client.is_connected():
            connect(client)


def connect(client: DiskClient) -> None:
    """Connect, and wait until the session is there or refused."""
    # A hub whose engine is away lets in and ends; whoever comes back at once does so hundreds of times.
    time.sleep(_AGAIN_S)
    try:
        client.reconnect()
    except OSError:
        return
    while client._sock is not None and not client.is_connected():
        if client.loop(_TICK_S):
            return


def main(role: str, name: str, port: str, folder: str, qos: str, *topics: str) -> None:
    """Run one life of a client."""
    version = paho.MQTTv311 if role == "publish" else paho.MQTTv5
    options: dict[str, Any] = {"clean_session": False} if role == "publish" else {}
    client = DiskClient(CallbackAPIVersion.VERSION2, client_id=name, protocol=version, **options)
    before = client.keep(Path(folder), name)
    begun = restore(client, before, int(qos)) if role == "publish" else 0

    def connected(_client: paho.Client, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            return
        client.note("session", present=flags.session_present)
        if role == "subscribe" and not flags.session_present:
            client.subscribe([(topic, SubscribeOptions(qos=int(qos))) for topic in topics])

    client.on_connect = connected
    wanted = None
    if role == "subscribe":
        wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wanted.SessionExpiryInterval = 3_600
        wanted.UserProperty = ("chappe-positions", "1")
        options = {"clean_start": False, "properties": wanted}
    client.connect_async("127.0.0.1", int(port), **({} if wanted is None else options))
    if role == "publish":
        publish(client, name, Path(folder), int(qos), list(topics), begun)
    else:
        subscribe(client, int(qos), list(topics))


if __name__ == "__main__":
    main(*sys.argv[1:])
