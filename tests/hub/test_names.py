"""Names are compared as people read them, and have one holder."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chappe.hub.names import NameRegistry, check_name, skeleton
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "aDA"),
        ("Émile", "e\u0301MILE"),
        ("Straße", "STRASSE"),
        ("Ada", "A\u200bda"),
        ("Ada", "\u202eAda"),
        ("Ada", "Ａｄａ"),
        ("Ada L", "ada \u00a0\u2003l "),
        ("Ada", "Ada\ufe0f"),
        ("ﬁn", "FIN"),
        ("ΣΑΣ", "σας"),
    ],
)
def test_names_that_look_the_same_have_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(("one", "other"), [("Ada", "Adam"), ("Emile", "Émile"), ("Ada L", "AdaL"), ("1", "l")])
def test_names_that_differ_have_two_skeletons(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@given(st.text(max_size=64))
def test_a_skeleton_is_its_own_skeleton(name: str) -> None:
    assert skeleton(skeleton(name)) == skeleton(name)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64))
def test_plain_names_take_the_short_way_to_the_same_skeleton(name: str) -> None:
    assert skeleton(name) == skeleton(name + "\u200b")


@pytest.mark.parametrize("name", ["A", "x" * 64, "  Ada\n", "Zoë 🦊", "👩\u200d🚀", "می\u200cخواهم", "Ada Lovelace"])
def test_a_valid_name_is_shown_trimmed(name: str) -> None:
    assert check_name(name) == name.strip()


@pytest.mark.parametrize(
    "name",
    ["", "   ", "x" * 65, "a\x00b", "a\nb", "a\x85b", "a\u2028b", "a\u202eb", "a\u2066b", "\ud800", "\u200b", "\u3164"],
)
def test_a_name_that_cannot_be_shown_is_refused_naming_the_field(name: str) -> None:
    with pytest.raises(ChappeError) as caught:
        check_name(name, field="content")
    assert caught.value.code == Code.BAD_REQUEST
    assert caught.value.detail["field"] == "content"
    assert "content" in caught.value.reason


@given(st.text())
def test_any_text_is_either_a_name_or_refused_with_107(text: str) -> None:
    try:
        shown = check_name(text)
    except ChappeError as error:
        assert error.code == Code.BAD_REQUEST  # noqa: PT017 - both outcomes are legal
    else:
        assert 1 <= len(shown) <= 64
        assert skeleton(shown)


def test_a_name_in_use_tells_its_holder_without_case() -> None:
    names: NameRegistry[str] = NameRegistry()
    assert names.claim("Ada", "s1") is None
    assert names.claim("ADA", "s2") == "s1"
    assert names.name_of("s2") is None
    assert names.holders("ada") == ["s1"]


def test_a_holder_may_claim_its_own_name_again_in_another_case() -> None:
    names: NameRegistry[str] = NameRegistry()
    names.claim("Ada", "s1")
    assert names.claim("ADA", "s1") is None
    assert names.name_of("s1") == "ADA"
    assert len(names) == 1


def test_claiming_another_name_frees_the_first() -> None:
    names: NameRegistry[str] = NameRegistry()
    names.claim("Ada", "s1")
    names.claim("Blaise", "s1")
    assert names.claim("Ada", "s2") is None


def test_a_transfer_gives_the_name_to_the_newcomer() -> None:
    names: NameRegistry[str] = NameRegistry()
    names.claim("Ada", "dead")
    assert names.transfer("ada", "alive") == "dead"
    assert names.name_of("dead") is None
    assert names.name_of("alive") == "ada"
    assert names.release("dead") is None
    assert names.claim("Ada", "third") == "alive"


def test_a_transfer_of_a_name_that_became_free_is_a_claim() -> None:
    names: NameRegistry[str] = NameRegistry()
    names.claim("Ada", "s1")
    names.release("s1")
    assert names.transfer("Ada", "s2") is None
    assert names.name_of("s2") == "Ada"


def test_a_known_users_name_cannot_be_claimed() -> None:
    names: NameRegistry[str] = NameRegistry()
    names.reserve(["Root"])
    for attempt in (names.claim, names.transfer):
        with pytest.raises(ChappeError) as caught:
            attempt("root", "s1")
        assert caught.value.code == Code.NAME_IN_USE
    names.reserve([])
    assert names.claim("root", "s1") is None


def test_reserving_a_name_takes_it_from_whoever_claimed_it() -> None:
    names: NameRegistry[str] = NameRegistry()
    names.claim("Root", "s1")
    names.claim("Ada", "s2")
    assert names.reserve(["root"]) == ["s1"]
    assert names.name_of("s1") is None
    assert names.name_of("s2") == "Ada"


def test_sessions_of_one_user_share_the_name_until_the_last_is_gone() -> None:
    names: NameRegistry[str] = NameRegistry()
    assert names.enter("ada", "s1") is None
    assert names.enter("ada", "s2") is None
    assert names.sessions("ada") == 2
    assert len(names) == 1
    with pytest.raises(ChappeError):
        names.claim("Ada", "s3")
    assert names.release("s1") is None
    assert names.release("s2") == "ada"
    assert names.claim("Ada", "s3") is None


def test_an_authenticated_user_takes_the_name_from_a_claimer() -> None:
    names: NameRegistry[str] = NameRegistry()
    names.claim("ADA", "claimer")
    assert names.enter("ada", "s1") == "claimer"
    assert names.name_of("claimer") is None
    assert names.holders("Ada") == ["s1"]


def test_a_session_that_logs_in_gives_its_claimed_name_up() -> None:
    names: NameRegistry[str] = NameRegistry()
    names.claim("Ada", "s1")
    assert names.enter("ada", "s1") is None
    assert names.name_of("s1") == "ada"
    names.claim("Blaise", "s2")
    names.enter("someone", "s2")
    assert names.claim("Blaise", "s3") is None


def test_two_users_whose_names_differ_by_case_are_two_entries() -> None:
    names: NameRegistry[str] = NameRegistry()
    names.enter("ada", "s1")
    names.enter("ADA", "s2")
    assert len(names) == 2
    assert sorted(names.holders("Ada")) == ["s1", "s2"]
    assert names.release("s1") == "ada"
    with pytest.raises(ChappeError):
        names.claim("ada", "s3")


_HOLDERS = st.integers(0, 4)
_NAMES = st.sampled_from(["Ada", "ADA", "Blaise", "Claude", "root"])


class NamesMachine(RuleBasedStateMachine):
    """Compare with a plain map from holder to (name, whether it is a user's)."""

    def __init__(self) -> None:
        super().__init__()
        self.names: NameRegistry[int] = NameRegistry()
        self.names.reserve(["ROOT"])
        self.model: dict[int, tuple[str, bool]] = {}

    def _known(self, name: str) -> bool:
        lowered = name.lower()
        return lowered == "root" or any(known and lowered == n.lower() for n, known in self.model.values())

    def _claimer(self, name: str) -> int | None:
        claimers = [h for h, (n, known) in self.model.items() if not known and n.lower() == name.lower()]
        assert len(claimers) <= 1
        return claimers[0] if claimers else None

    @rule(name=_NAMES, holder=_HOLDERS, by_force=st.booleans())
    def take(self, name: str, holder: int, by_force: bool) -> None:
        if self.model.get(holder, ("", False))[1]:
            return
        if self._known(name):
            with pytest.raises(ChappeError):
                (self.names.transfer if by_force else self.names.claim)(name, holder)
            return
        claimer = self._claimer(name)
        other = claimer if claimer != holder else None
        if by_force:
            assert self.names.transfer(name, holder) == other
            if other is not None:
                del self.model[other]
        else:
            assert self.names.claim(name, holder) == other
            if other is not None:
                return
        self.model[holder] = (name, False)

    @rule(user=_NAMES, holder=_HOLDERS)
    def enter(self, user: str, holder: int) -> None:
        self.model.pop(holder, None) if self.model.get(holder) != (user, True) else None
        claimer = self._claimer(user)
        assert self.names.enter(user, holder) == claimer
        if claimer is not None:
            del self.model[claimer]
        self.model[holder] = (user, True)

    @rule(holder=_HOLDERS)
    def release(self, holder: int) -> None:
        had = self.model.pop(holder, None)
        freed = self.names.release(holder)
        if had is None or had in self.model.values():
            assert freed is None
        else:
            assert freed == had[0]

    @invariant()
    def everybody_has_the_name_the_model_says(self) -> None:
        for holder in range(5):
            assert self.names.name_of(holder) == self.model.get(holder, (None, False))[0]
        assert len(self.names) == len(set(self.model.values()))
        for name in ("Ada", "Blaise", "Claude", "root"):
            assert sorted(self.names.holders(name)) == sorted(
                holder for holder, (held, _) in self.model.items() if held.lower() == name.lower()
            )


TestNamesMachine = pytest.mark.slow(NamesMachine.TestCase)
TestNamesMachine.settings = settings(deadline=None)
