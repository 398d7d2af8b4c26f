"""SUBSCRIBE and UNSUBSCRIBE of one client, and the hub's answers to them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from chappe.hub.mqtt.away import place_of
from chappe.hub.mqtt.kinds import RESUMING, SUBSCRIBING, UNSUBSCRIBING, command_id, parts_of
from chappe.hub.mqtt.retention import is_fleeting
from chappe.hub.mqtt.wording import reason_of_subscribe
from chappe.hub.permissions import Action
from chappe.model.channels import check_pattern, is_pattern, namespace_of
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Frame
from chappe.protocols import base
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.fanout import PublicationFrame
from chappe.protocols.mqtt.filters import Filter, make_filter, split_shared
from chappe.protocols.mqtt.packets import SubscribeFilter, Version
from chappe.protocols.mqtt.reason_codes import ReasonCode

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient


class _Asked:
    """One SUBSCRIBE or UNSUBSCRIBE that is not answered yet.

    Attributes:
        codes: one for each filter, None where the hub has not answered.
        answer: what is sent once the session is written down.
    """

    __slots__ = ("answer", "codes", "names", "packet_id")

    def __init__(self, packet_id: int, names: list[str]) -> None:
        self.packet_id = packet_id
        self.names = names
        self.codes: list[int | None] = [None] * len(names)
        self.answer: packets.Suback | None = None

    @property
    def is_complete(self) -> bool:
        return None not in self.codes


class Asking:
    """What a client asks about filters.

    Attributes:
        fresh: the filter whose retained messages are given now; None: nobody wants them.
        replies: where a channel or a log was when it was answered, by pattern.
        begins: from where the client was a member of groups that it is about to follow again, by name.
    """

    __slots__ = (
        "_client",
        "_held",
        "_left",
        "_resumed",
        "_resuming",
        "_subscribes",
        "_unsubscribes",
        "begins",
        "fresh",
        "replies",
    )

    def __init__(self, client: "MqttClient") -> None:
        self._client = client
        self._subscribes: dict[int, _Asked] = {}
        self._unsubscribes: dict[int, _Asked] = {}
        # What comes before the SUBACK, each with the filter whose retained messages come.
        self._held: list[tuple[PublicationFrame, Filter | None]] = []
        self._resuming: list[str] = []
        # Filters whose answer is awaited, and the answers that came.
        self._left = 0
        self._resumed: list[base.Subscribed] = []
        self.fresh: Filter | None = None
        self.replies: dict[str, SincePosition] = {}
        self.begins: dict[str, SincePosition | None] = {}

    # --- What the client sends ---------------------------------------------------------------------------------------

    def subscribe(self, packet: packets.Subscribe) -> list[base.Command]:
        """Take a SUBSCRIBE; return what the hub is asked for it."""
        client = self._client
        asked = _Asked(packet.packet_id, [each.filter for each in packet.filters])
        identifier = packet.properties.subscription_id or 0
        if client.outbound is not None:
            client.outbound.filters_change()
        self._subscribes[packet.packet_id] = asked
        commands: list[base.Command] = []
        again: list[tuple[Filter, bool]] = []
        for index, each in enumerate(packet.filters):
            one = make_filter(each, self._granted(each), identifier)
            refusal = self._refusal(each, one)
            if refusal is not None:
                asked.codes[index] = refusal
                continue
            is_followed = bool(client.filters.of_pattern(one.pattern))
            former = client.filters.put(one)
            is_new = former is None
            if not one.is_plain:
                client.make_personal()
            if is_followed:
                if one.qos and former is not None and not former.qos:
                    self._begin_here(one.pattern)
                asked.codes[index] = one.qos
                self._arrive(one)
                if not one.group and (one.retain_handling == 0 or (one.retain_handling == 1 and is_new)):
                    again.append((one, is_new))
            else:
                number = command_id(SUBSCRIBING, packet.packet_id, index)
                commands.append(base.Subscribe(number, one.pattern, None))
        self._answer_subscribe(asked)
        for one, is_new in again:
            self._tell_retained(one, is_new)
        return commands

    def unsubscribe(self, packet: packets.Unsubscribe) -> list[base.Command]:
        """Take an UNSUBSCRIBE; return what the hub is asked for it."""
        client = self._client
        asked = _Asked(packet.packet_id, list(packet.filters))
        if client.outbound is not None:
            client.outbound.filters_change()
        self._unsubscribes[packet.packet_id] = asked
        commands: list[base.Command] = []
        for index, name in enumerate(packet.filters):
            one = client.filters.get(name)
            if one is None:
                asked.codes[index] = ReasonCode.NO_SUBSCRIPTION_EXISTED
            elif len(client.filters.of_pattern(one.pattern)) > 1:
                self._forget(name)
                asked.codes[index] = ReasonCode.SUCCESS
            else:
                commands.append(base.Unsubscribe(command_id(UNSUBSCRIBING, packet.packet_id, index), one.pattern))
        self._answer_unsubscribe(asked)
        return commands

    # --- What the hub answers ----------------------------------------------------------------------------------------

    def subscribed(self, message: base.Subscribed) -> None:
        """Learn that a filter is in force; its retained messages, or what it missed, come right behind this."""
        client = self._client
        kind, number, index = parts_of(message.id)
        if kind == RESUMING:
            self._resume_answered(self._resuming[index], message)
            return
        asked = self._subscribes.get(number)
        if asked is None:
            return
        one = client.filters.get(asked.names[index])
        self._remember(message)
        if one is not None:
            self._arrive(one)
        self._begin(one, True)
        if client.outbound is not None and message.recovered and one is not None:
            client.outbound.begin_gap(one, message)
        asked.codes[index] = one.qos if one is not None else ReasonCode.UNSPECIFIED_ERROR
        self._answer_subscribe(asked)

    def unsubscribed(self, message: base.Done) -> None:
        """Learn that a filter is not in force any more."""
        _, number, index = parts_of(message.id)
        asked = self._unsubscribes.get(number)
        if asked is not None:
            self._forget(asked.names[index])
            asked.codes[index] = ReasonCode.SUCCESS
            self._answer_unsubscribe(asked)

    def failed(self, failure: base.Failed) -> None:
        """Learn that the hub refused something about a filter."""
        kind, number, index = parts_of(failure.id or 0)
        if kind == RESUMING:
            self._resuming_failed(self._resuming[index], failure)
            return
        pending = self._subscribes if kind == SUBSCRIBING else self._unsubscribes
        asked = pending.get(number)
        if asked is None:
            return
        self._forget(asked.names[index])
        if kind == SUBSCRIBING:
            asked.codes[index] = reason_of_subscribe(failure.code)
            self._answer_subscribe(asked)
        else:
            asked.codes[index] = ReasonCode.NO_SUBSCRIPTION_EXISTED
            self._answer_unsubscribe(asked)

    def ended(self, message: base.Unsubscribed) -> None:
        """Learn that the hub ended a subscription: subscribe again from where it was, or end."""
        client = self._client
        found = client.filters.of_pattern(message.channel)
        if not found or client.session.is_over:
            return
        for one in found:
            if one.group:
                client.service.groups.interrupted(client, one)
        if message.code >= Code.UNSUBSCRIBED_INSUFFICIENT_STATE:
            places = [(one, client.service.place_of(client, one) if one.qos else None) for one in found]
            places.sort(key=lambda each: -each[0].qos)
            client.hub.clock.call_later(0, lambda: self._again(places))
            return
        for one in found:
            self._forget(one.name)
        client.session.close(Code.DISCONNECTED, message.reason)

    def expect(self, filters: Iterable[tuple[Filter, SincePosition | None]]) -> None:
        """Know where filters were."""
        for one, since in filters:
            if one.group:
                self.begins[one.name] = since
            elif since is not None:
                self.replies[one.pattern] = since

    def resume(self, filters: list[tuple[Filter, SincePosition | None]]) -> None:
        """Follow the filters of an earlier connection again, from where it left them."""
        client = self._client
        if client.outbound is not None:
            client.outbound.begin_resuming()
        # A group has a place of its own: whatever else is to be followed goes on from its place.
        for one, since in sorted(filters, key=lambda each: bool(each[0].group)):
            if client.session.is_over:
                return
            if one.group:
                self.begins[one.name] = since
            elif since is not None:
                self.replies[one.pattern] = since
            if client.session.subscription(one.pattern) is not None:
                self._arrive(one)
                continue
            self._resuming.append(one.name)
            self._left += 1
            number = command_id(RESUMING, 0, len(self._resuming) - 1)
            # Not the client's doing: it takes nothing of its rate.
            client.session.execute(base.Follow(number, one.pattern, None if one.group else since))
        self._end_resuming_soon()

    def note_places(self) -> None:
        """Note where the filters of a client are whose messages were shared so far, which left no trace."""
        for name in self.replies:
            self._begin_here(name)

    def _begin_here(self, name: str) -> None:
        """Follow from here on what was followed with QoS 0: nothing that came so is to come again."""
        client, reply = self._client, self.replies.get(name)
        subscription = client.session.subscription(name)
        channel = client.hub.channels.find(subscription) if subscription is not None else None
        if channel is None or reply is None:
            return
        if channel.fed and reply.position is None:
            reply = SincePosition(channel.epoch, max(channel.fed, reply.offset))
        elif channel.fed:
            prefix, _, digits = (reply.position or "").rpartition(":")
            reply = SincePosition(position=f"{prefix}:{max(channel.fed, int(digits))}")
        self.replies[name] = reply

    @property
    def is_waiting(self) -> bool:
        """Whether a SUBACK is being put together."""
        return bool(self._subscribes)

    def holds(self, frame: Frame) -> bool:
        """Keep a publication that comes before the SUBACK of what it comes for; False: none is awaited."""
        if not self._subscribes or type(frame) is not PublicationFrame:
            return False
        self._held.append((frame, self.fresh))
        return True

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _granted(self, asked: SubscribeFilter) -> int:
        """Return the highest QoS there is for a filter: none but 0 where nothing is kept."""
        namespaces = self._client.hub.namespaces
        _, pattern = split_shared(asked.filter)
        if is_pattern(namespace_of(pattern)):
            return 0 if all(map(is_fleeting, namespaces)) else 2
        return 0 if is_fleeting(namespaces.of(pattern)) else 2

    def _refusal(self, asked: SubscribeFilter, one: Filter) -> int | None:
        client = self._client
        try:
            check_pattern(one.pattern, client.hub.limits.channel_bytes)
        except ChappeError:
            return ReasonCode.TOPIC_FILTER_INVALID
        limit = client.hub.limits.channels_per_client
        if client.filters.get(one.name) is None and len(client.filters) >= limit:
            return ReasonCode.QUOTA_EXCEEDED
        return None

    def _answer_subscribe(self, asked: _Asked) -> None:
        if not asked.is_complete:
            return
        client = self._client
        codes = tuple(code or 0 for code in asked.codes)
        asked.answer = packets.Suback(asked.packet_id, codes)
        client.service.sessions.changed(client, lambda: self._finish(asked))

    def _finish(self, asked: _Asked) -> None:
        """Answer a SUBSCRIBE, now that the session stands."""
        if self._client.session.is_over or asked.answer is None:
            return
        self._subscribes.pop(asked.packet_id, None)
        self._client.put(asked.answer)
        if not self._subscribes:
            # A dict keeps the room it had, 160 bytes of each client.
            self._subscribes = {}
            self._let_go()
            self._client.service.groups.go_on(self._client)

    def _let_go(self) -> None:
        """Send what waited for the SUBACK."""
        held, self._held = self._held, []
        fresh = self.fresh
        for frame, self.fresh in held:
            self._client.send(frame)
        self.fresh = fresh

    def _answer_unsubscribe(self, asked: _Asked) -> None:
        if not asked.is_complete:
            return
        client = self._client
        self._unsubscribes.pop(asked.packet_id, None)
        codes = tuple(code or 0 for code in asked.codes) if client.version is Version.V5 else ()
        answer = packets.Unsuback(asked.packet_id, codes)
        client.service.sessions.changed(client, lambda: client.put(answer))

    def _resume_answered(self, name: str, message: base.Subscribed) -> None:
        client = self._client
        outbound, one = client.outbound, client.filters.get(name)
        since = self.replies.get(message.channel) if one is not None and not one.group else None
        self._resumed.append(message)
        # Nothing retained: the client had it when it subscribed.
        self.fresh = None
        if one is not None:
            self._arrive(one, _place_of(message))
        if outbound is not None and one is not None:
            outbound.begin_gap(one, message)
        if since is not None and not message.recovered:
            client.service.gap(client, name)
        self._left -= 1
        self._end_resuming_soon()

    def _end_resuming_soon(self) -> None:
        """Expect nothing more that was missed, behind what comes with the last answer."""

        def end() -> None:
            client = self._client
            if self._left or client.session.is_over:
                return
            resumed, self._resumed = self._resumed, []
            if client.outbound is not None and not client.outbound.end_resuming():
                # It got as far as it got: the next connection goes on from there.
                return
            client.service.groups.go_on(client)
            for message in resumed:
                if client.filters.of_pattern(message.channel):
                    self._remember(message)

        if not self._left:
            self._client.hub.clock.call_later(0, end)

    def _resuming_failed(self, name: str, failure: base.Failed) -> None:
        """Let a filter go that is not allowed any more; what only fails now is tried again at the next connection."""
        session = self._client.session
        if failure.retry:
            session.close(Code.INSUFFICIENT_STATE)
            return
        session.hub.log("INFO", "session %s may not follow %s any more: %s", session.id, name, failure.reason)
        self._forget(name)
        self._left -= 1
        self._end_resuming_soon()

    def _arrive(self, one: Filter, place: SincePosition | None = None) -> None:
        """Be a member of a group, now that its filter is followed, from a place on or from where the client is."""
        if one.group:
            place = place or place_of(self._client, one)
            self._client.service.groups.arrived(self._client, one, place, self.begins.pop(one.name, None) or place)

    def _begin(self, one: Filter | None, is_new: bool) -> None:
        """Expect the retained messages of a filter, if it wants them (3.8.3.1)."""
        wants = (
            one is not None and not one.group and (one.retain_handling == 0 or (one.retain_handling == 1 and is_new))
        )
        self.fresh = one if wants else None

    def _remember(self, message: base.Subscribed) -> None:
        self.replies[message.channel] = _place_of(message)

    def _forget(self, name: str) -> None:
        client = self._client
        one = client.filters.remove(name)
        if one is None:
            return
        if one.group:
            client.service.groups.quit(client, one)
        if not client.filters.of_pattern(one.pattern):
            self.replies.pop(one.pattern, None)

    def _again(self, places: list[tuple[Filter, SincePosition | None]]) -> None:
        left = [(one, since) for one, since in places if self._client.filters.get(one.name) is not None]
        if left:
            self.resume(left)

    def _tell_retained(self, one: Filter, is_new: bool) -> None:
        """Give the retained messages of a filter that was there already (3.8.4)."""
        client = self._client

        def found(frames: list[PublicationFrame]) -> None:
            if client.session.is_over:
                return
            self._begin(one, is_new)
            for frame in frames:
                client.send(frame)

        try:
            client.hub.permissions.authorize(client.session.actor, Action.RETAINED, one.pattern)
        except ChappeError:
            return
        client.service.retained(client, one.pattern, found)


def _place_of(message: base.Subscribed) -> SincePosition:
    """Return where a channel or a log was when it was answered."""
    position = message.position
    return (
        SincePosition(position.epoch, position.offset)
        if position is not None
        else SincePosition(position=message.log_position)
    )
