"""Who a TLS client is by its certificate, which the handshake has verified."""

import re
from typing import Final, Literal, TypeAlias

from chappe.hub.contracts import Claims
from chappe.transports.peer_certificate import PeerCertificate

CertificateName: TypeAlias = Literal["", "cn", "dns", "email"]
"""The part of a certificate that names the user: the common name of the subject, or a name of that kind beside it."""

_KINDS: Final = {"dns": "DNS", "email": "email"}
#: As for the subject of a token: what is in `$user/<id>` may not be a pattern or another channel.
_FORBIDDEN: Final = re.compile("[+#/\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NAME_BYTES: Final = 255


def certificate_claims(certificate: PeerCertificate | None, name: CertificateName) -> Claims | None:
    """Return who a certificate is for, until it ends.

    Args:
        certificate: None: the client showed none.
    Returns:
        None if it names nobody, or more than one, or somebody who cannot be a user.
    """
    if certificate is None or not name:
        return None
    if name == "cn":
        user = certificate.common_name
    else:
        names = [value for kind, value in certificate.names if kind == _KINDS[name]]
        user = names[0] if len(names) == 1 else ""
    if _FORBIDDEN.search(user) or not 1 <= len(user.encode()) <= _NAME_BYTES:
        return None
    # A number is unique for its issuer only; the word keeps it apart from the ids of tokens.
    issuer = ",".join(f"{kind}={value}" for kind, value in certificate.issuer)
    token_id = f"certificate:{certificate.serial}:{issuer}"
    return Claims(user=user, expires_at=certificate.expires_at, token_id=token_id, issued_at=certificate.issued_at)
