"""Requests that name a session: which one, and how it ended."""

from typing import Final

from chappe.api.endpoint import Service
from chappe.api.pages import PageContext, PageEndpoint
from chappe.api.problems import HttpError
from chappe.hub.session import Peer
from chappe.model.error_codes import ERRORS, Code, reason
from chappe.model.errors import ChappeError
from chappe.protocols.validation import bad_request
from chappe.transports.http_sessions import HttpSessions
from chappe.transports.poll_link import Mailbox
from chappe.transports.upgrade import Request

_MAX_CLIENT_ID_CHARS: Final = 64


class HttpSessionEndpoint(PageEndpoint):
    """What the two endpoints share: which session is asked for."""

    page_headers = "Authorization, Cache-Control, Chappe-CSRF, Chappe-Session, Content-Type"

    def __init__(self, service: Service, page: PageContext, sessions: HttpSessions) -> None:
        super().__init__(service, page)
        self.sessions = sessions

    def find(self, head: Request, language: str) -> Mailbox:
        """Return the mailbox of the session that a request names, which may have ended.

        Raises:
            ChappeError: 117, there is none.
        """
        handle = named_session(head)
        mailbox = self.sessions.find(handle) or self.sessions.adopt(handle)
        if mailbox is None:
            raise ChappeError(Code.UNKNOWN_SESSION)
        return mailbox

    def begin(self, head: Request, language: str, client_id: str | None = None) -> Mailbox:
        """Begin a session for who asks.

        Raises:
            ChappeError: 107, 108, 3504.
        """
        protocol = head.query.get("protocol", "chappe.v1")
        if protocol not in ("chappe.v1", "classic"):
            raise bad_request("protocol", 'expected "chappe.v1" or "classic"')
        self.admit(head.address)
        peer = self.peer(head, "poll", language)
        return self.sessions.begin(peer, protocol == "classic", client_id)

    def peer(self, head: Request, carrier: str, language: str) -> Peer:
        """Return what a request tells of who asks.

        Raises:
            ChappeError: 101, its cookie may not be used so.
        """
        reader = self.page.reader
        token, holder = reader.read(head), reader.holder(head)
        return Peer(address=head.address, carrier=carrier, language=language, token=token, claims=holder)

    async def take_over(self, handle: str, head: Request, language: str) -> Mailbox:
        """Begin a session in place of one that is on another connection or was cut.

        Raises:
            ChappeError: 117, there is none; 108, 3504; what refuses who asks.
        """
        self.admit(head.address)
        peer = self.peer(head, "poll", language)
        return await self.sessions.take_over(handle, peer)

    def find_simple(self, client_id: str) -> Mailbox:
        """Return the mailbox of the simple form, which may have ended.

        Raises:
            ChappeError: 103, the simple form is off; 107; 117, there is none.
        """
        mailbox = self._known_simple(client_id)
        if mailbox is None:
            raise ChappeError(Code.UNKNOWN_SESSION)
        return mailbox

    def find_or_begin(self, client_id: str, head: Request, language: str) -> Mailbox:
        """Return the mailbox of the simple form, a new one for an id that is not known.

        Raises:
            ChappeError: 103, the simple form is off; 107, 108, 3504.
        """
        return self._known_simple(client_id) or self.begin(head, language, client_id)

    def check_simple(self, client_id: str) -> None:
        """Refuse an id that no client may make up here.

        Raises:
            ChappeError: 103, the simple form is off; 107.
        """
        if not self.sessions.options.simple or not self.service.hub.permissions.anonymous:
            raise ChappeError(Code.PERMISSION_DENIED, detail={"feature": "poll.simple"})
        if not 1 <= len(client_id) <= _MAX_CLIENT_ID_CHARS:
            raise bad_request("clientId", f"{len(client_id)} characters, expected 1 to {_MAX_CLIENT_ID_CHARS}")

    def _known_simple(self, client_id: str) -> Mailbox | None:
        self.check_simple(client_id)
        return self.sessions.find_simple(client_id)


def named_session(head: Request) -> str:
    """Return the handle that a request names; empty: none. The header counts if the URL names one too."""
    return head.headers.get("chappe-session") or head.query.get("session", "")


def check_not_ended(mailbox: Mailbox, language: str) -> None:
    """Tell how a session ended, if it has.

    Raises:
        ChappeError: 117, its client ended it or did not come back; else the code, with status 410.
    """
    if mailbox.ended is None:
        return
    code, text = mailbox.ended
    if code == Code.UNKNOWN_SESSION:
        raise ChappeError(Code.UNKNOWN_SESSION)
    raise HttpError(410, code, text or (reason(code, language) if code in ERRORS else ""))
