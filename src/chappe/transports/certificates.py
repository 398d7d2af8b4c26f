"""Who a TLS client is by its certificate, which the handshake has verified."""

import re
import ssl
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from chappe.hub.contracts import Claims

CertificateName: TypeAlias = Literal["", "cn", "dns", "email"]
"""The part of a certificate that names the user: the common name of the subject, or a name of that kind beside it."""

_KINDS: Final = {"dns": "DNS", "email": "email"}
#: As for the subject of a token: what is in `$user/<id>` may not be a pattern or another channel.
_FORBIDDEN: Final = re.compile("[+#/\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NAME_BYTES: Final = 255


def certificate_claims(certificate: Mapping[str, Any] | None, name: CertificateName) -> Claims | None:
    """Return who a certificate is for, until it ends.

    Args:
        certificate: as `ssl.SSLSocket.getpeercert` gives it; None or empty: the client showed none.
    Returns:
        None if it names nobody, or more than one, or somebody who cannot be a user.
    """
    if not certificate or not name:
        return None
    if name == "cn":
        names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    else:
        names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == _KINDS[name]]
    if len(names) != 1 or not isinstance(names[0], str) or _FORBIDDEN.search(names[0]):
        return None
    if not 1 <= len(names[0].encode()) <= _NAME_BYTES:
        return None
    return Claims(user=names[0], expires_at=float(ssl.cert_time_to_seconds(certificate["notAfter"])))
