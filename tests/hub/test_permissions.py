"""Who may do what: the whole matrix, patterns against brute force, and refusals that are counted."""

from __future__ import annotations

import gc
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.contracts import Claims
from chappe.hub.namespaces import Access, Namespace, Namespaces
from chappe.hub.permissions import APPLICATION, Action, Actor, Permissions, pattern_covers
from chappe.model.channels import pattern_matches
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

READING = [Action.SUBSCRIBE, Action.RECOVER, Action.RETAINED, Action.HISTORY, Action.PRESENCE]
NAMESPACES = Namespaces(
    Namespace(name=access.value, subscribe=access, publish=access, patterns=True) for access in Access
)

NOBODY = Actor(Claims())
USER = Actor(Claims(user="ada"))
GRANTED = Actor(Claims(user="ada", subscribe=("token/#",), publish=("token/#",)))
ELSEWHERE = Actor(Claims(user="ada", subscribe=("other/#",), publish=("other/#",)))


def may(
    actor: Actor, action: Action, channel: str, namespaces: Namespaces = NAMESPACES, anonymous: bool = True
) -> bool:
    fresh = Actor(actor.claims, actor.trusted)
    permissions = Permissions(namespaces, anonymous)
    try:
        permissions.authorize(fresh, action, channel)
    except ChappeError as error:
        told = (error.code, error.detail, permissions.refused)
        expected = (Code.PERMISSION_DENIED, {"action": action.value, "channel": channel}, 1)
        return told != expected
    return True


@pytest.mark.parametrize("action", [*READING, Action.PUBLISH], ids=lambda action: action.value)
@pytest.mark.parametrize(
    ("access", "anonymous", "user"),
    [("nobody", False, False), ("anonymous", True, True), ("user", False, True), ("token", False, False)],
)
def test_without_a_capability_the_namespace_decides(action: Action, access: str, anonymous: bool, user: bool) -> None:
    assert may(NOBODY, action, f"{access}/a") is anonymous
    assert may(USER, action, f"{access}/a") is user


@pytest.mark.parametrize("action", [*READING, Action.PUBLISH], ids=lambda action: action.value)
def test_a_capability_decides_and_only_for_what_it_names(action: Action) -> None:
    assert may(GRANTED, action, "token/a")
    for access in ("anonymous", "user", "token", "nobody"):
        assert not may(ELSEWHERE, action, f"{access}/a")


def test_a_capability_does_not_open_what_nobody_may() -> None:
    everything = Actor(Claims(user="ada", subscribe=("#",), publish=("#",)))
    assert not may(everything, Action.SUBSCRIBE, "nobody/a")
    assert not may(everything, Action.PUBLISH, "nobody/a")
    assert may(everything, Action.PUBLISH, "token/a")


def test_the_rights_to_read_and_to_publish_are_two() -> None:
    reader = Actor(Claims(user="ada", subscribe=("token/#",), publish=()))
    assert may(reader, Action.HISTORY, "token/a")
    assert not may(reader, Action.PUBLISH, "token/a")


def test_a_namespace_that_leaves_it_to_a_hook_says_so() -> None:
    permissions = Permissions(NAMESPACES, anonymous=True)
    assert permissions.needs_hook(Action.SUBSCRIBE, "hook/a")
    assert permissions.needs_hook(Action.PUBLISH, "hook/a")
    assert not permissions.needs_hook(Action.PUBLISH, "user/a")
    assert may(NOBODY, Action.PUBLISH, "hook/a")


def test_where_anonymous_is_refused_nobody_may_do_anything_without_a_user() -> None:
    for action, access in itertools.product(Action, Access):
        assert not may(NOBODY, action, f"{access.value}/a", anonymous=False)


def test_channels_of_no_namespace_are_the_defaults_and_that_is_closed() -> None:
    assert not may(USER, Action.SUBSCRIBE, "unheard/of")
    open_default = Namespaces([Namespace(name="default", subscribe=Access.ANONYMOUS)])
    assert may(NOBODY, Action.SUBSCRIBE, "unheard/of", open_default)
    assert not may(NOBODY, Action.PUBLISH, "unheard/of", open_default)


@pytest.mark.parametrize("action", [Action.LOCK, Action.RPC, Action.GATEWAY])
def test_what_is_no_channel_asks_only_for_an_identity(action: Action) -> None:
    assert may(USER, action, "anything", anonymous=False)
    assert may(NOBODY, action, "anything", anonymous=True)
    assert not may(NOBODY, action, "anything", anonymous=False)


