"""CONNECT and its answer."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec.structs import replace

from chappe.hub.contracts import Claims
from chappe.hub.mqtt.kinds import CONNECTING
from chappe.hub.mqtt.wording import reason_of_close, reason_of_connect
from chappe.hub.permissions import Action
from chappe.model.channels import check_channel
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.encoder import encode, encode_refusal, encode_within
from chappe.protocols.mqtt.packets import Connack, ConnackProperties, Connect, Version
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient
    from chappe.hub.mqtt.service import MqttService

#: Characters of a client id; 23 must be accepted (MQTT 5, 3.1.3.1), and names of certificates are longer.
_CLIENT_ID_CHARACTERS: Final = 256
#: Bytes of randomness in an id that we choose.
_ASSIGNED_BYTES: Final = 12
#: A user property of CONNECT by which a client asks for offset and epoch of each message.
POSITIONS: Final = "chappe-positions"


class Passwords(Protocol):
    """Knows the passwords of the configured users."""

    def knows(self, user: str) -> bool:
        """Tell whether a user has a password."""

    def verify(self, user: str, password: str, address: str) -> Awaitable[bool]:
        """Tell whether it is this one.

        Raises:
            ChappeError: 111, too many failures; so does the awaitable.
        """


class Handshake:
    """One CONNECT on its way to its CONNACK.

    Attributes:
        auth_answer: what its authentication method says to a client that is let in.
        reason_code: why it is refused; 0: it is not.
    """

    __slots__ = ("_assigned", "_connect", "_reason", "auth_answer", "reason_code")

    def __init__(self, connect: Connect, assigned: str) -> None:
        self._connect = connect
        self._assigned = assigned
        self._reason = ""
        self.auth_answer: bytes | None = None
        self.reason_code = 0

    @property
    def clean_start(self) -> bool:
        """Whether nothing of an earlier session is wanted."""
        return self._connect.clean_start

    @classmethod
    def begin(cls, client: "MqttClient", connect: Connect) -> list[base.Command]:
        """Take a CONNECT; return the command that it means, none if it was refused."""
        service, version = client.service, connect.version
        client.version = version
        assigned = ""
        if not connect.client_id:
            assigned = service.hub.random(_ASSIGNED_BYTES).hex()
        client.client_id = connect.client_id or assigned
        handshake = client.handshake = cls(connect, assigned)
        properties = connect.properties
        # Absent means yes (3.1.2.11.7), but there are clients that cannot read acknowledgements with properties.
        client.tells_problems = properties.request_problem_information is True
        client.max_packet_bytes = properties.maximum_packet_bytes or 0
        client.alias_maximum = min(properties.topic_alias_maximum or 0, service.options.topic_alias_maximum)
        client.receive_maximum = properties.receive_maximum or packets.DEFAULT_RECEIVE_MAXIMUM
        client.expiry_s = service.expiry_of(connect)
        client.keep_alive_s = connect.keep_alive_s
        if version is Version.V5 and not 0 < connect.keep_alive_s <= service.options.keep_alive_max_s:
            client.keep_alive_s = service.options.keep_alive_max_s
        positions = version is Version.V5 and (POSITIONS, "1") in properties.user_properties
        client.wording = service.wording(version, positions)
        client.encoder = service.encoder(client.wording, personal=False)
        problem = handshake._problem(service)
        if problem is not None:
            client.fail(*problem)
            return []
        client.user_name = connect.user_name or ""
        password = connect.password.decode() if connect.password else None
        if connect.properties.authentication_method is not None:
            client.auth_method = connect.properties.authentication_method
            client.authenticate(connect.properties.authentication_data or b"")
            return []
        passwords = service.passwords
        if passwords is not None and password is not None and passwords.knows(client.user_name):
            handshake._verify(client, passwords, password)
            return []
        return [base.Connect(CONNECTING, password, client.user_name or None)]

    def opened(self, client: "MqttClient") -> None:
        """Answer a client that the hub let in; then comes what it missed."""
        will = self._connect.will
        try:
            if will is not None:
                self._check_will(client, will)
        except ChappeError as error:
            self.reason_code, self._reason = reason_of_connect(error.code), error.reason
            client.session.close(Code.DISCONNECTED, error.reason)
            return
        client.will = will
        service = client.service
        resumed = service.sessions.settle(client, clean=self.clean_start)
        client.handshake = None
        client.is_connected = True
        connack = Connack(0, resumed is not None, self._announced(client))
        version = client.version or Version.V5
        data = encode_within(connack, version, client.max_packet_bytes or packets.MAX_VARIABLE_INTEGER)
        client.write(data if data is not None else encode(connack, version))
        if client.alias_maximum or client.max_packet_bytes:
            client.make_personal()
        if resumed is not None:
            service.resume(client, resumed)
        client.go()

    def failed(self, client: "MqttClient", failure: base.Failed) -> None:
        """Note why the hub refused, and end."""
        self.reason_code, self._reason = reason_of_connect(failure.code), failure.reason
        if failure.code == Code.CONFLICT:
            self.reason_code = ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        client.session.close(Code.DISCONNECTED, failure.reason)

    def refuse(self, client: "MqttClient", code: int, reason: str) -> None:
        """Say no."""
        reason_code = ReasonCode(self.reason_code) if self.reason_code else reason_of_close(code)
        client.service.count_reason(reason_code)
        data = encode_refusal(MqttError(reason_code, self._reason or reason), client.version)
        if data:
            client.write(data)

    @staticmethod
    def refusal(client: "MqttClient", error: MqttError, version: Version | None) -> bytes:
        """Return the CONNACK for a CONNECT that is malformed, or too late."""
        return encode_refusal(error, client.version or version)

    def _verify(self, client: "MqttClient", passwords: Passwords, password: str) -> None:
        """Ask whether it is the password of a configured user, who it is then."""
        session, user = client.session, client.user_name
        session.hold()

        def verified(is_right: Any, error: BaseException | None) -> None:
            if session.is_over:
                return
            if error is not None or not is_right:
                session.hub.counters.unauthorized += 1
                refusal = error if isinstance(error, ChappeError) else ChappeError(Code.UNAUTHORIZED)
                session.fail(CONNECTING, refusal)
                return
            session.peer = replace(session.peer, token=None, claims=Claims(user=user))
            session.execute(base.Connect(CONNECTING, None, user))
            session.release()

        session.hub.hooks.spawn(passwords.verify(user, password, session.peer.address), verified)

    def _problem(self, service: "MqttService") -> tuple[ReasonCode, str] | None:
        """Return why a CONNECT is refused before anybody is asked."""
        connect = self._connect
        if connect.version is not Version.V5 and not connect.client_id and not connect.clean_start:
            # [MQTT-3.1.3-8]
            return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "no client id, and no clean session"
        if len(connect.client_id) > _CLIENT_ID_CHARACTERS:
            return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, f"a client id of {len(connect.client_id)} characters"
        method = connect.properties.authentication_method
        if method is not None and method not in service.methods:
            return ReasonCode.BAD_AUTHENTICATION_METHOD, "this hub knows no such authentication method"
        if any(each in (connect.user_name or "") for each in "+#/"):
            # It would be a pattern where rules name users.
            return ReasonCode.BAD_USER_NAME_OR_PASSWORD, "a user name may not contain + # /"
        try:
            (connect.password or b"").decode()
        except UnicodeDecodeError:
            return ReasonCode.BAD_USER_NAME_OR_PASSWORD, "the password is no UTF-8"
        return None

    def _check_will(self, client: "MqttClient", will: packets.Will) -> None:
        hub = client.hub
        check_channel(will.topic, hub.limits.channel_bytes)
        hub.permissions.authorize(client.session.actor, Action.PUBLISH, will.topic)

    def _announced(self, client: "MqttClient") -> ConnackProperties:
        """Return what is allowed here (MQTT 5, 3.2.2.3); what is absent is allowed as far as MQTT goes."""
        connect, service = self._connect, client.service
        options = service.options
        asked_s = connect.properties.session_expiry_s or 0
        return ConnackProperties(
            session_expiry_s=client.expiry_s if client.expiry_s != asked_s else None,
            receive_maximum=options.receive_maximum,
            maximum_packet_bytes=service.max_packet_bytes,
            assigned_client_id=self._assigned or None,
            topic_alias_maximum=options.topic_alias_maximum,
            authentication_method=client.auth_method or None,
            authentication_data=self.auth_answer,
            server_keep_alive_s=client.keep_alive_s if client.keep_alive_s != connect.keep_alive_s else None,
        )
