"""Turn the settings about who somebody is, and who may do what, into what decides; nobody is asked anything here."""

from collections.abc import Sequence

from chappe.auth.authorize_webhook import AuthorizeWebhook
from chappe.auth.exchange import check_url
from chappe.auth.issuers import Issuers
from chappe.auth.jwks import KeySet
from chappe.auth.jwt import JwtAuthenticator
from chappe.auth.token_webhook import WebhookAuthenticator
from chappe.config.settings import Settings
from chappe.hub.contracts import Clock
from chappe.model.errors import ConfigurationError
from chappe.transports.credentials import CredentialReader


def make_authenticator(settings: Settings, clock: Clock) -> Issuers | None:
    """Return what verifies the tokens of `[auth]` and `[issuers.<name>]`; None: there is no key and no service.

    Raises:
        ConfigurationError: a key, an algorithm or a URL cannot be used; the text names the setting.
    """
    auth = settings.auth
    issuers: list[JwtAuthenticator] = []
    if auth.hmac_secret_file or auth.public_keys or auth.jwks_url:
        issuers.append(
            JwtAuthenticator.from_files(
                hmac_secret_file=auth.hmac_secret_file,
                public_key_files=auth.public_keys,
                algorithms=auth.algorithms,
                audience=auth.audience,
                issuer=auth.issuer,
                key_set=_key_set(settings, "auth.jwks_url", auth.jwks_url, auth.algorithms, clock),
                leeway_s=auth.leeway_s,
            )
        )
    for name, table in settings.issuers.items():
        if not table.issuer:
            raise ConfigurationError(f"issuers.{name}.issuer is empty, expected the iss of its tokens")
        if not table.jwks_url and not table.public_keys:
            raise ConfigurationError(f"issuers.{name} has no key: set jwks_url or public_keys")
        issuers.append(
            JwtAuthenticator.from_files(
                public_key_files=table.public_keys,
                algorithms=table.algorithms,
                audience=table.audience or auth.audience,
                issuer=table.issuer,
                key_set=_key_set(settings, f"issuers.{name}.jwks_url", table.jwks_url, table.algorithms, clock),
                leeway_s=auth.leeway_s,
                scopes=table.scopes,
            )
        )
    webhook = None
    if auth.webhook_url:
        check_url("auth.webhook_url", auth.webhook_url, auth.insecure_http)
        webhook = WebhookAuthenticator(auth.webhook_url, clock, cache_s=auth.webhook_cache_s)
    return Issuers(issuers, webhook) if issuers or webhook is not None else None


def make_authorizer(settings: Settings) -> AuthorizeWebhook | None:
    """Return what asks the service of `auth.authorize_url`, or None: there is none.

    Raises:
        ConfigurationError: the URL cannot be used.
    """
    auth = settings.auth
    if not auth.authorize_url:
        return None
    check_url("auth.authorize_url", auth.authorize_url, auth.insecure_http)
    return AuthorizeWebhook(auth.authorize_url, auth.authorize_timeout_s, auth.authorize_cache_s)


def make_reader(settings: Settings) -> CredentialReader:
    """Return how requests may bring credentials."""
    return CredentialReader(
        cookie_name=settings.auth.cookie_name,
        origins=frozenset(settings.server.allowed_origins) - {"null"},
        certificate_user=settings.auth.certificate_user,
    )


def _key_set(settings: Settings, name: str, url: str, algorithms: Sequence[str], clock: Clock) -> KeySet | None:
    if not url:
        return None
    check_url(name, url, settings.auth.insecure_http)
    return KeySet(url, algorithms, clock, refresh_s=settings.auth.jwks_refresh_s)
