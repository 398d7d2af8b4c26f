"""Schemathesis calls a hub as the OpenAPI document describes it, and as it does not: no 5xx, nothing undocumented."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chappe.model.error_codes import Code
from tests.api.test_openapi import DOCUMENT
from tests.hostile.neighbourhood import PATIENCE_S, Place, served

CHECKS: Final = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
SCHEMA: Final = schemathesis.openapi.from_dict(DOCUMENT)
# A stream has no end; tests/hostile has its own table.
OPERATIONS: Final = {
    f"{result.ok().method.upper()} {result.ok().path}": result.ok()
    for result in SCHEMA.exclude(path="/events").get_all_operations()
    if isinstance(result, Ok)
}


SECRET: Final = "s" * 48
KEY: Final = "chappe_" + "k" * 32
#: What is for users too, or tells for each part whether it may be.
EACH: Final = frozenset({"tickets", "batch", "broadcast"})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Serve a hub that wants to know who asks."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    (folder / "secret").write_text(SECRET)
    (folder / "keys").write_text(f"backend:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    with served(
        server__dev=False,
        auth__hmac_secret_file=str(folder / "secret"),
        auth__algorithms=("HS256",),
        api__keys_file=str(folder / "keys"),
        namespaces__default__subscribe="user",
        namespaces__default__publish="user",
    ) as found:
        yield found


def credentials() -> dict[str, str | None]:
    """Return what each caller shows."""
    claims = {"aud": "chappe", "exp": time.time() + 600}
    user = jwt.encode({"sub": "ada", **claims}, SECRET, "HS256")
    operator = jwt.encode({"sub": "root", "scope": "operator", **claims}, SECRET, "HS256")
    return {"nobody": None, "a stranger": "rubbish", "a user": user, "an operator": operator, "a backend": KEY}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Serve a hub that is open to everybody."""
    with served() as found:
        yield found


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("mode", "name"),
    # Of an operation without parameters nothing can be wrong.
    [(mode, name) for mode in GenerationMode for name in OPERATIONS if "/api/" in name or mode.is_positive],
    ids=lambda value: getattr(value, "value", value),
)
def test_what_is_answered_is_what_the_document_says(place: Place, mode: GenerationMode, name: str) -> None:
    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    @given(OPERATIONS[name].as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        response = case.call(base_url=f"http://127.0.0.1:{place.port}", timeout=PATIENCE_S)
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 500:
            # What this hub does not offer says so; nothing else fails.
            assert (response.status_code, response.json()["code"]) == (503, Code.NOT_AVAILABLE)

    call()
    assert not place.unseen


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [name for name in OPERATIONS if "/api/" in name])
def test_whoever_asks_a_guarded_hub_is_answered_as_the_document_says(guarded: Place, name: str) -> None:
    @settings(max_examples=3, suppress_health_check=list(HealthCheck))
    @given(OPERATIONS[name].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def call(case: Any) -> None:
        for caller, credential in credentials().items():
            headers = {"Authorization": f"Bearer {credential}"} if credential else {}
            response = case.call(base_url=f"http://127.0.0.1:{guarded.port}", headers=headers, timeout=PATIENCE_S)
            case.validate_response(response, checks=CHECKS, headers=headers)
            if caller in ("nobody", "a stranger"):
                assert (response.status_code, response.json()["code"]) == (401, Code.UNAUTHORIZED)
            elif caller == "a user" and name.rpartition("/")[2] not in EACH:
                assert response.status_code in (400, 403), response.text
            else:
                assert response.status_code < 500 or response.json()["code"] == Code.NOT_AVAILABLE

    call()
    assert not guarded.unseen
