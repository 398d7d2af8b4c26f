"""The credential of a request: a header, a one-use ticket in the URL, a cookie of a page, or a TLS certificate."""

import asyncio
import base64
import hashlib
import hmac
from typing import Final

import msgspec

from chappe.hub.contracts import Claims
from chappe.hub.hub import HubCore
from chappe.hub.tickets import PREFIX
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.certificates import CertificateName, certificate_claims
from chappe.transports.peer_certificate import PeerCertificate
from chappe.transports.upgrade import Request, bearer_token

#: The header that proves that a page, and not only the browser, knows the cookie.
CSRF_HEADER: Final = "chappe-csrf"
_READING: Final = frozenset({"GET", "HEAD"})


class CredentialReader(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests may bring a credential how.

    Attributes:
        cookie_name: of the cookie that holds a token; empty: no cookie is looked at.
        origins: pages that may use the cookie, exactly as browsers send their origin.
        certificate_user: the part of a TLS certificate that names the user; empty: none does.
    """

    cookie_name: str = ""
    origins: frozenset[str] = frozenset()
    certificate_user: CertificateName = ""

    def read(self, request: Request) -> str | None:
        """Return the credential of a request, or None: the `Authorization` header, else a ticket, else the cookie.

        Raises:
            ChappeError: 101, a page that changes something with the cookie does not prove that it knows it.
        """
        token = bearer_token(request)
        if token is not None:
            return token
        ticket = request.query.get("ticket")
        if ticket is not None:
            # Nothing else may stand in a URL: a token in place of a ticket is refused as one that nobody gave out.
            return ticket if ticket.startswith(PREFIX) else PREFIX
        return self._read_cookie(request) if self.cookie_name else None

    def holder(self, request: Request) -> Claims | None:
        """Return whose certificate the TLS client showed; it counts where `read` finds nothing."""
        return self.owner(request.certificate)

    def owner(self, certificate: PeerCertificate | None) -> Claims | None:
        """Return whose certificate it is, as far as one names a user here."""
        return certificate_claims(certificate, self.certificate_user)

    def _read_cookie(self, request: Request) -> str | None:
        # Browsers send cookies with what any page asks for: without an origin that is listed it proves nothing.
        if request.headers.get("origin") not in self.origins:
            return None
        found = _cookies(request.headers.get("cookie", ""), self.cookie_name)
        if len(found) != 1:
            # Of two with one name the other may be planted by a page of a neighbouring host.
            return None
        if request.method not in _READING:
            shown = request.headers.get(CSRF_HEADER, "").encode("latin-1", "replace")
            if not hmac.compare_digest(shown, csrf_token(found[0]).encode()):
                problem = "cookie: expected its proof in the header Chappe-CSRF"
                raise ChappeError(Code.UNAUTHORIZED, detail={"problem": problem})
        return found[0]


#: What is read where neither cookies nor certificates are configured.
NO_COOKIE: Final = CredentialReader()


def csrf_token(token: str) -> str:
    """Return what a page shows in `Chappe-CSRF` besides the cookie that holds a token.

    It is base64url, without padding, of the SHA-256 of `chappe-csrf:` and the token; who does not know the token cannot
    make it.
    """
    digest = hashlib.sha256(b"chappe-csrf:" + token.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def identify(hub: HubCore, credential: str | Claims) -> Claims:
    """Return the claims of a token or a ticket, or those that a TLS handshake verified, if they count still.

    Raises:
        ChappeError: 101, 108, 109.
    """
    # An error is a result: nobody may be waiting for it any more.
    answer: asyncio.Future[Claims | ChappeError] = asyncio.get_running_loop().create_future()

    def done(claims: Claims | None, error: ChappeError | None) -> None:
        if not answer.done():
            answer.set_result(claims if claims is not None else error or ChappeError(Code.UNAUTHORIZED))

    if isinstance(credential, str):
        hub.authentication.verify(credential, done)
    else:
        hub.authentication.judge(credential, done)
    found = await answer
    if isinstance(found, ChappeError):
        raise found
    return found


def _cookies(header: str, name: str) -> list[str]:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return [value.strip('"') for key, _, value in pairs if key == name and value.strip('"')]
