"""Which questions of a hub go to its webhook."""

from collections.abc import Awaitable
from typing import Any, Protocol

from chappe.auth.authorize_webhook import AuthorizeWebhook, Question
from chappe.hub.hooks import Draft
from chappe.hub.hub import HubCore
from chappe.hub.namespaces import Access, Namespace
from chappe.model.channels import is_pattern, namespace_of


class Asker(Protocol):
    """Who asks, as hooks see it."""

    @property
    def id(self) -> str:
        """Public id of the session."""

    @property
    def user(self) -> str | None:
        """The authenticated user."""


def ask_webhook(core: HubCore, webhook: AuthorizeWebhook) -> None:
    """Let a webhook decide in each namespace of a hub that says `hook`; the others never hear of it."""

    def concerns(namespace: Namespace, channel: str) -> bool:
        # The patterns of `default` are everybody's.
        return is_pattern(namespace_of(channel)) or core.namespaces.of(channel) is namespace

    def add(namespace: Namespace) -> None:
        pattern = "#" if namespace.name == "default" else f"{namespace.name}/#"

        def subscribe(session: Asker, channel: str) -> Awaitable[None] | None:
            return webhook.check(_question("subscribe", channel, session)) if concerns(namespace, channel) else None

        def publish(session: Asker, draft: Draft) -> Awaitable[None] | None:
            if not concerns(namespace, draft.channel):
                return None
            return webhook.check(_question("publish", draft.channel, session))

        if namespace.subscribe is Access.HOOK:
            core.hooks.add_subscribe(pattern, subscribe)
        if namespace.publish is Access.HOOK:
            core.hooks.add_publish(pattern, publish)

    for namespace in core.namespaces:
        add(namespace)


def _question(action: str, channel: str, session: Any) -> Question:
    return Question(action, channel, session.user, None if session.user is not None else session.id)
