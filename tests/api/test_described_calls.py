"""Schemathesis calls a hub as the OpenAPI document describes it, and as it does not: no 5xx, nothing undocumented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

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
