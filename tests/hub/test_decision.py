"""Each decision names the rule behind it, and what is explained is what is decided."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.contracts import Claims
from chappe.hub.decision import Rule
from chappe.hub.namespaces import Access, Namespace, Namespaces
from chappe.hub.permissions import APPLICATION, Action, Actor, Permissions
from chappe.model.errors import ChappeError
from tests.hub.harness import Client, World

NAMESPACES = Namespaces(
    Namespace(name=access.value, subscribe=access, publish=access, patterns=patterns)
    for access, patterns in zip(Access, itertools.cycle([True, False, True]), strict=False)
)
USERS = [None, "ada"]
GRANTS = [None, (), ("#",), ("token/#", "user/+"), ("nobody/a",)]
SCOPES: list[frozenset[str]] = [frozenset(), frozenset({"operator"}), frozenset({"api"})]
CHANNELS = ["#", "+/a", "$user/ada", "$user/bob", "$hub/x", "$session/1", "other/a", "token/#"]
CHANNELS += [f"{access.value}/{last}" for access in Access for last in ("a", "+")]


@given(
    user=st.sampled_from(USERS),
    subscribe=st.sampled_from(GRANTS),
    publish=st.sampled_from(GRANTS),
    scopes=st.sampled_from(SCOPES),
    trusted=st.booleans(),
    anonymous=st.booleans(),
    action=st.sampled_from(list(Action)),
    channel=st.sampled_from(CHANNELS),
)
def test_what_is_explained_is_what_is_decided(
    user: str | None,
    subscribe: tuple[str, ...] | None,
    publish: tuple[str, ...] | None,
    scopes: frozenset[str],
    trusted: bool,
    anonymous: bool,
    action: Action,
    channel: str,
) -> None:
    claims = Claims(user=user, subscribe=subscribe, publish=publish, scopes=scopes)
    permissions = Permissions(NAMESPACES, anonymous)
    actor = Actor(claims, trusted)
    decision = permissions.explain(actor, action, channel)
    assert permissions.refused == 0
    for _ in range(2):  # the second answer is a remembered one
        try:
            permissions.authorize(actor, action, channel)
            assert decision.allowed
        except ChappeError:
            assert not decision.allowed
    assert bool(decision.capability) == (decision.rule is Rule.CAPABILITY)
    if decision.capability:
        granted = (publish if action is Action.PUBLISH else subscribe) or ()
        assert decision.capability in granted


def test_every_rule_decides_something() -> None:
    found = {Permissions(NAMESPACES, True).explain(APPLICATION, Action.PUBLISH, "a").rule}
    open_to_all = Namespaces([Namespace(name="default", subscribe=Access.ANONYMOUS, patterns=True)])
    for namespaces, user, grant, scopes, trusted, anonymous, action, channel in itertools.product(
        (NAMESPACES, open_to_all), USERS, GRANTS, SCOPES, (True, False), (True, False), Action, CHANNELS
    ):
        actor = Actor(Claims(user=user, subscribe=grant, publish=grant, scopes=scopes), trusted)
        found.add(Permissions(namespaces, anonymous).explain(actor, action, channel).rule)
    assert found == set(Rule)


def test_a_wide_pattern_brings_nothing_of_a_closed_namespace(world: World) -> None:
    """The capability `#` covers the pattern; that nobody may read `closed` still holds."""
    reader = wide_reader(world)
    world.append("closed/a", "secret")
    world.append("a", "news")
    world.settle()
    assert reader.data() == ["news"]


def test_a_wide_pattern_recovers_nothing_of_a_closed_namespace(world: World) -> None:
    reader = wide_reader(world)
    position = next(each["position"] for each in reader.received() if each.get("position"))
    reader.ask("unsubscribe", channel="#")
    world.append("closed/a", "secret")
    world.append("a", "news")
    world.settle()
    answer = reader.ask("subscribe", channel="#", since={"position": position})
    assert answer["recovered"], answer
    assert reader.data() == ["news"]


def wide_reader(world: World) -> Client:
    client = world.client(name="Ada")
    client.session.actor = Actor(Claims(user="ada", subscribe=("#",)))
    assert client.ask("subscribe", channel="#")["type"] == "reply"
    return client
