"""`chappe doctor --why`: may somebody do something in a channel, and which rule says so?"""

import asyncio
import json
import time
from typing import TYPE_CHECKING, Final

import click

from chappe.cli.grammar import FAILED, USAGE, Failure
from chappe.cli.texts import T
from chappe.config import Settings, make_authenticator
from chappe.hub.contracts import Claims
from chappe.hub.decision import Decision, Rule
from chappe.hub.permissions import READING, Action, Actor
from chappe.model.channels import check_channel, check_pattern, is_pattern
from chappe.model.errors import ChappeError
from chappe.transports.event_loop import LoopClock

if TYPE_CHECKING:
    from chappe.auth.issuers import Issuers
    from chappe.hub.hub import HubCore

#: Actions that can be asked about; a subscription by pattern is recognized by its name, and only keys get tickets.
ACTIONS: Final = tuple(action.value for action in Action if action not in (Action.SUBSCRIBE_PATTERN, Action.TICKET))
#: Who has no token and no name.
NOBODY: Final = "-"
_CHANNELLESS: Final = frozenset({Action.LOCK, Action.RPC, Action.GATEWAY, Action.INSPECT, Action.DISCONNECT})


def explain(settings: Settings, question: tuple[str, str, str], token: str | None, as_json: bool) -> None:
    """Print the decision and the rule behind it; exit 1 if the answer is no.

    Args:
        question: user (`-`: nobody), action, channel.
        token: whose capabilities and scopes count.
    """
    from chappe.cli.serve import make_hub

    user, word, channel = question
    hub = make_hub(settings).core
    action = _action(word, channel, hub.limits.channel_bytes)
    actor = Actor(_claims(settings, user, token))
    decision = hub.permissions.explain(actor, action, channel)
    text = _sentence(hub, decision, action)
    if as_json:
        told = {
            "allowed": decision.allowed,
            "user": actor.claims.user,
            "action": action.value,
            "channel": channel,
            "rule": decision.rule.value,
            "namespace": decision.namespace or None,
            "capability": decision.capability or None,
            "text": text,
        }
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        head = T["why_yes"] if decision.allowed else T["why_no"]
        who = actor.claims.user or T["why_nobody"]
        click.echo(head.format(user=who, action=action.value, channel=channel, text=text))
    if not decision.allowed:
        click.get_current_context().exit(FAILED)


def _action(word: str, channel: str, channel_bytes: int) -> Action:
    if word not in ACTIONS:
        expected = T["expect_choice"].format(choices=", ".join(ACTIONS))
        raise Failure(T["bad_value"].format(name="--why", expected=expected), USAGE)
    action = Action(word)
    if action in _CHANNELLESS:
        return action
    pattern = action in READING and is_pattern(channel)
    try:
        (check_pattern if pattern else check_channel)(channel, channel_bytes)
    except ChappeError as error:
        raise Failure(error.reason, USAGE) from None
    return Action.SUBSCRIBE_PATTERN if pattern and action is Action.SUBSCRIBE else action


def _claims(settings: Settings, user: str, token: str | None) -> Claims:
    if token is None:
        return Claims(user=None if user == NOBODY else user)
    authenticator = make_authenticator(settings, LoopClock())
    if authenticator is None:
        raise Failure(T["why_no_keys"])
    claims = asyncio.run(_verify(authenticator, token))
    if claims.user != (None if user == NOBODY else user):
        raise Failure(T["why_other_user"].format(user=claims.user or NOBODY), USAGE)
    return claims


async def _verify(authenticator: "Issuers", token: str) -> Claims:
    """Return the claims of a token; its issuer is asked for keys, or a service whose it is, as the hub would.

    Raises:
        ChappeError: 101, 108, 109.
    """
    try:
        found = authenticator.authenticate(token, time.time())
        return found if isinstance(found, Claims) else await found
    finally:
        await authenticator.stop()


def _sentence(hub: "HubCore", decision: Decision, action: Action) -> str:
    right = "subscribe" if action in READING else "publish"
    access = ""
    if decision.namespace:
        namespace = next(each for each in hub.namespaces if each.name == decision.namespace)
        access = (namespace.subscribe if action in READING else namespace.publish).value
    texts: dict[Rule, str] = {
        Rule.BACKEND: T["why_backend"],
        Rule.NO_SCOPE: T["why_no_scope"],
        Rule.OPERATOR: T["why_operator"],
        Rule.NO_OPERATOR: T["why_no_operator"],
        Rule.NO_IDENTITY: T["why_no_identity"],
        Rule.IDENTITY: T["why_identity"],
        Rule.OWN_CHANNEL: T["why_own_channel"],
        Rule.INNER: T["why_inner"],
        Rule.HUB_CHANNEL: T["why_hub_channel"],
        Rule.CLOSED: T["why_closed"],
        Rule.CAPABILITY: T["why_capability"],
        Rule.NO_CAPABILITY: T["why_no_capability"],
        Rule.OPEN: T["why_open"],
        Rule.HOOK: T["why_hook"],
        Rule.USER: T["why_user"],
        Rule.NO_USER: T["why_no_user"],
        Rule.NO_TOKEN: T["why_no_token"],
        Rule.NO_PATTERNS: T["why_no_patterns"],
        Rule.ALL_OPEN: T["why_all_open"],
        Rule.WIDE: T["why_wide"],
    }
    setting = f'namespaces.{decision.namespace}.{right} = "{access}"'
    return texts[decision.rule].format(
        setting=setting, right=right, namespace=decision.namespace, capability=decision.capability
    )