@pytest.mark.parametrize("action", [Action.INSPECT, Action.DISCONNECT])
def test_operating_asks_for_the_operators_scope(action: Action) -> None:
    assert not may(USER, action, "x")
    assert not may(Actor(Claims(user="ada", scopes=frozenset({"api"}))), action, "x")
    assert may(Actor(Claims(user="ada", scopes=frozenset({"operator"}))), action, "x")


def test_the_application_and_backends_are_trusted_by_their_scope() -> None:
    for action, access in itertools.product(Action, Access):
        assert may(APPLICATION, action, f"{access.value}/a", anonymous=False)
        assert not may(Actor(Claims(scopes=frozenset({"service:x"})), trusted=True), action, f"{access.value}/a")


def test_the_hubs_own_channels_are_the_operators_and_each_users_own() -> None:
    operator = Actor(Claims(user="root", scopes=frozenset({"operator"})))
    assert may(operator, Action.SUBSCRIBE, "$session/1")
    assert not may(operator, Action.PUBLISH, "$session/1")
    assert may(USER, Action.SUBSCRIBE, "$user/ada")
    assert may(USER, Action.HISTORY, "$user/ada")
    assert not may(USER, Action.PUBLISH, "$user/ada")
    for channel in ("$user/adam", "$user/blaise", "$user/+", "$user/#", "$hub/events", "$session/1"):
        assert not may(USER, Action.SUBSCRIBE, channel)
    assert not may(NOBODY, Action.SUBSCRIBE, "$user/ada")


@pytest.mark.parametrize("channel", ["$hub", "$hub/all", "$hub/node/n1", "$hub/#", "$hub/+/n1"])
@pytest.mark.parametrize(
    "action", [Action.SUBSCRIBE, Action.SUBSCRIBE_PATTERN, Action.HISTORY, Action.PRESENCE, Action.PUBLISH]
)
def test_what_nodes_say_to_each_other_is_for_nobody_else(action: Action, channel: str) -> None:
    operator = Actor(Claims(user="root", scopes=frozenset({"operator", "api"})))
    for actor in (APPLICATION, operator, USER, NOBODY):
        assert not may(actor, action, channel)


# --- Patterns --------------------------------------------------------------------------------------------------------


def test_a_pattern_asks_its_namespace_whether_it_takes_patterns() -> None:
    namespaces = Namespaces(
        [
            Namespace(name="open", subscribe=Access.ANONYMOUS, patterns=True),
            Namespace(name="exact", subscribe=Access.ANONYMOUS),
            Namespace(name="secret", subscribe=Access.USER, patterns=True),
        ]
    )
    assert may(NOBODY, Action.SUBSCRIBE_PATTERN, "open/+", namespaces)
    assert not may(NOBODY, Action.SUBSCRIBE_PATTERN, "exact/#", namespaces)
    assert not may(NOBODY, Action.SUBSCRIBE_PATTERN, "secret/#", namespaces)
    assert may(USER, Action.SUBSCRIBE_PATTERN, "secret/#", namespaces)


@pytest.mark.parametrize("pattern", ["#", "+/a", "+/#", "+"])
def test_a_pattern_over_several_namespaces_needs_a_right_of_its_own(pattern: str) -> None:
    namespaces = Namespaces(
        [
            Namespace(name="default", subscribe=Access.ANONYMOUS, patterns=True),
            Namespace(name="secret", subscribe=Access.TOKEN, patterns=True),
        ]
    )
    assert not may(NOBODY, Action.SUBSCRIBE_PATTERN, pattern, namespaces)
    assert not may(USER, Action.SUBSCRIBE_PATTERN, pattern, namespaces)
    assert not may(Actor(Claims(user="ada", subscribe=("secret/#",))), Action.SUBSCRIBE_PATTERN, pattern, namespaces)
    assert may(Actor(Claims(user="ada", subscribe=("#",))), Action.SUBSCRIBE_PATTERN, pattern, namespaces)


def test_a_pattern_over_several_namespaces_is_open_where_all_of_them_are() -> None:
    open_to_all = Namespaces([Namespace(name="default", subscribe=Access.ANONYMOUS, patterns=True)])
    assert may(NOBODY, Action.SUBSCRIBE_PATTERN, "#", open_to_all)


def test_a_capability_must_cover_a_pattern_wholly() -> None:
    reader = Actor(Claims(user="ada", subscribe=("token/+/news",)))
    assert may(reader, Action.SUBSCRIBE_PATTERN, "token/+/news")
    assert may(reader, Action.SUBSCRIBE, "token/x/news")
    for pattern in ("token/#", "token/+/+", "token/+/news/#", "token/+"):
        assert not may(reader, Action.SUBSCRIBE_PATTERN, pattern)


