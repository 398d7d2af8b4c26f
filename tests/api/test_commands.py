"""Commands: whom they name, and whose rights they have."""

import pytest

from chappe.api.commands import OPERATOR, Call, one_of
from chappe.api.credentials import Caller
from chappe.api.routes import BATCH, COMMANDS
from chappe.hub.contracts import Claims
from chappe.model.errors import ChappeError
from tests.hub.harness import World


@pytest.mark.parametrize("both", [(None, None), ("a", "b")])
def test_a_user_or_a_session_is_named(both: tuple[str | None, str | None]) -> None:
    with pytest.raises(ChappeError):
        one_of(*both)
    one_of("a", None)
    one_of(None, "b")


def test_a_call_of_another_command_has_that_commands_rights() -> None:
    caller = Caller(Claims(scopes=frozenset({"api", "operator"})), "x")
    by_name = {command.name: command for command in COMMANDS}
    publish = by_name["publish"]
    call = Call(World().hub, caller, caller.actor(publish.scopes), "en", "", 0.0)
    assert call.actor.claims.scopes == {"api"}
    assert call.of(by_name["disconnect"]).actor.claims.scopes == OPERATOR


def test_every_command_has_a_name_and_a_sentence_of_its_own() -> None:
    names = [command.name for command in (*COMMANDS, BATCH)]
    assert len(set(names)) == len(names)
    assert all(command.summary.endswith(".") for command in COMMANDS)


def test_what_only_operators_may_is_known() -> None:
    # Whoever changes this list changes who may throw users out.
    operators = {command.name for command in COMMANDS if command.scopes == OPERATOR}
    assert operators == {"connections", "disconnect", "revoke"}


def test_what_reads_by_get_changes_nothing() -> None:
    assert {command.name for command in COMMANDS if command.reads} == {
        "history",
        "presence",
        "channels",
        "connections",
        "locks",
        "bridges",
        "info",
    }
