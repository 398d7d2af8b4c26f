"""Who somebody is: tokens, keys, tickets, users; each module fulfils the Authenticator contract of `chappe.hub`.

May import `chappe.hub` and below; not transports, brokers or client, which stand beside it.
"""

from chappe.auth.api_keys import ApiKeys
from chappe.auth.jwt import JwtAuthenticator, JwtOptions

__all__ = ["ApiKeys", "JwtAuthenticator", "JwtOptions"]
