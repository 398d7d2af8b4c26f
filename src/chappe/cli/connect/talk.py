"""Say how typed lines become frames and frames become happenings: as they are, or as chat in a hub's channel. No I/O.

Both talks have the same four methods; `now` is the wall clock.
"""

import datetime
import json
from typing import Any, Protocol, TypeAlias

from chappe.cli.connect.happenings import Happening
from chappe.cli.texts import T

Frame: TypeAlias = str | bytes


class Talk(Protocol):
    """What the conversation asks of a way to talk."""

    def opening(self) -> list[Frame]:
        """Return the frames that follow each opening of a connection."""

    def outgoing(self, line: str) -> list[Frame]:
        """Return the frames that say a line."""

    def incoming(self, frame: Frame, now: datetime.datetime) -> list[Happening]:
        """Return what a frame means."""

    def answers(self, frame: Frame) -> list[Frame]:
        """Return the frames that a frame must be answered with."""


class RawTalk:
    """Send lines and show frames exactly as they are: any WebSocket server."""

    def opening(self) -> list[Frame]:
        """Return nothing: the server's protocol is not known."""
        return []

    def outgoing(self, line: str) -> list[Frame]:
        """Return the line."""
        return [line]

    def incoming(self, frame: Frame, now: datetime.datetime) -> list[Happening]:
        """Return the frame."""
        if isinstance(frame, bytes):
            return [Happening(kind="received", time=now, data=frame)]
        return [Happening(kind="received", time=now, text=frame)]

    def answers(self, frame: Frame) -> list[Frame]:
        """Return nothing."""
        return []


class ChannelTalk:
    """Chat in one channel of a hub, in chappe.v1: lines are publications, others' join, leave and speak.

    After a cut it subscribes from the last publication seen and says so if the hub no longer has what came between.
    """

    def __init__(self, channel: str, name: str = "", token: str = "") -> None:
        self.channel = channel
        self._name, self._token = name, token
        self._position: dict[str, Any] | None = None
        self._id = 0
        self._subscribe_id = 0
        self._presence_id = 0

    def opening(self) -> list[Frame]:
        """Return connect, subscribe and presence, in that order."""
        connect: dict[str, Any] = {"client": {"name": "chappe connect"}}
        if self._token:
            connect["token"] = self._token
        if self._name:
            connect["name"] = self._name
        frames: list[Frame] = [self._command("connect", **connect)]
        subscribe: dict[str, Any] = {"channel": self.channel, "presence": True}
        if self._position is not None:
            subscribe["since"] = self._position
        frames.append(self._command("subscribe", **subscribe))
        self._subscribe_id = self._id
        frames.append(self._command("presence", channel=self.channel))
        self._presence_id = self._id
        return frames

    def outgoing(self, line: str) -> list[Frame]:
        """Return the line as a message of the chat; the hub puts the sender's real name on it."""
        data = {"type": "message", "content": line}
        if self._name:
            data["username"] = self._name
        return [self._command("publish", channel=self.channel, data=data)]

    def incoming(self, frame: Frame, now: datetime.datetime) -> list[Happening]:
        """Return what the messages of a frame mean to a person."""
        try:
            decoded = json.loads(frame)
        except ValueError:
            decoded = None
        messages = decoded if isinstance(decoded, list) else [decoded]
        happenings: list[Happening] = []
        for message in messages:
            if isinstance(message, dict):
                happenings += self._message(message, now)
            else:
                happenings.append(Happening(kind="error", time=now, text=str(frame)))
        return happenings

    def answers(self, frame: Frame) -> list[Frame]:
        """Return a pong for the hub's ping."""
        return ['{"type":"pong"}'] if isinstance(frame, str) and frame.strip() == '{"type":"ping"}' else []

    def _command(self, kind: str, **members: Any) -> str:
        self._id += 1
        return json.dumps({"type": kind, "id": self._id, **members}, ensure_ascii=False)

    def _message(self, message: dict[str, Any], now: datetime.datetime) -> list[Happening]:
        match message.get("type"):
            case "publication":
                return [self._publication(message, now)]
            case "join" | "leave" as kind:
                who = _who(message.get("member"))
                return [Happening(kind="joined" if kind == "join" else "left", time=now, who=who)]
            case "error":
                text = T["said_refused"].format(reason=message.get("reason", ""), code=message.get("code", 0))
                return [Happening(kind="error", time=now, text=text, code=_int(message.get("code")))]
            case "reply":
                return self._reply(message, now)
            case "unsubscribed":
                text = f"unsubscribed {message.get('code', '')}"
                return [Happening(kind="error", time=now, text=text, code=_int(message.get("code")))]
            case "message":
                text = json.dumps(message.get("data"), ensure_ascii=False)
                return [Happening(kind="notice", time=now, text=text)]
        return []

    def _reply(self, message: dict[str, Any], now: datetime.datetime) -> list[Happening]:
        if message.get("id") == self._subscribe_id:
            missed = self._position is not None and message.get("recovered") is False
            if missed or self._position is None:
                self._note(message)
            return [Happening(kind="notice", time=now, text=T["said_missed"])] if missed else []
        if message.get("id") == self._presence_id:
            names = tuple(sorted({_who(member) for member in message.get("members") or []}))
            return [Happening(kind="present", time=now, names=names)]
        return []

    def _publication(self, message: dict[str, Any], now: datetime.datetime) -> Happening:
        self._note(message)
        data, sender = message.get("data"), message.get("from")
        who, text = _who(sender), data
        if isinstance(data, dict) and data.get("type") == "message":
            who = str(data.get("username") or who)
            text = data.get("content", "")
        if not isinstance(text, str):
            text = json.dumps(text, ensure_ascii=False)
        return Happening(kind="said", time=_moment(message.get("time"), now), who=who, text=text)

    def _note(self, message: dict[str, Any]) -> None:
        """Remember the position to come back to; a publication of the same epoch need not repeat the epoch."""
        epoch = message.get("epoch") or (self._position or {}).get("epoch")
        if epoch and isinstance(message.get("offset"), int):
            self._position = {"epoch": epoch, "offset": message["offset"]}


def _who(member: Any) -> str:
    if not isinstance(member, dict):
        return "?"
    return str(member.get("name") or member.get("user") or member.get("session") or "?")


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _moment(text: Any, now: datetime.datetime) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return now
