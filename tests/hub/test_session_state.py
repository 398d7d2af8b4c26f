"""Every pair of state and input is either in the table or an error that names both."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.session_state import TRANSITIONS, SessionInput, SessionState, advance
from chappe.model.errors import LocalProtocolError

_ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("happened", SessionInput)
def test_every_pair_has_a_next_state_or_an_error_that_names_both(state: SessionState, happened: SessionInput) -> None:
    if (state, happened) in TRANSITIONS:
        assert advance(state, happened) is TRANSITIONS[state, happened]
    else:
        with pytest.raises(LocalProtocolError) as caught:
            advance(state, happened)
        assert state.value in caught.value.reason
        assert happened.value in caught.value.reason


@given(st.lists(st.sampled_from(SessionInput)))
def test_a_closed_session_never_lives_again(happenings: list[SessionInput]) -> None:
    state = SessionState.NEW
    closed = False
    for happened in happenings:
        if (state, happened) in TRANSITIONS:
            state = advance(state, happened)
        assert not (closed and state is not SessionState.CLOSED)
        closed = closed or state is SessionState.CLOSED


@pytest.mark.parametrize("state", SessionState)
def test_every_session_can_be_closed(state: SessionState) -> None:
    assert advance(state, SessionInput.CLOSE) is SessionState.CLOSED


def test_every_state_is_reached_from_a_new_session() -> None:
    reached = {SessionState.NEW}
    for _ in SessionState:
        reached |= {following for (state, _), following in TRANSITIONS.items() if state in reached}
    assert reached == set(SessionState)


def test_a_lost_link_ends_the_session_so_that_its_name_and_locks_are_free() -> None:
    for state in SessionState:
        assert advance(state, SessionInput.LINK_LOST) is SessionState.CLOSED


@pytest.mark.parametrize("page", ["docs/concepts/session.md", "docs/fr/concepts/session.md"])
def test_the_diagram_of_the_docs_is_that_of_the_table(page: str) -> None:
    spec = importlib.util.spec_from_file_location("generate_state_diagram", _ROOT / "tools/generate_state_diagram.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with_diagram: Callable[[str], str] = tool.with_diagram
    text = (_ROOT / page).read_text(encoding="utf-8")
    assert with_diagram(text) == text
