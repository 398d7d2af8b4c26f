"""User names: which are valid, which are the same to people, and who has them."""

import re
import unicodedata
from collections.abc import Hashable, Iterable
from typing import Final, Generic, TypeVar

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

H = TypeVar("H", bound=Hashable)

#: Most characters of a name (interfaces, "classic").
MAX_NAME_CHARACTERS: Final = 64

# Characters that draw nothing: soft hyphen, joiners, direction marks, fillers, variation selectors, tags (Unicode,
# Default_Ignorable_Code_Point). "Ada" and "Ada" with one of them look the same to everybody.
_INVISIBLE: Final = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Controls, line and paragraph separators, lone surrogates, and the embeddings and overrides that turn the text after a
# name around (the "Trojan Source" attack, CVE-2021-42574). Joiners and direction marks stay: Persian and emoji need
# them.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check_name(name: str, field: str = "name") -> str:
    """Return a claimed name as it will be shown: trimmed.

    Args:
        name: what the peer sent.
        field: the field of the peer's message that has it: `name`, in classic `content`.
    Raises:
        ChappeError: 107, `detail` has the `field` and what is wrong with it; the name itself is not repeated.
    """
    shown = name.strip()
    if not shown:
        raise _bad_name(field, "empty, expected 1 to 64 characters")
    if len(shown) > MAX_NAME_CHARACTERS:
        raise _bad_name(field, f"{len(shown)} characters, expected 1 to {MAX_NAME_CHARACTERS}")
    if _FORBIDDEN.search(shown):
        raise _bad_name(field, "contains a control character")
    if not skeleton(shown):
        raise _bad_name(field, "nothing that can be seen")
    return shown


def skeleton(name: str) -> str:
    """Return what two names have in common when people take them for one: case, width, spaces, what is invisible.

    Only for comparing, never for showing. `skeleton(skeleton(name)) == skeleton(name)`.
    """
    if name.isascii():
        plain = " ".join(name.lower().split())
        # Who keeps both keeps one text.
        return name if plain == name else plain
    before = None
    text = name
    # Folding may compose what a removal brought together and removing may uncover what folds: until nothing changes.
    while text != before:
        before = text
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).casefold())
        text = " ".join(_INVISIBLE.sub("", text).split())
    return text


class _Claim(Generic[H]):
    __slots__ = ("holder", "key", "name")

    def __init__(self, key: str, name: str, holder: H) -> None:
        self.key = key
        self.name = name
        self.holder = holder


class _Crowd(dict[str, set[H]]):
    """Several sessions of users whose names are the same to people, by user."""


