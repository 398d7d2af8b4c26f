"""Passwords: hashed as the command line does, verified slowly, guessed slower."""

import asyncio
import hashlib

import pytest

from chappe.auth.passwords import PasswordHash, Passwords, hash_password
from chappe.model.errors import ChappeError, ConfigurationError
from chappe.testing.fake_clock import FakeClock


def cheap(password: str) -> str:
    """Return a hash of few rounds, as quick as a test wants it."""
    digest = hashlib.scrypt(password.encode(), salt=b"saltsalt", n=16, r=1, p=1, dklen=32)
    return f"scrypt$16$1$1${b'saltsalt'.hex()}${digest.hex()}"


def passwords(clock: FakeClock) -> Passwords:
    found = Passwords({"ada": cheap("correct"), "bob": cheap("horse")}, clock)
    # What is compared for users that do not exist is as quick as the others here.
    found._decoy = PasswordHash.parse(cheap("decoy"))
    return found


async def test_only_the_right_password_of_the_right_user_is_right() -> None:
    found = passwords(FakeClock())
    assert await found.verify("ada", "correct", "192.0.2.1")
    for user, password in (("ada", "horse"), ("eve", "correct"), ("eve", "decoy"), ("ada", ""), ("ada", "x" * 5_000)):
        assert not await found.verify(user, password, f"address of {password[:9]}")


@pytest.mark.slow
async def test_what_the_command_line_prints_is_verified() -> None:
    text = hash_password("pässword")
    found = Passwords({"ada": text}, FakeClock())
    assert await found.verify("ada", "pässword", "192.0.2.1")
    assert not await found.verify("nobody", "pässword", "192.0.2.1")
    assert text != hash_password("pässword")


async def test_guessing_is_slow_for_a_user_whatever_the_address() -> None:
    clock = FakeClock()
    found = passwords(clock)
    for number in range(5):
        assert not await found.verify("ada", "guess", f"192.0.2.{number}")
    with pytest.raises(ChappeError) as caught:
        await found.verify("ada", "correct", "192.0.2.99")
    assert caught.value.code == 111
    assert await found.verify("bob", "horse", "192.0.2.99")
    clock.advance(caught.value.detail["retry_after_s"] + 0.01)
    assert await found.verify("ada", "correct", "192.0.2.99")
    assert found.refused == 1


async def test_guessing_is_slow_from_an_address_whatever_the_user() -> None:
    found = passwords(FakeClock())
    for number in range(5):
        assert not await found.verify(f"user{number}", "guess", "192.0.2.1")
    with pytest.raises(ChappeError, match="requests"):
        await found.verify("ada", "correct", "192.0.2.1")


async def test_guessing_is_slow_from_all_addresses_that_one_customer_has() -> None:
    found = passwords(FakeClock())
    for number in range(5):
        assert not await found.verify(f"user{number}", "guess", f"2001:db8::{number}")
    with pytest.raises(ChappeError, match="requests"):
        await found.verify("ada", "correct", "2001:db8::99")
    assert await found.verify("ada", "correct", "2001:db8:0:1::1")


async def test_many_guesses_at_once_do_not_pass_together() -> None:
    found = passwords(FakeClock())
    tries = [found.verify("ada", f"guess{number}", "192.0.2.1") for number in range(50)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert answers.count(False) == 5
    assert sum(isinstance(answer, ChappeError) for answer in answers) == 45


async def test_right_passwords_use_nothing_up() -> None:
    found = passwords(FakeClock())
    for _ in range(20):
        assert await found.verify("ada", "correct", "192.0.2.1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "scrypt$",
        "scrypt$16$1$1$00$00",
        cheap("x") + "0",
        cheap("x").replace("$16$", "$15$"),
        cheap("x").replace("$16$", "$4194304$"),
        cheap("x").replace("$16$1$1$", "$16$64$1$"),
        "argon2$x",
    ],
)
def test_a_broken_hash_stops_the_start_with_its_user_and_without_its_text(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"users.ada.password_hash") as caught:
        Passwords({"ada": text}, FakeClock())
    assert not text or text not in caught.value.reason
