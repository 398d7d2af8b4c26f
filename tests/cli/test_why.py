"""`chappe doctor --why` says which rule decides, for people and for programs."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from chappe.hub.decision import Rule

from .conftest import Run

CONFIG = """
[auth]
hmac_secret_file = "secret"
algorithms = ["HS256"]
[namespaces.chat]
subscribe = "anonymous"
publish = "user"
patterns = true
[namespaces.vault]
subscribe = "token"
publish = "nobody"
[namespaces.asked]
subscribe = "hook"
publish = "hook"
"""
SECRET = "s" * 40


@pytest.fixture(autouse=True)
def configured(run: Run) -> None:
    Path("chappe.toml").write_text(CONFIG)
    Path("secret").write_text(SECRET)


def token(user: str | None = "ada", scope: str = "", **capabilities: list[str]) -> str:
    claims = {"aud": "chappe", "exp": time.time() + 3_600, "chappe": capabilities, "scope": scope}
    return jwt.encode(claims | ({"sub": user} if user else {}), SECRET, algorithm="HS256")


def test_a_token_that_needs_a_service_is_answered_when_there_is_none_to_ask(run: Run) -> None:
    Path("chappe.toml").write_text(CONFIG.replace("[auth]", '[auth]\nwebhook_url = "http://127.0.0.1:1/who"'))
    result = run("doctor", "--token", "opaque", "--why", "ada", "publish", "chat/lobby")
    assert result.exit_code != 0
    assert "nobody can say whose token this is" in result.stderr


def why(run: Run, *question: str, **env: str) -> Any:
    result = run("doctor", "--json", "--why", *question, env=env)
    answer = json.loads(result.stdout)
    assert result.exit_code == (0 if answer["allowed"] else 1)
    return answer


@pytest.mark.parametrize(
    ("question", "rule", "allowed"),
    [
        (("ada", "publish", "chat/lobby"), Rule.USER, True),
        (("ada", "subscribe", "chat/lobby"), Rule.OPEN, True),
        (("ada", "subscribe", "chat/#"), Rule.OPEN, True),
        (("ada", "subscribe", "vault/#"), Rule.NO_PATTERNS, False),
        (("ada", "subscribe", "#"), Rule.WIDE, False),
        (("ada", "history", "vault/a"), Rule.NO_TOKEN, False),
        (("ada", "publish", "vault/a"), Rule.CLOSED, False),
        (("ada", "presence", "asked/a"), Rule.HOOK, True),
        (("ada", "subscribe", "elsewhere"), Rule.CLOSED, False),
        (("ada", "subscribe", "$user/ada"), Rule.OWN_CHANNEL, True),
        (("ada", "subscribe", "$user/blaise"), Rule.HUB_CHANNEL, False),
        (("ada", "lock", "doc/1"), Rule.IDENTITY, True),
        (("ada", "disconnect", "x"), Rule.NO_OPERATOR, False),
        (("-", "subscribe", "chat/lobby"), Rule.NO_IDENTITY, False),
    ],
)
def test_a_rule_is_named(run: Run, question: tuple[str, str, str], rule: Rule, allowed: bool) -> None:
    answer = why(run, *question)
    assert (answer["rule"], answer["allowed"]) == (rule.value, allowed)
    assert answer["text"]


def test_where_anonymous_is_allowed_nobody_meets_the_namespace(run: Run) -> None:
    anonymous = {"CHAPPE_AUTH__ANONYMOUS": "true"}
    assert why(run, "-", "subscribe", "chat/lobby", **anonymous)["rule"] == "open"
    assert why(run, "-", "publish", "chat/lobby", **anonymous)["rule"] == "no_user"


def test_the_capabilities_of_a_token_count(run: Run) -> None:
    reader = ("--token", token(subscribe=["vault/+", "#"]))
    answer = why(run, "ada", "subscribe", "vault/a", *reader)
    assert (answer["rule"], answer["capability"], answer["namespace"]) == ("capability", "vault/+", "vault")
    assert why(run, "ada", "subscribe", "#", *reader)["capability"] == "#"
    assert why(run, "ada", "publish", "chat/a", "--token", token(publish=["vault/#"]))["rule"] == "no_capability"
    assert why(run, "ada", "disconnect", "x", "--token", token(scope="operator"))["rule"] == "operator"


def test_people_get_a_sentence_and_the_setting(run: Run) -> None:
    result = run("doctor", "--why", "ada", "publish", "chat/lobby")
    assert (
        result.stdout == 'allowed: ada may publish chat/lobby: namespaces.chat.publish = "user", and there is a user\n'
    )
    result = run("doctor", "--why", "-", "publish", "chat/lobby")
    assert result.exit_code == 1
    assert result.stdout.startswith("refused: nobody in particular may not publish chat/lobby: auth.anonymous is off")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--why", "ada", "shout", "chat/lobby"), "expected one of subscribe, recover"),
        (("--why", "ada", "publish", "chat/#"), "may not contain + or #"),
        (("--why", "blaise", "publish", "chat/a", "--token", token()), "the token is of ada"),
        (("--why", "ada", "publish"), "--why"),
        (("--token", "x"), "--token belongs to --why"),
    ],
)
def test_a_question_that_is_none_is_refused_as_usage(run: Run, arguments: tuple[str, ...], told: str) -> None:
    result = run("doctor", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_token_that_is_not_good_is_told(run: Run) -> None:
    result = run("doctor", "--why", "ada", "publish", "chat/a", "--token", "x.y.z")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: unauthorized")