SEGMENTS = ["a", "b", "", "$c"]
ALL_CHANNELS = [
    "/".join(segments)
    for length in (1, 2, 3, 4)
    for segments in itertools.product(SEGMENTS, repeat=length)
    if any(segments)
]
filters = st.lists(st.sampled_from(["a", "b", "", "$c", "+"]), min_size=1, max_size=3).flatmap(
    lambda segments: st.sampled_from(["/".join(segments), "/".join([*segments, "#"]), "#"])
)


@given(grant=filters.filter(bool), pattern=filters.filter(bool))
def test_a_grant_that_covers_a_pattern_matches_all_that_it_matches(grant: str, pattern: str) -> None:
    matched = [channel for channel in ALL_CHANNELS if pattern_matches(pattern, channel)]
    if pattern_covers(grant, pattern):
        assert all(pattern_matches(grant, channel) for channel in matched)


@given(grant=filters.filter(bool), pattern=filters.filter(bool))
def test_a_grant_that_matches_all_that_a_pattern_matches_covers_it(grant: str, pattern: str) -> None:
    matched = [channel for channel in ALL_CHANNELS if pattern_matches(pattern, channel)]
    # "+/#" is another way to write "#", which a token says when it means it.
    if matched and not pattern_covers(grant, pattern) and (grant, pattern) != ("+/#", "#"):
        missed = [channel for channel in matched if not pattern_matches(grant, channel)]
        assert missed, f"{grant} matches everything {pattern} does"


# --- Remembering -----------------------------------------------------------------------------------------------------


def test_decisions_are_remembered_and_all_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chappe.hub.permissions._REMEMBERED", 100)
    permissions = Permissions(NAMESPACES, anonymous=True)
    actor, other = Actor(Claims()), Actor(Claims(user="ada", publish=("#",)))
    for number in range(120):
        permissions.outlet(actor, f"anonymous/{number}")
        permissions.authorize(other, Action.SUBSCRIBE, f"anonymous/{number}")
        tables = [each for each in (actor.decisions, other.decisions) if each is not None]
        assert sum(len(table.by_action) + len(table.outlets) for table in tables) <= 100
    with pytest.raises(ChappeError):
        permissions.authorize(actor, Action.SUBSCRIBE, "user/a")
    with pytest.raises(ChappeError):
        permissions.authorize(actor, Action.SUBSCRIBE, "user/a")
    assert permissions.refused == 2


def test_actors_with_the_same_rights_share_what_was_decided() -> None:
    permissions = Permissions(NAMESPACES, anonymous=True)
    ada, bob = (Actor(Claims(user=user, publish=("token/#",))) for user in ("ada", "bob"))
    reader = Actor(Claims(user="ada", publish=()))
    for actor in (ada, bob):
        assert permissions.outlet(actor, "token/a").name == "token"
    with pytest.raises(ChappeError):
        permissions.outlet(reader, "token/a")
    assert ada.decisions is bob.decisions is not reader.decisions


def test_nobody_inherits_the_right_to_another_users_own_channel() -> None:
    permissions = Permissions(NAMESPACES, anonymous=True)
    ada, bob = Actor(Claims(user="ada")), Actor(Claims(user="bob"))
    permissions.authorize(ada, Action.SUBSCRIBE, "$user/ada")
    with pytest.raises(ChappeError):
        permissions.authorize(bob, Action.SUBSCRIBE, "$user/ada")
    permissions.authorize(ada, Action.SUBSCRIBE, "$user/ada")


def test_the_decisions_of_actors_who_are_gone_are_forgotten() -> None:
    permissions = Permissions(NAMESPACES, anonymous=True)
    for number in range(10):
        permissions.outlet(Actor(Claims(user="ada", publish=(f"token/{number}",))), f"token/{number}")
    gc.collect()
    assert len(permissions._decisions) == 0


def test_for_the_application_nothing_is_remembered() -> None:
    # It belongs to all hubs of a process and to none of them: the table that the first hub gave it, the others filled,
    # and no count of theirs ever cleared it.
    for hub in (Permissions(NAMESPACES, anonymous=True), Permissions(NAMESPACES, anonymous=True)):
        for number in range(10):
            hub.authorize(APPLICATION, Action.PUBLISH, f"token/{number}")
        assert hub._remembered == 0
    assert APPLICATION.decisions is None or not APPLICATION.decisions.by_action
