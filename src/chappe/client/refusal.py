"""Why a server could not be reached or did not take us, and whether to try again, later or another way."""

from typing import Final

from chappe.client.errors import CUT, ConnectionLost
from chappe.client.reconnection import may_retry_status
from chappe.model.error_codes import ERRORS

#: Refusals of credentials: another transport brings the same ones.
_CREDENTIALS: Final = frozenset({401, 407})
#: What OpenSSL's codes for a certificate that is refused mean (x509_vfy.h), in words that say what to do.
_CERTIFICATES: Final = {
    9: "its certificate is not valid yet; check the clock of this machine",
    10: "its certificate has expired",
    18: "its certificate is signed by itself; name it as authority (`ssl`, or --ca) if you trust it",
    19: "its certificate is signed by an unknown authority; name that (`ssl`, or --ca) if you trust it",
    20: "its certificate is signed by an unknown authority; name that (`ssl`, or --ca) if you trust it",
    21: "its certificate is signed by an unknown authority; name that (`ssl`, or --ca) if you trust it",
    62: "its certificate is for another host",
    64: "its certificate is for another address",
}


def over(code: int, reason: str, *, final: bool, retry_after_ms: float = 0.0) -> ConnectionLost:
    """Return what `receive` raises at the end of a connection; a cut may be the work of what carries it."""
    return ConnectionLost(code, reason, final=final, retry_after_ms=retry_after_ms, other_way=code == CUT)


def refusal(status: int, reason: str, retry_after: str = "", code: int = 0) -> ConnectionLost:
    """Return the error for an HTTP status that refused a connection.

    Args:
        status: the HTTP status.
        reason: what to say.
        retry_after: the header `Retry-After`; seconds are heeded, dates are not.
        code: the hub's own, or 0: it told none.
    """
    after_ms = retry_after_ms(retry_after)
    # A server that says when it will take us, or speaks in our codes, is no proxy in the way.
    other_way = status not in _CREDENTIALS and not after_ms and code not in ERRORS
    return ConnectionLost(
        CUT,
        reason,
        final=not may_retry_status(status),
        retry_after_ms=after_ms,
        other_way=other_way,
        code=code,
    )


def retry_after_ms(header: str) -> float:
    """Return the milliseconds that a header `Retry-After` asks for; 0: none."""
    return float(header) * 1000 if header.isdecimal() else 0.0


def unequipped(shown: str, missing: ImportError) -> ConnectionLost:
    """Return the error for a transport that lacks a package: for a SOCKS proxy. Another transport may have its own."""
    reason = f"cannot connect to {shown}: {missing} (`pip install chappe[socks]` has all of them)"
    return over(CUT, reason, final=True)


def unreachable(shown: str, error: OSError) -> ConnectionLost:
    """Return the error for a server that could not be dialed.

    Args:
        shown: its URL, without secrets.
        error: what the system said.
    """
    reason = f"cannot connect to {shown}: {_explain(error)}"
    # Where nobody listens, or where nobody can be found, nobody can be reached another way; a reset is a proxy's word.
    return ConnectionLost(
        CUT, reason, final=_is_certificate_refusal(error), other_way=isinstance(error, ConnectionResetError)
    )


def _is_certificate_refusal(error: OSError) -> bool:
    # By name, since `ssl` may not be there at all. A wrong certificate is as wrong in a minute.
    return any(kind.__name__ in ("SSLCertVerificationError", "CertificateError") for kind in type(error).__mro__)


def _explain(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; check host and port, or start the server"
    told = _CERTIFICATES.get(getattr(error, "verify_code", 0))
    if told:
        return told
    if getattr(error, "reason", "") in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "it speaks no TLS; check the port, or use ws:// or http://"
    message = getattr(error, "verify_message", "") or error.strerror or str(error) or type(error).__name__
    return message[:1].lower() + message[1:] if message[1:2].islower() else message