class NameRegistry(Generic[H]):
    """Who has which name. A holder (a session) has one name at most.

    A name is either claimed by one holder, or it is a known user's: of one who is `reserve`d, or who has sessions here.
    A known user's name goes to that user's sessions only, any number of them. Names are compared by `skeleton`.
    """

    __slots__ = ("_claims", "_claims_by_holder", "_reserved", "_sessions", "_user_by_holder")

    def __init__(self) -> None:
        self._claims: dict[str, _Claim[H]] = {}
        self._claims_by_holder: dict[H, _Claim[H]] = {}
        self._reserved: frozenset[str] = frozenset()
        # By skeleton, what claims are compared with. Nearly all users have one session, which stands here itself. Two
        # users whose names differ only by case are two users to whoever issued their tokens.
        self._sessions: dict[str, H | _Crowd[H]] = {}
        self._user_by_holder: dict[H, str] = {}

    def reserve(self, names: Iterable[str]) -> list[H]:
        """Set the known users' names, in place of those set before; nobody may claim them from here on.

        Returns:
            The holders whose claims became impossible: they have no name any more, tell them so.
        """
        self._reserved = frozenset(map(skeleton, names))
        lost = [claim for key, claim in self._claims.items() if key in self._reserved]
        for claim in lost:
            self._forget(claim)
        return [claim.holder for claim in lost]

    def claim(self, name: str, holder: H) -> H | None:
        """Give a name to a holder if it is free, in place of the name the holder claimed before.

        Args:
            name: a name that `check_name` returned.
        Returns:
            None: the holder has it. Otherwise the other holder, and nothing changed: find out whether it lives, then
            refuse the newcomer or `transfer` the name.
        Raises:
            ChappeError: 115, the name is a known user's; whether that user's sessions live does not matter.
        """
        assert holder not in self._user_by_holder, "a holder with a user has that user's name"
        key = skeleton(name)
        if self.is_known(key):
            raise ChappeError(Code.NAME_IN_USE, detail={"name": name})
        taken = self._claims.get(key)
        if taken is not None and taken.holder != holder:
            return taken.holder
        self._set_claim(key, name, holder)
        return None

    def transfer(self, name: str, holder: H) -> H | None:
        """Give a claimed name to another holder, whoever has it; return who lost it, or None if nobody had it.

        Raises:
            ChappeError: 115, the name is a known user's.
        """
        assert holder not in self._user_by_holder, "a holder with a user has that user's name"
        key = skeleton(name)
        if self.is_known(key):
            raise ChappeError(Code.NAME_IN_USE, detail={"name": name})
        taken = self._claims.get(key)
        former = taken.holder if taken is not None and taken.holder != holder else None
        if taken is not None:
            self._forget(taken)
        self._set_claim(key, name, holder)
        return former

    def enter(self, user: str, holder: H) -> H | None:
        """Record a session of an authenticated user; entering again does nothing.

        Returns:
            The holder that had claimed the user's name and has lost it by this, or None.
        """
        claimed = self._claims_by_holder.get(holder)
        if claimed is not None:
            self._forget(claimed)
        if self._user_by_holder.get(holder) != user:
            self.release(holder)
        key = skeleton(user)
        self._add_session(key, user, holder)
        self._user_by_holder[holder] = user
        impostor = self._claims.get(key)
        if impostor is None:
            return None
        self._forget(impostor)
        return impostor.holder

    def release(self, holder: H) -> str | None:
        """Take away what a holder has; return the name that is free (or has no session) by this, as shown, or None."""
        claimed = self._claims_by_holder.get(holder)
        if claimed is not None:
            self._forget(claimed)
            return claimed.name
        user = self._user_by_holder.pop(holder, None)
        if user is None:
            return None
        key = skeleton(user)
        present = self._sessions[key]
        if isinstance(present, _Crowd):
            present[user].discard(holder)
            if present[user]:
                return None
            del present[user]
            if present:
                return user
        del self._sessions[key]
        return user

    def name_of(self, holder: H) -> str | None:
        """Return the name a holder has, as shown."""
        claimed = self._claims_by_holder.get(holder)
        return claimed.name if claimed is not None else self._user_by_holder.get(holder)

    def is_known(self, key: str) -> bool:
        """Tell whether a `skeleton` is a known user's: reserved, or of one who has sessions here."""
        return key in self._reserved or key in self._sessions

    def holders(self, name: str) -> list[H]:
        """Return who has a name now: one claimer, or all sessions of the users of that name; in no order."""
        key = skeleton(name)
        claimed = self._claims.get(key)
        if claimed is not None:
            return [claimed.holder]
        present = self._sessions.get(key)
        if present is None:
            return []
        if isinstance(present, _Crowd):
            return [holder for holders in present.values() for holder in holders]
        return [present]

    def sessions(self, user: str) -> int:
        """Return how many sessions of an authenticated user are here."""
        present = self._sessions.get(skeleton(user))
        if isinstance(present, _Crowd):
            return len(present.get(user, ()))
        return int(present is not None and self._user_by_holder[present] == user)

    def __len__(self) -> int:
        """Return the number of entries: claimed names, and users who have sessions."""
        users = (len(each) if isinstance(each, _Crowd) else 1 for each in self._sessions.values())
        return len(self._claims) + sum(users)

    def _add_session(self, key: str, user: str, holder: H) -> None:
        present = self._sessions.get(key)
        if present is None:
            self._sessions[key] = holder
            return
        if not isinstance(present, _Crowd):
            if present == holder:
                return
            present = self._sessions[key] = _Crowd({self._user_by_holder[present]: {present}})
        present.setdefault(user, set()).add(holder)

    def _set_claim(self, key: str, name: str, holder: H) -> None:
        former = self._claims_by_holder.get(holder)
        if former is not None:
            self._forget(former)
        self._claims[key] = self._claims_by_holder[holder] = _Claim(key, name, holder)

    def _forget(self, claim: _Claim[H]) -> None:
        del self._claims[claim.key]
        del self._claims_by_holder[claim.holder]


def _bad_name(field: str, problem: str) -> ChappeError:
    return ChappeError(Code.BAD_REQUEST, detail={"field": field, "problem": problem})
