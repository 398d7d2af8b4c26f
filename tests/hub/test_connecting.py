"""Who somebody is: tokens, names and their holders, hooks that refuse, expiry, refresh, and coming back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chappe.hub.contracts import Claims
from chappe.hub.session import Peer, Session
from chappe.model.error_codes import Code
from chappe.model.errors import Refused
from chappe.model.limits import Limits
from tests.hub.harness import Client, Gate, Tokens, World


def closed_with(client: Client) -> int:
    assert client.link.closed is not None, "the connection is still open"
    return client.link.closed[0]


@pytest.fixture
def guarded(make_world: Callable[..., World]) -> World:
    """Make a hub that lets in only who has a token."""
    world = make_world(anonymous=False)
    expires_at = world.clock.wall_ms() / 1_000 + 60
    world.hub.authenticator = Tokens(
        ada=Claims(user="ada", info={"role": "boss"}),
        short=Claims(user="ada", expires_at=expires_at),
        longer=Claims(user="ada", expires_at=expires_at + 60),
        narrow=Claims(user="ada", subscribe=("members/own/#",), publish=()),
        blaise=Claims(user="blaise"),
        late=Claims(user="ada", expires_at=1.0),
    )
    return world


# --- Connect ---------------------------------------------------------------------------------------------------------


def test_connect_is_answered_with_the_ids(world: World) -> None:
    client = world.client()
    answer = client.ask("connect", name=" Ada ")
    assert answer["session"] == client.session.id
    # The node that knows it, and 128 random bits.
    assert answer["resume"].startswith("n1")
    assert len(answer["resume"]) == 2 + 32
    assert answer["resume"] not in (answer["session"], client.session.id)
    assert (answer["user"], answer["name"], answer["ping"]) == (None, "Ada", 25)
    assert (answer["version"], answer["node"], answer["resumed"]) == ("0", "n1", False)


def test_a_second_connect_is_refused_and_changes_nothing(world: World) -> None:
    client = world.client(name="Ada")
    assert client.code("connect", name="Blaise") == Code.BAD_REQUEST
    assert client.session.name == "Ada"


def test_a_first_command_connects_where_anonymous_may(world: World) -> None:
    client = world.client()
    assert client.ask("subscribe", channel="a")["type"] == "reply"
    assert client.session.is_open
    assert world.hub.counters.logins == 1


def test_a_ping_connects_nobody(world: World) -> None:
    client = world.client()
    client.send({"type": "ping"}, {"type": "pong"}, {"type": "nonsense"})
    assert not client.session.is_open


@pytest.mark.parametrize("name", ["", "x" * 65, "a\u202eb", " "])
def test_a_name_that_is_none_is_refused_and_may_be_tried_again(world: World, name: str) -> None:
    client = world.client()
    if name:
        answer = client.ask("connect", name=name)
        assert (answer["code"], answer["detail"]["field"]) == (Code.BAD_REQUEST, "name")
    assert client.ask("connect", name="Ada")["name"] == "Ada"


def test_a_carrier_of_raw_frames_is_in_its_channel_from_the_first_moment(world: World) -> None:
    one, two = world.client("raw"), world.client("raw")
    world.settle()
    one.send_raw(b"text", True)
    two.send_raw(b"\xff", False)
    world.settle()
    assert one.received() == two.received() == [b"text", b"\xff"]
    assert [frame.text for frame in one.link.frames] == [True, False]


# --- Tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_says_who_somebody_is(guarded: World) -> None:
    client = guarded.client()
    answer = client.ask("connect", token="ada")
    assert (answer["user"], answer["name"]) == ("ada", "ada")


def test_a_token_may_come_with_the_connection(guarded: World) -> None:
    client = Client(guarded, "json", Peer(token="ada"))
    assert client.ask("publish", channel="members/a", data=1)["type"] == "reply"
    assert client.session.user == "ada"


@pytest.mark.parametrize(
    ("token", "code", "close"),
    [("forged", Code.UNAUTHORIZED, Code.INVALID_TOKEN), ("late", Code.TOKEN_EXPIRED, Code.EXPIRED)],
)
def test_a_bad_token_is_told_and_ends_the_connection(guarded: World, token: str, code: int, close: int) -> None:
    client = guarded.client()
    assert client.code("connect", token=token) == code
    assert closed_with(client) == close
    assert guarded.hub.counters.unauthorized == 1
    assert token not in str(guarded.log)


def test_where_anonymous_is_refused_a_first_command_ends_the_connection(guarded: World) -> None:
    client = guarded.client()
    assert client.code("publish", channel="a", data=1) == Code.UNAUTHORIZED
    assert closed_with(client) == Code.INVALID_TOKEN


def test_a_hub_without_an_authenticator_takes_no_tokens(world: World) -> None:
    client = world.client()
    assert client.code("connect", token="any") == Code.UNAUTHORIZED


def test_in_classic_the_name_must_be_the_tokens(guarded: World) -> None:
    wrong = guarded.client("classic")
    wrong.send({"type": "login", "content": "Zed", "token": "ada"})
    guarded.settle()
    assert wrong.received()[-1]["code"] == Code.PERMISSION_DENIED
    right = guarded.client("classic")
    right.send({"type": "login", "content": "ada", "token": "ada"})
    guarded.settle()
    assert right.session.user == "ada"


def test_the_token_of_a_user_decides_over_a_name_in_chappe_v1(guarded: World) -> None:
    client = guarded.client()
    assert client.ask("connect", token="ada", name="Zed")["name"] == "ada"


def test_a_session_ends_when_its_token_does(guarded: World) -> None:
    client = guarded.client(token="short")
    guarded.clock.advance(58)
    assert client.link.closed is None
    guarded.clock.advance(3)
    assert closed_with(client) == Code.EXPIRED


def test_a_session_that_ended_leaves_no_timer(guarded: World) -> None:
    before = guarded.clock.pending
    guarded.client(token="short").session.close(Code.DISCONNECTED)
    guarded.settle()
    assert guarded.clock.pending == before


def test_a_refreshed_token_lasts_longer(guarded: World) -> None:
    client = guarded.client(token="short")
    assert client.ask("refresh", token="longer")["type"] == "reply"
    guarded.clock.advance(90)
    assert client.link.closed is None
    guarded.clock.advance(60)
    assert closed_with(client) == Code.EXPIRED


@pytest.mark.parametrize(("token", "code"), [("blaise", 101), ("forged", 101), ("late", 109)])
def test_a_refresh_that_fails_leaves_the_old_token_in_force(guarded: World, token: str, code: int) -> None:
    client = guarded.client(token="short")
    assert client.code("refresh", token=token) == code
    assert client.ask("publish", channel="members/a", data=1)["type"] == "reply"
    assert client.session.user == "ada"


def test_a_refresh_that_narrows_the_rights_ends_what_they_no_longer_cover(guarded: World) -> None:
    client = guarded.client(token="ada")
    for channel in ("members/own/a", "members/all"):
        client.ask("subscribe", channel=channel)
    client.take()
    client.ask("refresh", token="narrow")
    told = client.take()
    assert [each["type"] for each in told] == ["unsubscribed", "reply"]
    assert (told[0]["channel"], told[0]["code"]) == ("members/all", Code.UNSUBSCRIBED_PERMISSION_WITHDRAWN)
    assert client.code("publish", channel="members/own/a", data=1) == Code.PERMISSION_DENIED
    assert list(client.session.subscriptions) == ["members/own/a"]


# --- Names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "classic"])
def test_a_name_in_use_by_somebody_alive_is_refused_without_case(world: World, kind: str) -> None:
    holder = world.client(kind, name="Ada")
    client = world.client(kind)
    if kind == "classic":
        client.send({"type": "login", "content": "aDA"})
        world.settle()
        assert closed_with(client) == Code.NAME_IN_USE_CLOSE
        assert client.received()[-1]["code"] == Code.NAME_IN_USE
    else:
        assert client.code("connect", name="aDA") == Code.NAME_IN_USE
        assert client.ask("connect", name="Blaise")["name"] == "Blaise"
    assert holder.link.closed is None
    assert world.hub.counters.probes == 1


@pytest.mark.parametrize("kind", ["json", "classic"])
def test_the_name_of_a_holder_that_does_not_answer_changes_hands(world: World, kind: str) -> None:
    holder = world.client(kind, name="Ada")
    holder.link.alive = False
    client = world.client(kind)
    client.send(
        {"type": "login", "content": "ADA"} if kind == "classic" else {"type": "connect", "id": 1, "name": "ADA"}
    )
    world.clock.advance(2)
    world.settle()
    assert closed_with(holder) == Code.NO_PONG
    assert client.session.name == "ADA"
    assert client.session.is_open


def test_of_two_newcomers_that_wait_for_a_dead_holder_one_gets_the_name(world: World) -> None:
    holder = world.client(name="Ada")
    holder.link.alive = False
    two = [world.client(), world.client()]
    for client in two:
        client.command("connect", name="Ada")
    world.clock.advance(5)
    world.settle()
    assert sorted(client.received()[-1]["type"] for client in two) == ["error", "reply"]


def test_a_newcomer_that_leaves_during_the_probe_gets_nothing(world: World) -> None:
    holder = world.client(name="Ada")
    holder.link.alive = None
    client = world.client()
    client.command("connect", name="Ada")
    client.cut()
    assert holder.link.probes[0][0] == 2.0
    holder.link.probes[0][1](False)
    world.settle()
    assert holder.link.closed is None
    assert client.received() == []


def test_the_arrival_of_a_user_displaces_who_had_claimed_the_name(make_world: Callable[..., World]) -> None:
    world = make_world(authenticator=Tokens(ada=Claims(user="ada")))
    impostor = world.client(name="Ada")
    world.client(token="ada")
    assert closed_with(impostor) == Code.NAME_IN_USE_CLOSE
    assert world.client().code("connect", name="ADA") == Code.NAME_IN_USE


@pytest.mark.parametrize("kind", ["json", "classic"])
def test_ch_7_4_a_known_user_need_not_be_here_to_keep_the_name(make_world: Callable[..., World], kind: str) -> None:
    world = make_world(reserved_names=("ada",), authenticator=Tokens(ada=Claims(user="ada")))
    client = world.client(kind, name="Ada")
    assert [each["code"] for each in client.received()] == [Code.NAME_IN_USE]
    assert world.client(token="ada").session.name == "ada"


def test_a_name_is_free_when_its_session_ends(world: World) -> None:
    world.client(name="Ada").cut()
    assert world.client().ask("connect", name="Ada")["type"] == "reply"


def test_a_second_login_is_refused_and_the_first_stays(world: World) -> None:
    client = world.client("classic", name="Ada")
    client.send({"type": "login", "content": "Blaise"})
    world.settle()
    assert client.received()[-1]["code"] == Code.BAD_REQUEST
    assert client.session.name == "Ada"


def test_a_login_after_an_early_lock_names_the_session(world: World) -> None:
    client = world.client("classic")
    client.send({"type": "lock", "resource": "r"}, {"type": "login", "content": "Ada"})
    world.settle()
    assert client.session.name == "Ada"
    assert client.kinds() == ["lock_result", "join", "userlist"]


def test_cl_2_4_a_message_behind_its_login_in_one_batch_is_said(world: World) -> None:
    client = world.client("classic")
    said = ['{"type":"login","content":"Ada"}', '{"type":"message","content":"hi"}']
    client.send({"type": "batch", "messages": said})
    world.settle()
    assert client.kinds() == ["join", "userlist", "message"]


def test_cl_2_4_a_message_behind_a_login_that_takes_its_time_is_said(world: World) -> None:
    gate = Gate()

    async def think(session: Session) -> None:
        await gate

    world.hub.hooks.connect.append(think)
    client = world.client("classic")
    client.send({"type": "login", "content": "Ada"}, {"type": "message", "content": "hi"})
    client.send_raw(b"\x00", False)
    world.settle()
    assert client.received() == []
    gate.open()
    world.settle()
    assert client.kinds() == ["join", "userlist", "message"]


def test_cl_2_2_a_second_login_that_was_sent_early_moves_nobody(world: World) -> None:
    client, spy = world.client("classic"), world.client()
    spy.ask("subscribe", channel="chat/vip")
    logins = ['{"type":"login","content":"Ada"}', '{"type":"login","content":"Ada","room":"chat/vip"}']
    client.send({"type": "batch", "messages": logins})
    client.send({"type": "message", "content": "where am I"})
    world.settle()
    assert sorted(client.kinds()) == ["error", "join", "message", "userlist"]
    assert spy.data() == []


def test_cl_2_4_a_lock_is_no_login_even_where_a_token_says_who_it_is(guarded: World) -> None:
    client = Client(guarded, "classic", Peer(token="ada"))
    client.send({"type": "lock", "resource": "r"}, {"type": "message", "content": "too early"})
    guarded.settle()
    assert [each.get("code") for each in client.take()] == [None, Code.NOT_LOGGED_IN]
    assert client.link.frame_bytes == Limits().frame_bytes
    client.send({"type": "login", "content": "Zed"})
    assert client.take()[-1]["code"] == Code.PERMISSION_DENIED
    client.send({"type": "login", "content": "ada"})
    guarded.settle()
    assert [each["type"] for each in client.take()] == ["join", "userlist"]


def test_cl_2_2_a_login_that_its_room_refuses_may_be_tried_again(world: World) -> None:
    client = world.client("classic")
    client.send({"type": "login", "content": "Ada", "room": "closed/x"}, {"type": "message", "content": "hi"})
    world.settle()
    assert [each["code"] for each in client.take()] == [Code.PERMISSION_DENIED, Code.NOT_LOGGED_IN]
    assert client.link.frame_bytes == Limits().frame_bytes
    client.send({"type": "login", "content": "Blaise"})
    world.settle()
    assert [each["type"] for each in client.take()] == ["join", "userlist"]
    assert world.hub.names.holders("Ada") == []
    assert world.client("classic", name="Ada").link.closed is None


# --- Hooks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("code", "close"), [(1001, Code.DISCONNECTED), (4555, 4555)])
def test_a_hook_refuses_a_connection(world: World, asynchronous: bool, code: int, close: int) -> None:
    seen: list[tuple[str, Any]] = []

    def refuse(session: Session) -> None:
        seen.append((session.name, session.user))
        raise Refused(code, "members only")

    async def refuse_later(session: Session) -> None:
        refuse(session)

    world.hub.hooks.connect.append(refuse_later if asynchronous else refuse)
    client = world.client()
    answer = client.ask("connect", name="Ada")
    assert (answer["code"], answer["reason"]) == (code, "members only")
    assert client.link.closed == (close, "members only")
    assert seen == [("Ada", None)]
    assert world.hub.names.holders("Ada") == []


def test_a_hook_that_thinks_keeps_later_commands_waiting(world: World) -> None:
    gate = Gate()

    async def think(session: Session) -> None:
        await gate

    world.hub.hooks.connect.append(think)
    client = world.client()
    client.command("connect", name="Ada")
    client.command("publish", channel="a", data=1)
    world.settle()
    assert client.received() == []
    gate.open()
    world.settle()
    assert client.kinds() == ["reply", "reply"]


def test_a_client_that_is_cut_while_its_hook_thinks_is_forgotten(world: World) -> None:
    gate = Gate()

    async def think(session: Session) -> None:
        await gate

    world.hub.hooks.connect.append(think)
    client = world.client()
    client.command("connect", name="Ada")
    world.settle()
    client.cut()
    gate.open()
    world.settle()
    assert world.hub.sessions == {}
    assert world.hub.names.holders("Ada") == []


# --- Coming back -----------------------------------------------------------------------------------------------------


def test_a_handle_gives_the_public_id_back(world: World) -> None:
    client = world.client()
    first = client.ask("connect", name="Ada")
    client.cut()
    second = world.client().ask("connect", name="Ada", resume=first["resume"])
    assert (second["session"], second["resumed"]) == (first["session"], True)
    assert second["resume"] != first["resume"]
    assert list(world.hub.sessions) == [first["session"]]


def test_a_handle_takes_over_a_connection_that_still_hangs(world: World) -> None:
    client = world.client()
    first = client.ask("connect", name="Ada")
    client.ask("subscribe", channel="a")
    second = world.client().ask("connect", name="Ada", resume=first["resume"])
    assert (second["session"], second["resumed"]) == (first["session"], True)
    assert closed_with(client) == Code.STALE
    assert len(world.hub.channels) == 0
    assert world.hub.counters.probes == 0


def test_a_handle_is_good_until_the_one_after_it_was_used(world: World) -> None:
    client = world.client()
    first = client.ask("connect")["resume"]
    client.cut()
    # Its client never heard the answer, and comes with what it has.
    unheard = world.client()
    assert unheard.ask("connect", resume=first)["resumed"] is True
    second = world.client().ask("connect", resume=first)
    assert second["resumed"] is True
    world.settle()
    assert unheard.session.is_over
    assert world.client().ask("connect", resume=second["resume"])["resumed"] is True
    assert world.client().ask("connect", resume=first)["resumed"] is False


def test_a_handle_is_worth_nothing_after_its_window(world: World) -> None:
    client = world.client()
    handle = client.ask("connect")["resume"]
    client.cut()
    assert len(world.hub.resumption) == 1
    world.clock.advance(121)
    assert len(world.hub.resumption) == 0
    assert world.client().ask("connect", resume=handle)["resumed"] is False


@pytest.mark.parametrize("handle", ["", "nonsense", "00" * 16])
def test_an_unknown_handle_is_no_error(world: World, handle: str) -> None:
    assert world.client().ask("connect", resume=handle)["resumed"] is False


def test_a_handle_is_bound_to_its_user(guarded: World) -> None:
    client = guarded.client()
    first = client.ask("connect", token="ada")
    stolen = guarded.client().ask("connect", token="blaise", resume=first["resume"])
    assert stolen["resumed"] is False
    assert client.link.closed is None
    assert stolen["session"] != first["session"]
    client.cut()
    assert guarded.client().ask("connect", token="blaise", resume=first["resume"])["resumed"] is False
    assert guarded.client().ask("connect", token="ada", resume=first["resume"])["resumed"] is True


def test_a_session_that_an_operator_ended_does_not_come_back(world: World) -> None:
    client = world.client()
    handle = client.ask("connect")["resume"]
    client.session.close(Code.DISCONNECTED)
    world.settle()
    assert world.client().ask("connect", resume=handle)["resumed"] is False


def test_handles_are_never_logged_or_told_to_others(world: World) -> None:
    client, other = world.client(), world.client(name="Blaise")
    handle = client.ask("connect", name="Ada")["resume"]
    other.ask("subscribe", channel="a", presence=True)
    client.ask("subscribe", channel="a")
    client.ask("publish", channel="a", data=1)
    client.cut()
    assert handle not in str(world.log)
    assert handle not in str(other.received())


def test_ch_7_5_who_is_refused_a_name_takes_nothing_from_the_session_it_would_resume(world: World) -> None:
    ada, _ = world.client(), world.client(name="Blaise")
    connected = ada.ask("connect", name="Ada")
    ada.ask("subscribe", channel="a")
    client = world.client()
    assert client.code("connect", resume=connected["resume"], name="Blaise") == Code.NAME_IN_USE
    assert ada.link.closed is None
    assert list(ada.session.subscriptions) == ["a"]
    # The refusal has not used the handle up.
    again = client.ask("connect", resume=connected["resume"], name="Ada")
    assert (again["resumed"], again["session"], again["name"]) == (True, connected["session"], "Ada")
    assert closed_with(ada) == Code.STALE
    assert world.hub.counters.probes == 1


@pytest.mark.parametrize("hangs", [False, True])
def test_ch_7_5_an_old_handle_stands_for_the_new_session_too(world: World, hangs: bool) -> None:
    first = world.client()
    connected = first.ask("connect")
    if not hangs:
        first.cut()
    second = world.client()
    resumed = second.ask("connect", resume=connected["resume"])
    assert resumed["resumed"]
    second.cut()
    world.settle()
    again = world.client().ask("connect", resume=connected["resume"])
    assert (again["resumed"], again["session"]) == (True, connected["session"])
    # What was cut is another's now, by whichever of its handles.
    assert not world.client().ask("connect", resume=resumed["resume"])["resumed"]


def test_ch_7_5_a_resumed_session_may_come_back_with_another_name(world: World) -> None:
    ada = world.client()
    connected = ada.ask("connect", name="Ada")
    again = world.client().ask("connect", resume=connected["resume"], name="Cyd")
    assert (again["resumed"], again["session"], again["name"]) == (True, connected["session"], "Cyd")
    assert world.hub.names.holders("Ada") == []
    assert [holder.id for holder in world.hub.names.holders("Cyd")] == [connected["session"]]
