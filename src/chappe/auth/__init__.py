"""Who somebody is: tokens, keys, users; each module fulfils the Authenticator contract of `chappe.hub`.

May import `chappe.hub` and below; not transports, brokers or client, which stand beside it.
"""

from chappe.auth.api_keys import ApiKeys
from chappe.auth.issuers import Issuers
from chappe.auth.jwt import JwtAuthenticator, JwtOptions
from chappe.auth.passwords import Passwords
from chappe.auth.token_webhook import WebhookAuthenticator

__all__ = ["ApiKeys", "Issuers", "JwtAuthenticator", "JwtOptions", "Passwords", "WebhookAuthenticator"]
